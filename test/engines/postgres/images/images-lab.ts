import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Engine, Images } from '../../../../agent/engines/engine.ts';
import { createPostgresEngine } from '../../../../agent/engines/postgres/postgres-engine.ts';
import type { Approach, ImageManifest } from '../../../../shared/domain/backup-set.ts';
import type { MemberManifest } from '../../../../shared/domain/manifest.ts';
import type { Purpose } from '../../../../shared/domain/purpose.ts';
import { ofServerUser } from '../../../lab/base-backup.ts';
import { freePort } from '../../../lab/ports.ts';
import { postgresServer, type PostgresServer, type PostgresVersion } from '../../../lab/postgres.ts';
import { backupCalls } from '../../../lab/postgres-role.ts';
import { beginCapture, CHECKPOINT, HELD_ALONE, token } from '../../tested-capture.ts';
import { postgresLab, settingsFor, until, type PostgresLab } from '../lab.ts';

export const NO_SIGNAL = new AbortController().signal;
const assignment = HELD_ALONE;
const JOURNAL_CHECKPOINT: Purpose = { type: 'journalCheckpoint' };
const QUIESCE: Purpose = { type: 'quiesce', allowReads: true, timeOutMs: 60_000 };

/** A server that archives its journal, and where its operator keeps images of it. */
export interface ImagesLab {
  readonly lab: PostgresLab;
  readonly server: PostgresServer;
  readonly engine: Engine;
  /** Directories of images, and of archived journal files. */
  readonly images: string;
  readonly archive: string;
  insert(id: number): Promise<unknown>;
  /** A tablespace of this name, beside the server. */
  tablespace(name: string): Promise<unknown>;
  read(name: string): Promise<ImageManifest>;
  /** A journal checkpoint, whose journal is archived when it resolves. */
  mark(): Promise<MemberManifest>;
  /** What happens while a quiesce holds it, and the manifest of that. */
  quiesce(happening: () => Promise<void>): Promise<MemberManifest>;
  /** Restores an image beside the server; what it shows, and the rows of `entry` in it. */
  restore(image: ImageManifest, mark: MemberManifest, approach: Approach): Promise<Restored>;
  remove(): void;
}

interface Restored {
  readonly checks: readonly string[];
  readonly rows: readonly number[];
  /** A standby of the same image ends where it ends, and follows. */
  readonly standbyRows: readonly number[];
}

let restores = 0;
let holds = 0;

export async function imagesLab(
  version: PostgresVersion,
  settings: readonly string[] = [],
): Promise<ImagesLab> {
  // Where the archive lies is known once the server is there.
  const lab = await postgresLab(version, {
    settings: ['archive_mode = on', 'archive_timeout = 0', ...settings],
  });
  const { server, folder } = lab;
  const [images, archive] = [join(folder, 'images'), join(folder, 'archive')];
  for (const directory of [images, archive]) {
    mkdirSync(directory);
    chmodSync(directory, 0o777);
  }
  server.configure([`archive_command = 'cp %p ${archive}/%f.part && mv ${archive}/%f.part ${archive}/%f'`]);
  await server.query('SELECT pg_reload_conf()');
  const engine = createPostgresEngine({ ...lab.settings, images, journals: archive });

  const held = async (purpose: Purpose, happening: () => Promise<void>): Promise<MemberManifest> => {
    // Recovery stops at the first restore point of a name.
    const checkpoint = `${CHECKPOINT}-${(holds += 1)}`;
    const { capture } = await beginCapture(engine, folder, { checkpoint, assignment, purpose });
    try {
      await capture.prepare();
      await capture.arm(token());
      await capture.freeze(token());
      await happening();
      const proof = await capture.thaw(token(), () => undefined);
      if (proof.type !== 'held') throw new Error(`it did not hold: ${JSON.stringify(proof)}`);
      const { mark, engineFacts } = await capture.collect();
      const description = await engine.describe(AbortSignal.timeout(10_000));
      const {
        name,
        role,
        copyset,
        address,
        version: said,
        dataIdentity,
        primary,
        freezeKind,
        traits,
      } = description;
      const member = { name, host: 'alpha', role, copyset, engine: 'postgres', address, traits, assignment };
      return {
        format: 1,
        grid: 'orders',
        checkpoint,
        token: token(),
        member: { ...member, version: said, dataIdentity, primary, freezeKind },
        mark,
        engineFacts: JSON.parse(JSON.stringify(engineFacts)) as unknown,
        artifacts: [],
      };
    } finally {
      await capture.abort();
    }
  };

  return {
    lab,
    server,
    engine,
    images,
    archive,
    insert: (id) => server.query(`INSERT INTO entry VALUES (${id})`),
    tablespace(name) {
      const place = join(folder, name);
      mkdirSync(place);
      chmodSync(place, 0o700);
      ofServerUser(place);
      return server.query(`CREATE TABLESPACE ${name} LOCATION '${place}'`);
    },
    read: (name) => imagesOf(engine).read(name, AbortSignal.timeout(60_000), () => undefined),
    async mark() {
      const manifest = await held(JOURNAL_CHECKPOINT, () => Promise.resolve());
      await untilArchived(server, manifest.mark?.journalFile ?? '');
      return manifest;
    },
    quiesce: (happening) => held(QUIESCE, happening),
    async restore(image, mark, approach) {
      restores += 1;
      const open = (): ReturnType<Images['open']> => imagesOf(engine).open(image, mark, approach, NO_SIGNAL);
      const primary = await restored(lab, `restored-${restores}`, { source: await open(), follow: null });
      try {
        const follow = `${primary.server.host}:${primary.server.port}`;
        const standby = await restored(lab, `standby-${restores}`, { source: await open(), follow });
        try {
          await primary.server.query('CREATE TABLE later (x int)');
          await until('the standby to follow', async () => {
            const rows = await standby.server.query("SELECT FROM pg_class WHERE relname = 'later'");
            return rows.length > 0;
          });
          return {
            checks: primary.checks,
            rows: await rowsOf(primary.server),
            standbyRows: await rowsOf(standby.server),
          };
        } finally {
          standby.server.stop('immediate');
        }
      } finally {
        primary.server.stop('immediate');
      }
    },
    remove: () => lab.remove(),
  };
}

export function imagesOf({ images }: Engine): Images {
  if (images === null) throw new Error('no images are named');
  return images;
}

async function untilArchived(server: PostgresServer, file: string): Promise<void> {
  await until(`${file} to be archived`, async () => {
    const [row] = await server.query<{ done: boolean }>(
      'SELECT coalesce(last_archived_wal >= $1, false) AS done FROM pg_stat_archiver',
      [file],
    );
    return row?.done ?? false;
  });
}

async function rowsOf(server: PostgresServer): Promise<number[]> {
  const rows = await server.query<{ text: string }>('SELECT id::text AS text FROM entry ORDER BY id');
  return rows.map(({ text }) => Number(text));
}

async function restored(
  lab: PostgresLab,
  name: string,
  of: { source: Awaited<ReturnType<Images['open']>>; follow: string | null },
): Promise<{ server: PostgresServer; checks: readonly string[] }> {
  const home = join(lab.folder, name);
  mkdirSync(home);
  // Whose it is, the restored files will be.
  ofServerUser(home);
  const data = join(home, 'data');
  const server = await postgresServer({
    version: lab.server.version,
    data,
    host: '127.0.0.1',
    port: await freePort('127.0.0.1'),
    existing: true,
  });
  const engine = createPostgresEngine(settingsFor(server, { name }));
  const restoration = engine.restoration({
    checkpoint: CHECKPOINT,
    source: of.source,
    own: null,
    follow: of.follow,
    progress: () => undefined,
    signal: new AbortController().signal,
  });
  try {
    await restoration.check(null);
    await restoration.stage();
    const { checks } = await restoration.prove({ committed: [], standbys: [], questions: [], moves: null });
    await restoration.switchIn();
    const { problems } = await restoration.open();
    if (problems.length > 0) throw new Error(problems.join());
    await restoration.finish();
    return { server, checks };
  } catch (error) {
    await restoration.rollBack();
    throw error;
  }
}

/** `cp -a` of a server that is told of it. With `journal`, its pg_wal is copied when the backup has ended. */
export async function copyWhileTold(
  server: PostgresServer,
  image: string,
  { journal }: { readonly journal: boolean },
): Promise<void> {
  const client = await server.connect();
  try {
    const [start, stop] = backupCalls(server.version);
    await client.query(`SELECT ${start}`);
    copy(server.data, image);
    const { rows } = await client.query<{ labelfile: string }>(`SELECT labelfile FROM ${stop}`);
    writeFileSync(join(image, 'backup_label'), rows[0]?.labelfile ?? '', { mode: 0o600 });
  } finally {
    await client.end();
  }
  rmSync(join(image, 'pg_wal'), { recursive: true });
  mkdirSync(join(image, 'pg_wal'), { mode: 0o700 });
  if (journal) copy(join(server.data, 'pg_wal'), image);
  ofServerUser(image);
}

export function copy(from: string, to: string): void {
  const copied = spawnSync('cp', ['-a', from, to], { encoding: 'utf8' });
  if (copied.status !== 0 && !/vanished|No such file/.test(copied.stderr)) throw new Error(copied.stderr);
}

import { dirname, join } from 'node:path';
import type { Client } from 'pg';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { ArtifactSource, RestoreContext, Restoration, VerifiedMember } from '../../engine.ts';
import { connect } from '../connection.ts';
import type { PostgresFacts } from '../facts.ts';
import { parseFacts } from '../facts-schema.ts';
import { parseLsn } from '../lsn.ts';
import type { PostgresSettings } from '../settings.ts';
import { settleConfiguration, stagedAutoConf } from './configuration.ts';
import { serverOwner } from './server-owner.ts';
import {
  dropOld,
  isThere,
  mustBeReplaceable,
  readRecord,
  stageOf,
  switchBack,
  switchDirectories,
  writeRecord,
  type RestoreRecord,
} from '../../restore/places.ts';
import { hasProcess, logTail, startServer, stopServer } from './server-process.ts';
import { Stage } from '../../restore/stage.ts';
import {
  dropReplacedTablespaces,
  freeTablespaceDirectory,
  removeTablespaces,
  tablespaceRoot,
} from './tablespaces.ts';
import { CONTROL_FILE, finishControlFile, UNFINISHED_CONTROL_FILE } from './control-file.ts';
import { checkCommit, checkMark, checkServer, checkStructures, notAsCaptured } from './verify.ts';

const ROLLBACK_STOP_MS = 120_000;
/** A server that was told to start has written its pid file by then, or it never will. */
const APPEAR_MS = 15_000;

/** Builds, starts and proves one restored PostgreSQL member. See places.ts for what lies where. */
export class PostgresRestoration implements Restoration {
  readonly #settings: PostgresSettings;
  readonly #context: RestoreContext;
  readonly #source: PostgresFacts;
  readonly #own: PostgresFacts | null;

  constructor(settings: PostgresSettings, context: RestoreContext) {
    this.#settings = settings;
    this.#context = context;
    this.#source = parseFacts(context.source.manifest);
    this.#own = context.own === null ? null : parseFacts(context.own.manifest);
  }

  async stage(): Promise<void> {
    const { data, also } = this.#settings;
    this.#mustHoldData();
    await mustBeReplaceable(this.#settings.name, [data, ...also]);
    const tablespaces = await this.#tablespacePlaces();
    const places = also.slice(0, this.#configurationSource().also.length);
    const directories = await Promise.all(
      [data, ...places].map(async (path) => ({ path, existed: await isThere(path) })),
    );
    await writeRecord(data, {
      format: 1,
      checkpoint: this.#context.checkpoint,
      directories,
      made: [...tablespaces.values()],
    });
    const { source, signal, progress } = this.#context;
    const bytesTotal = source.manifest.artifacts.reduce(
      (sum, artifact) => sum + (artifact.kind === 'file' ? artifact.sizeBytes : 0),
      0,
    );
    const stage = new Stage({ owner: await serverOwner(this.#settings), signal, bytesTotal, progress });
    try {
      await this.#build(stage, tablespaces, places);
    } finally {
      await stage.close();
    }
    signal.throwIfAborted();
    await finishControlFile(stageOf(data));
  }

  async #build(stage: Stage, tablespaces: Map<string, string>, places: readonly string[]): Promise<void> {
    const { source, own } = this.#context;
    const staged = stageOf(this.#settings.data);
    await stage.room(source, 'base', staged, stagedName);
    await stage.room(source, 'journal', join(staged, 'pg_wal'));
    for (const [oid, place] of tablespaces) {
      // The server's user must be able to enter them.
      await stage.around(dirname(dirname(place)));
      await stage.directory(dirname(place), 0o700);
      await stage.room(source, `tablespaces/${oid}`, place);
      await stage.link(join(staged, 'pg_tblspc', oid), place);
    }
    if (own !== null) await this.#layConfiguration(stage, own, staged);
    await this.#configure(stage, staged);
    for (const [index, path] of places.entries())
      await stage.room(own ?? source, `also/${index}`, stageOf(path));
    await stage.seal();
  }

  async switchIn(): Promise<void> {
    await switchDirectories(await this.#record());
  }

  async start(): Promise<void> {
    await startServer(this.#settings, this.#context.signal);
    const client = await this.#untilReady();
    client.end().catch(() => undefined);
  }

  async verify(): Promise<VerifiedMember> {
    const client = await connect(this.#settings, { applicationName: 'stillpoint-verify' });
    try {
      const checks = await checkServer(this.#settings, this.#source, client);
      if (this.#context.follow !== null) {
        return { checks: [...checks, `streams from ${this.#context.follow}`], warnings: [], prepared: [] };
      }
      checks.push(await checkMark(this.#settings, this.#source), await checkCommit(this.#settings));
      checks.push(await checkStructures(this.#settings, client));
      const { rows } = await client.query<{ gid: string; database: string }>(
        'SELECT gid, database FROM pg_prepared_xacts ORDER BY gid',
      );
      return { checks, warnings: this.#warnings(), prepared: rows };
    } finally {
      client.end().catch(() => undefined);
    }
  }

  async finish(): Promise<void> {
    const record = await readRecord(this.#settings.data);
    if (record === null) return;
    const { data, tablespaces } = this.#settings;
    await settleConfiguration(this.#settings);
    await dropReplacedTablespaces(data, Object.values(tablespaces));
    await dropOld(data, record);
  }

  async rollBack(): Promise<void> {
    const record = await readRecord(this.#settings.data);
    if (record === null) return;
    await stopServer(this.#settings, AbortSignal.timeout(ROLLBACK_STOP_MS));
    await removeTablespaces(this.#settings.data, record.made);
    await switchBack(this.#settings.data, record);
  }

  #mustHoldData(): void {
    if (this.#source.kind === 'primary') return;
    throw new StillpointError({
      code: 'restore-no-data',
      message: `${this.#settings.name}: its artifacts hold no data`,
      hint: 'restore from the primary of its copyset',
    });
  }

  /** Where each tablespace goes: oid → directory. */
  async #tablespacePlaces(): Promise<Map<string, string>> {
    const places = new Map<string, string>();
    const { data, tablespaces } = this.#settings;
    for (const { oid, location } of this.#source.tablespaces) {
      const named = Object.hasOwn(tablespaces, location) ? tablespaces[location] : undefined;
      const root = named ?? tablespaceRoot(data);
      places.set(oid, join(await freeTablespaceDirectory(root), oid));
    }
    return places;
  }

  /** A standby keeps its own configuration over its primary's. */
  async #layConfiguration(stage: Stage, own: ArtifactSource, staged: string): Promise<void> {
    for (const artifact of own.manifest.artifacts) {
      if (!artifact.path.startsWith('config/')) continue;
      const place = join(staged, artifact.path.slice('config/'.length));
      if (artifact.kind === 'symlink') await stage.relink(place, artifact.target);
      if (artifact.kind !== 'file') continue;
      const bytes: Uint8Array[] = [];
      for await (const part of own.read(artifact.path)) bytes.push(part);
      await stage.replace(place, Buffer.concat(bytes).toString('utf8'));
    }
  }

  async #configure(stage: Stage, staged: string): Promise<void> {
    const { follow, source, own } = this.#context;
    const text = await stagedAutoConf({
      directory: staged,
      settings: this.#settings,
      source: this.#source,
      own: this.#own,
      sourceAddress: (own ?? source).manifest.member.address,
      follow,
    });
    await stage.replace(join(staged, 'postgresql.auto.conf'), text);
    await stage.replace(join(staged, follow === null ? 'recovery.signal' : 'standby.signal'), '');
  }

  /** Waits for as long as the server lives and recovers; how long that takes depends on its journal. */
  async #untilReady(): Promise<Client> {
    const { signal } = this.#context;
    const appearBy = performance.now() + APPEAR_MS;
    let appeared = false;
    for (;;) {
      signal.throwIfAborted();
      const lives = await hasProcess(this.#settings);
      appeared ||= lives;
      if (!lives && (appeared || performance.now() > appearBy)) throw await this.#notStarted();
      const client = await connect(this.#settings, {
        applicationName: 'stillpoint-look',
        timeoutMs: 2000,
        queryTimeoutMs: 5000,
      }).catch(accessError);
      if (client !== null) {
        if (await this.#isReady(client).catch(() => false)) return client;
        client.end().catch(() => undefined);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async #isReady(client: Client): Promise<boolean> {
    if (this.#context.follow === null) {
      const { rows } = await client.query<{ recovering: boolean }>(
        'SELECT pg_is_in_recovery() AS recovering',
      );
      return rows[0]?.recovering === false;
    }
    const { rows } = await client.query<{
      recovering: boolean;
      replayed: string | null;
      status: string | null;
    }>(
      `SELECT pg_is_in_recovery() AS recovering, pg_last_wal_replay_lsn()::text AS replayed,
              (SELECT status FROM pg_stat_wal_receiver) AS status`,
    );
    const [row] = rows;
    if (row?.recovering === false)
      throw notAsCaptured(this.#settings.name, 'it is a standby, and came up as a primary');
    const mark = parseLsn(this.#source.markPosition ?? '0/0');
    return row?.status === 'streaming' && row.replayed !== null && parseLsn(row.replayed) >= mark;
  }

  async #notStarted(): Promise<StillpointError> {
    const tail = await logTail(this.#settings);
    return new StillpointError({
      code: 'member-not-started',
      message: `${this.#settings.name} did not start${tail === '' ? '' : `: ${tail}`}`,
      hint: "see its log; the old directory is put back, so you can look at the server's configuration in peace",
    });
  }

  #warnings(): string[] {
    const warnings: string[] = [];
    const { archiving, subscriptions, outsideFiles, also } = this.#source;
    if (archiving) {
      warnings.push(
        'archiving is off (archive_mode), so that it does not write into the old archive: name a new one, then ALTER SYSTEM RESET archive_mode and restart',
      );
    }
    for (const { database, name } of subscriptions) {
      warnings.push(
        `subscription ${name} in database ${database} is held (max_logical_replication_workers = 0): ALTER SUBSCRIPTION ${name} DISABLE or give it a new CONNECTION, then ALTER SYSTEM RESET max_logical_replication_workers and restart`,
      );
    }
    if (outsideFiles.length > 0 && also.length === 0) {
      warnings.push(
        `${outsideFiles.join(', ')} lay outside the data directory and are not in the checkpoint`,
      );
    }
    return warnings;
  }

  #configurationSource(): PostgresFacts {
    return this.#own ?? this.#source;
  }

  async #record(): Promise<RestoreRecord> {
    const record = await readRecord(this.#settings.data);
    if (record === null) throw new Error('nothing is staged');
    return record;
  }
}

/** Not up yet is no error; being turned away is. */
function accessError(error: unknown): null {
  const code = error instanceof StillpointError ? error.failure.code : '';
  if (code === 'postgres-password' || code === 'postgres-hba') throw error;
  return null;
}

/** Where a base file is staged: pg_control under another name until all is done; what must not be there not. */
function stagedName(path: string): string | null {
  if (path === CONTROL_FILE) return UNFINISHED_CONTROL_FILE;
  return ['tablespace_map', 'standby.signal', 'recovery.signal', 'postmaster.pid'].includes(path)
    ? null
    : path;
}

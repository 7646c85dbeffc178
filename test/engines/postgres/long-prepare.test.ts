import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { CheckpointContext } from '../../../agent/engines/engine.ts';
import type { PostgresFacts } from '../../../agent/engines/postgres/copy/facts.ts';
import { fileEndingAt, parseLsn, segmentName } from '../../../agent/engines/postgres/journal/lsn.ts';
import { JournalSlot } from '../../../agent/engines/postgres/journal/journal-slot.ts';
import { createPostgresEngine } from '../../../agent/engines/postgres/postgres-engine.ts';
import type { PostgresSettings } from '../../../agent/engines/postgres/settings.ts';
import type { PostgresServer } from '../../lab/postgres.ts';
import { MemorySink } from '../memory-sink.ts';
import { beginCapture, token } from '../tested-capture.ts';
import { postgresLab, until, versions, type PostgresLab } from './lab.ts';

// Goal: a checkpoint that is prepared for hours costs its server no more disk than one of seconds.
// Method: real servers with a small max_wal_size, a base copy that is held back, and five times as much journal.

const SEGMENT = 16 * 1024 * 1024;
const SMALL = ['max_wal_size = 64MB', 'min_wal_size = 32MB', 'checkpoint_timeout = 30s'];

/** A repository in which the base copy comes to a halt until it is let go. */
class SlowSink extends MemorySink {
  release: () => void = () => undefined;
  /** The base copy has begun to come. */
  begun = false;
  readonly #held = new Promise<void>((resolve) => (this.release = resolve));

  override async file(
    entry: { path: string; mode: number; mtimeMs: number },
    content: AsyncIterable<Uint8Array>,
  ): Promise<{ sizeBytes: number; digest: string }> {
    if (entry.path.startsWith('base/')) {
      this.begun = true;
      await this.#held;
    }
    return super.file(entry, content);
  }
}

async function writeJournal(server: PostgresServer, megabytes: number): Promise<void> {
  const client = await server.connect();
  try {
    for (let written = 0; written < megabytes; written += 16)
      await client.query(
        "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1024 * 1024)) FROM generate_series(1, 16)",
      );
    await client.query('CHECKPOINT');
  } finally {
    await client.end();
  }
}

/** The same while nothing else of this process runs, as when an agent is stopped. */
function writeJournalUnheard({ url }: PostgresServer, megabytes: number): void {
  const script = `const { Client } = require('pg'); const c = new Client({ connectionString: '${url}' });
    c.connect().then(() => c.query("SELECT pg_logical_emit_message(false, 't', repeat('x', 1024 * 1024)) FROM generate_series(1, ${megabytes})"))
      .then(() => c.query('CHECKPOINT')).then(() => c.end())`;
  const { status, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

function journalOf(server: PostgresServer): number {
  return readdirSync(join(server.data, 'pg_wal')).filter((name) => /^[0-9A-F]{24}$/.test(name)).length;
}

for (const version of versions) {
  describe(`a checkpoint of PostgreSQL ${version} that is prepared for long`, () => {
    let lab: PostgresLab;
    before(async () => {
      lab = await postgresLab(version, { walSegmentMb: 16, settings: SMALL });
    });
    after(() => lab.remove());

    it('leaves pg_wal and the spool as small as they are otherwise, and has all of the journal', async () => {
      const { server, engine, folder } = lab;
      const client = await server.connect();
      const artifacts = new SlowSink();
      const spoolDirectory = join(folder, `spool-of-${version}`);
      mkdirSync(spoolDirectory);
      const { capture } = await beginCapture(engine, folder, { artifacts, spoolDirectory });
      // A file that was listed may have been stored meanwhile, and is gone.
      const sizeOf = (name: string): number =>
        statSync(join(spoolDirectory, name), { throwIfNoEntry: false })?.size ?? 0;
      const spool = (): number => readdirSync(spoolDirectory).reduce((sum, name) => sum + sizeOf(name), 0);
      try {
        const preparing = capture.prepare();
        await until('the base copy to begin', () => artifacts.begun);
        for (const gid of ['early', 'early, ended'])
          await client.query(`BEGIN; SELECT txid_current(); PREPARE TRANSACTION '${gid}'`);
        await client.query("COMMIT PREPARED 'early, ended'");
        for (let round = 0; round < 2; round += 1) await writeJournal(server, 128);
        await until('the spool to be stored', () => spool() <= 3 * SEGMENT, 60_000);
        await until(
          'the slot to follow',
          async () => {
            await server.query('CHECKPOINT');
            return journalOf(server) <= 8;
          },
          60_000,
        );
        artifacts.release();
        await preparing;
        await writeJournal(server, 64);
        await until('the spool to be stored', () => spool() <= 3 * SEGMENT, 60_000);
        await capture.arm(token());
        const { mark } = await capture.freeze(token());
        expect((await capture.thaw(token(), () => undefined)).type).to.equal('held');
        const facts = (await capture.collect()).engineFacts as PostgresFacts;
        await capture.close();

        const first = parseLsn(facts.startPosition ?? '') / BigInt(SEGMENT);
        const stored = artifacts.paths('journal/');
        expect(stored.length).to.be.greaterThan(16);
        expect(stored).to.deep.equal(
          stored.map((_, index) => `journal/${segmentName(first + BigInt(index), facts.timeline, SEGMENT)}`),
        );
        expect(stored.at(-1)).to.equal(
          `journal/${fileEndingAt(parseLsn(mark?.position ?? ''), facts.timeline, SEGMENT)}`,
        );
        expect(facts.preparedAtMark.map(({ gid }) => gid)).to.deep.equal(['early']);
        expect(facts.preparedEnded).to.deep.equal([{ gid: 'early, ended', outcome: 'committed' }]);
      } finally {
        artifacts.release();
        await capture.abort();
        await client.query("ROLLBACK PREPARED 'early'").catch(() => undefined);
        await client.end();
      }
    });

    it('counts for no list of synchronous standbys, not even for one that takes any', async () => {
      const { server, engine, folder } = lab;
      await server.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
      await server.query('SELECT pg_reload_conf()');
      const { capture } = await beginCapture(engine, folder);
      try {
        await capture.prepare();
        const client = await server.connect();
        let returned = false;
        const commit = client.query('CREATE TABLE waits ()').then(() => (returned = true));
        await until('the commit to wait', async () => {
          const rows = await server.query("SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
          return rows.length === 1;
        });
        // The slot moves on meanwhile, and more than once.
        const kept = async (): Promise<unknown> =>
          (
            await server.query(
              "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name LIKE 'stillpoint%'",
            )
          )[0];
        for (let moves = 0; moves < 2; moves += 1) {
          const before = JSON.stringify(await kept());
          await writeJournal(server, 16);
          await until('the slot to move on', async () => JSON.stringify(await kept()) !== before);
        }
        const whileItMoves = returned;
        await server.query('ALTER SYSTEM RESET synchronous_standby_names');
        await server.query('SELECT pg_reload_conf()');
        await commit;
        await client.end();

        expect(whileItMoves).to.equal(false);
      } finally {
        await server.query('ALTER SYSTEM RESET synchronous_standby_names');
        await server.query('SELECT pg_reload_conf()');
        await capture.abort();
      }
    });

    it('keeps its slot when less was received than the server would give', async () => {
      await lab.server.query('CHECKPOINT');
      let cause: Error | null = null;
      const slot = await JournalSlot.open({
        settings: lab.settings,
        mostBytes: 1024 ** 3,
        lost: (error) => (cause = error),
      });
      try {
        let looks = 0;
        slot.follow(() => {
          looks += 1;
          return 8n;
        });
        await until('the slot to be looked at', () => looks > 1);
        expect(cause).to.equal(null);
      } finally {
        slot.close();
      }
    });

    it('gives up its slot when the server would keep too much for it, and says so at once', async () => {
      const failures = await failuresOf(lab, { copy: { ...lab.settings.copy, mostJournal: SEGMENT } });

      expect(failures[0]?.code).to.equal('journal-behind');
      expect(failures[0]?.hint).to.contain('copy.mostJournal');
    });

    it('ends when the server ends its slot for max_slot_wal_keep_size, and names that setting', async () => {
      await lab.server.query("ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'");
      await lab.server.query('SELECT pg_reload_conf()');
      const failures = await failuresOf(lab, {});

      expect(failures[0]?.code).to.equal('journal-slot-lost');
      expect(failures[0]?.hint).to.contain('max_slot_wal_keep_size is 16MB');
    });
  });
}

/** What a prepared capture says by itself when it hears nothing while much is written. */
async function failuresOf(
  { server, settings, folder }: PostgresLab,
  change: Partial<PostgresSettings>,
): Promise<{ code: string; hint: string }[]> {
  const failures: { code: string; hint: string }[] = [];
  const lost: CheckpointContext['lost'] = (error) =>
    failures.push((error as { failure: { code: string; hint: string } }).failure);
  const engine = createPostgresEngine({ ...settings, ...change });
  const { capture } = await beginCapture(engine, folder, { lost });
  try {
    await capture.prepare();
    writeJournalUnheard(server, 160);
    await until('the capture to say that it is lost', () => failures.length > 0);
    await until('its slot to be gone', async () => {
      const rows = await server.query("SELECT FROM pg_replication_slots WHERE slot_name LIKE 'stillpoint%'");
      return rows.length === 0;
    });
    const refused = await capture
      .arm(token())
      .catch((error: unknown) => error as { failure: { code: string } });
    expect(refused).to.have.nested.property('failure.code', failures[0]?.code);
    return failures;
  } finally {
    await capture.abort();
  }
}

import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { setImmediate, setTimeout as pause } from 'node:timers/promises';
import type { Client } from 'pg';
import type { CheckpointContext } from '../../../../agent/engines/engine.ts';
import { postgres } from '../../../../agent/engines/postgres/postgres.ts';
import { createPostgresEngine } from '../../../../agent/engines/postgres/postgres-engine.ts';
import type { Purpose } from '../../../../shared/domain/purpose.ts';
import { failureOf } from '../../../repository/samples.ts';
import { killedAgent } from '../../kill-agent.ts';
import { beginCapture, token, type TestedCapture } from '../../tested-capture.ts';
import { FakeStandby } from '../fence/fake-standby.ts';
import {
  footprint,
  footprintAtRest,
  postgresLab,
  until,
  untilCommitsWait,
  versions,
  type PostgresLab,
} from '../lab.ts';

// Goal: while a quiesce holds, what was written is on disk, nobody's commit returns, reads go on, and it lasts as long as
// its job wants. Method: a server with limits for sessions that are shorter than the hold, behind each kind of fence.

const HOLD_MS = 3000;
const UNDONE_MS = 3000;
const LEASE_MS = 10_000;
const NAMES = 'FIRST 1 (stillpoint, a)';
/** As many as a checkpointer needs some tenths of a second for. */
const DIRTY_PAGES = 40_000;
const MAKE_DIRTY = 'UPDATE wide SET n = n + 1';
/** For how long a checkpointer runs between two looks. */
const STEP_NS = 20_000;
/** What a checkpointer waits for while it writes its dirty buffers. */
const WRITES = new Set(['DataFileWrite', 'DataFileFlush', 'DataFileSync']);

/** What ends sessions and statements on this server, of whomever. */
const LIMITS = [
  'statement_timeout = 1s',
  'lock_timeout = 1s',
  'idle_session_timeout = 1s',
  'idle_in_transaction_session_timeout = 1s',
  'wal_sender_timeout = 2s',
];

function quiescing(
  lab: PostgresLab,
  timeOutMs = 60_000,
  change: Partial<CheckpointContext> = {},
): Promise<TestedCapture> {
  const purpose: Purpose = { type: 'quiesce', allowReads: true, timeOutMs };
  const assignment = { hold: 'member', part: 'none' } as const;
  return beginCapture(lab.engine, lab.folder, { purpose, assignment, ...change });
}

for (const version of versions) {
  describe(`a quiesce of PostgreSQL ${version}`, () => {
    let lab: PostgresLab;
    before(async () => {
      lab = await postgresLab(version, { settings: ['autovacuum_naptime = 1s', ...LIMITS] });
    });
    after(() => lab?.remove());

    const insert = (id: number, note = ''): Promise<unknown> =>
      lab.server.query(`INSERT INTO entry VALUES (${id}, '${note}')`);

    it('has on disk what was written before it, holds commits, and lets reads go on [S68] [S69]', async () => {
      const [row] = await lab.server.query<{ path: string }>("SELECT pg_relation_filepath('entry') AS path");
      const onDisk = (text: string): boolean =>
        readFileSync(join(lab.server.data, row?.path ?? '')).includes(text);
      const { capture } = await quiescing(lab);
      await capture.prepare();
      await insert(1, 'written before');
      await capture.arm(token());
      expect(onDisk('written before')).to.equal(false);

      await capture.freeze(token());
      const isWritten = onDisk('written before');
      let returned = false;
      const late = insert(2).then(() => (returned = true));
      await untilCommitsWait(lab.server);
      const shown = await lab.server.query('SELECT id FROM entry');
      const wasHeld = !returned;
      const proof = await capture.thaw(token(), () => undefined);
      await late;
      const { engineFacts } = await capture.collect();
      await capture.close();

      expect(isWritten).to.equal(true);
      expect([wasHeld, shown.length]).to.deep.equal([true, 1]);
      expect(proof).to.have.property('type', 'held');
      expect(engineFacts).to.have.property('kind', 'primary');
    });

    it('is over at once when it cannot be reached in its time, and says what it waited for [S70] [S71] [S72]', async () => {
      const before = await footprintAtRest(lab.server);
      const { capture } = await quiescing(lab, 1);
      await capture.prepare();
      await lab.server.query(
        'CREATE TABLE large AS SELECT repeat(md5(i::text), 8) FROM generate_series(1, 40000) i',
      );
      await capture.arm(token());

      const failure = await failureOf(capture.freeze(token()));
      await capture.abort();
      await insert(10);

      expect(failure.code).to.equal('quiesce-timeout');
      expect(failure.message).to.match(/in 0\.001 s: .*its CHECKPOINT, which writes its dirty buffers/);
      expect(failure.isFinal).to.equal(true);
      expect(await footprintAtRest(lab.server)).to.deep.equal(before);
    });

    it('leaves nothing where it is given up while the server still writes', async () => {
      const before = await footprintAtRest(lab.server);
      const { capture } = await quiescing(lab);
      const begun = capture.prepare().catch((error: unknown) => error);
      await until('the CHECKPOINT to be asked for', async () => {
        const rows = await lab.server.query(
          "SELECT FROM pg_stat_activity WHERE application_name = 'stillpoint-write'",
        );
        return rows.length > 0;
      });
      await capture.abort();
      await begun;

      expect(await footprintAtRest(lab.server)).to.deep.equal(before);
    });

    it('is not broken by autovacuum, whose ANALYZE waits for nobody [S73]', async () => {
      // What is written into it is in no journal, and so is nothing that anybody waits for.
      await lab.server.query(
        'CREATE UNLOGGED TABLE busy (x int) WITH (autovacuum_analyze_threshold = 1, autovacuum_analyze_scale_factor = 0)',
      );
      const { capture } = await quiescing(lab);
      await capture.prepare();
      await capture.arm(token());
      await capture.freeze(token());
      await lab.server.query(
        'SET synchronous_commit = off; INSERT INTO busy SELECT i FROM generate_series(1, 50) i',
      );
      await until('it to be analyzed', async () => (await analyzed()) > 0, 30_000);
      const proof = await capture.thaw(token(), () => undefined);
      await capture.abort();

      expect(proof).to.have.property('type', 'held');
    });

    async function analyzed(): Promise<number> {
      const [row] = await lab.server.query<{ count: string }>(
        "SELECT autoanalyze_count::text AS count FROM pg_stat_user_tables WHERE relname = 'busy'",
      );
      return Number(row?.count);
    }

    it('lasts longer than any limit of the server for sessions, statements and silent standbys, behind each fence [S73]', async () => {
      const standby = await FakeStandby.join(lab.server, 'a');
      const lists = { '': 'set', "'ANY 1 (a)'": 'set', [`'${NAMES}'`]: 'standing' } as const;
      for (const [names, fence] of Object.entries(lists)) {
        await give(names === '' ? "''" : names);
        const engine = createPostgresEngine({ ...lab.settings, fence });
        const { capture } = await quiescing({ ...lab, engine });
        await capture.prepare();
        await capture.arm(token());
        await capture.freeze(token());
        let returned = false;
        const client = await lab.server.connect();
        await client.query('SET statement_timeout = 1000');
        const late = client
          .query(`INSERT INTO entry SELECT coalesce(max(id), 0) + 1 FROM entry`)
          .then(() => (returned = true));
        await until('the time to pass', timePassed(HOLD_MS));
        const wasHeld = !returned;
        const proof = await capture.thaw(token(), () => undefined);
        await late;
        await client.end();
        await capture.collect();
        await capture.close();

        expect(wasHeld, names).to.equal(true);
        expect(proof, names).to.have.property('type', 'held');
      }
      await give("''");
      standby.leave();
    });

    function timePassed(ms: number): () => boolean {
      const end = performance.now() + ms;
      return () => performance.now() > end;
    }

    async function give(names: string): Promise<void> {
      lab.server.configure([`synchronous_standby_names = ${names}`]);
      await lab.server.query('SELECT pg_reload_conf()');
      await until('the setting', async () => `'${(await footprint(lab.server)).names}'` === names);
    }
  });
}

describe('a quiesce of PostgreSQL 18 that has much to write', () => {
  let lab: PostgresLab;
  before(async () => {
    lab = await postgresLab('18', { settings: ['shared_buffers = 512MB', 'max_wal_size = 4GB'] });
    // One row in a page: an update of all makes each page dirty, and costs little.
    await lab.server.query(
      'CREATE TABLE wide (n int, text text) WITH (fillfactor = 10, autovacuum_enabled = off)',
    );
    await lab.server.query(
      `INSERT INTO wide SELECT 0, repeat(md5(i::text), 20) FROM generate_series(1, ${DIRTY_PAGES}) i`,
    );
  });
  after(() => lab?.remove());

  it('says what is waited for where much is to be written before anybody is held', async () => {
    const told = Promise.withResolvers<string>();
    const { capture } = await quiescing(lab, 5000, { waitsFor: told.resolve });
    const checkpointer = await Checkpointer.of(lab);
    await lab.server.query(MAKE_DIRTY);
    const prepared = capture.prepare();
    try {
      await checkpointer.stopWhereItWrites();
      expect(await told.promise).to.equal('a CHECKPOINT writes its dirty buffers, before anybody is held');
      // Nobody is held by it.
      await lab.server.query('INSERT INTO entry VALUES (-2)');
    } finally {
      checkpointer.goOn();
      await prepared;
      await capture.abort();
    }
  });

  it('lets commits go on at once where it is given up in the midst of its CHECKPOINT, however long that takes [S71]', async () => {
    const { capture } = await quiescing(lab, 5000);
    await capture.prepare();
    await lab.server.query(MAKE_DIRTY);
    const checkpointer = await Checkpointer.of(lab);
    await capture.arm(token());
    const freezing = failureOf(capture.freeze(token()));
    let ended: Promise<unknown> | null = null;
    try {
      await checkpointer.stopWhereItWrites();
      const failure = await freezing;
      let hasEnded = false;
      ended = capture.abort().then(() => (hasEnded = true));
      // For longer than an undo takes.
      const end = performance.now() + UNDONE_MS;
      let commits = 0;
      for (; performance.now() < end; commits += 1)
        await lab.server.query(`INSERT INTO entry VALUES (${commits})`);

      expect(failure.code).to.equal('quiesce-timeout');
      expect(commits).to.be.greaterThan(2);
      // What was set is taken back when the server can take it.
      expect(hasEnded).to.equal(false);
    } finally {
      checkpointer.goOn();
      await (ended ?? capture.abort());
    }
    await lab.server.query('INSERT INTO entry VALUES (-1)');
    const [names] = await lab.server.query('SHOW synchronous_standby_names');
    expect(names).to.deep.equal({ synchronous_standby_names: '' });
  });

  for (const lost of ['an agent that is killed', 'a fence that is lost'] as const)
    it(`lets commits go on within the lease where ${lost} leaves them to the midst of a CHECKPOINT [S71]`, async () => {
      const checkpointer = await Checkpointer.of(lab);
      const { undo, end } = lost === 'an agent that is killed' ? await killed() : await fenceLost();
      const [writer, flusher, client] = await Promise.all([1, 2, 3].map(() => lab.server.connect()));
      await writer?.query('BEGIN');
      await writer?.query(MAKE_DIRTY);
      await flusher?.query('SET statement_timeout = 0');
      let committing = Promise.resolve();
      const flushed = flusher?.query('CHECKPOINT');
      try {
        await checkpointer.stopWhereItWrites();
        await client?.query('SET statement_timeout = 0');
        await undo();
        let commits = 0;
        committing = (async () => {
          for (; commits < 10; commits += 1)
            await client?.query('INSERT INTO entry SELECT coalesce(min(id), 0) - 1 FROM entry');
        })();
        await until('commits to go on', () => commits === 10, LEASE_MS);
      } finally {
        checkpointer.goOn();
        await Promise.all([flushed, committing]);
        await end();
        for (const session of [writer, flusher, client]) await session?.end();
      }
      await lab.server.query('INSERT INTO entry SELECT coalesce(min(id), 0) - 1 FROM entry');
      expect((await footprint(lab.server)).inFile).to.deep.equal([]);
    });

  interface Left {
    /** Begins what lets go. */
    undo(): Promise<unknown>;
    /** Resolves when nothing is left. */
    end(): Promise<void>;
  }

  async function killed(): Promise<Left> {
    const guardian = await postgres.openGuardian(lab.settings);
    const undo = await killedAgent(lab.settings, lab.folder, 'frozen', token());
    return {
      undo: () => guardian.undo(undo).catch(() => undefined),
      async end() {
        await until('the undo', () =>
          guardian.undo(undo).then(
            () => true,
            () => false,
          ),
        );
        await guardian.close();
      },
    };
  }

  async function fenceLost(): Promise<Left> {
    const { capture } = await quiescing(lab);
    await capture.prepare();
    await capture.arm(token());
    await capture.freeze(token());
    return {
      undo: () =>
        lab.server.query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = 'stillpoint'",
        ),
      end: () => capture.abort(),
    };
  }
});

/** The process that writes a server's dirty buffers, and can be stopped in the midst of it. */
class Checkpointer {
  readonly #client: Client;
  readonly #pid: number;

  private constructor(client: Client, pid: number) {
    this.#client = client;
    this.#pid = pid;
  }

  static async of({ server }: PostgresLab): Promise<Checkpointer> {
    const client = await server.connect();
    await client.query('SET statement_timeout = 0');
    const { rows } = await client.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'",
    );
    const { pid } = rows[0] as { pid: number };
    // However busy the machine is: what looks at it runs before it does.
    setPriority(pid, 19);
    return new Checkpointer(client, pid);
  }

  /** Stops it where it writes a page: there it has no lock that a commit needs. */
  async stopWhereItWrites(): Promise<void> {
    try {
      for (const end = performance.now() + 30_000; performance.now() < end;) {
        process.kill(this.#pid, 'SIGSTOP');
        const seen = await this.#waitsFor();
        // It stops a moment after it was told to: what is seen twice is where it stands.
        if (WRITES.has(seen) && (await this.#waitsFor()) === seen) return;
        await this.#goOnABit(seen === 'CheckpointerMain');
      }
      throw new Error('its checkpointer was not found while it wrote');
    } finally {
      await this.#client.end();
    }
  }

  goOn(): void {
    process.kill(this.#pid, 'SIGCONT');
  }

  /**
   * Between two looks it has run, however busy the machine is, and for as short a while as there is: all of its writing
   * may take some tenths of a second.
   */
  async #goOnABit(isIdle: boolean): Promise<void> {
    const before = this.#ranNs();
    this.goOn();
    if (isIdle) await pause(1);
    else for (let i = 0; i < 1000 && this.#ranNs() < before + STEP_NS; i += 1) await setImmediate();
  }

  /** For how long it has run, as proc_pid_schedstat(5) counts it. */
  #ranNs(): number {
    return Number(readFileSync(`/proc/${this.#pid}/schedstat`, 'utf8').split(' ')[0]);
  }

  async #waitsFor(): Promise<string> {
    const { rows } = await this.#client.query<{ event: string | null }>(
      "SELECT wait_event AS event FROM pg_stat_activity WHERE backend_type = 'checkpointer'",
    );
    return rows[0]?.event ?? '';
  }
}

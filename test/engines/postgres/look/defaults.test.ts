import { expect } from 'chai';
import { once } from 'node:events';
import { createPostgresEngine } from '../../../../agent/engines/postgres/postgres-engine.ts';
import { killedAgent } from '../../kill-agent.ts';
import { beginCapture, token } from '../../tested-capture.ts';
import { footprint, postgresLab, until, type PostgresLab } from '../lab.ts';

// Goal: what an owner has set for the sessions of a server, or does with each of them, stands in nobody's way.
// Method: one server of the newest version, with defaults that are against us.

const MEGABYTE = 1024 ** 2;

type Begun = ReturnType<typeof beginCapture>;
const begun: Awaited<Begun>[] = [];

/** Aborted after the test, whatever has become of it. */
async function capturing(...given: Parameters<typeof beginCapture>): Begun {
  const tested = await beginCapture(...given);
  begun.push(tested);
  return tested;
}

async function abortAll(): Promise<void> {
  for (const { capture } of begun.splice(0)) await capture.abort().catch(() => undefined);
}

describe('a PostgreSQL server whose defaults for sessions are against us', () => {
  let lab: PostgresLab;
  before(async () => {
    lab = await postgresLab('18');
  });
  after(() => lab.remove());
  afterEach(async () => {
    await abortAll();
    const client = await lab.server.connect();
    await client.query('SET statement_timeout = 0; SET transaction_timeout = 0');
    await client.query('ALTER SYSTEM RESET ALL');
    await client.query('SELECT pg_reload_conf()');
    await client.end();
  });

  async function byDefault(settings: readonly string[]): Promise<void> {
    for (const setting of settings) await lab.server.query(`ALTER SYSTEM SET ${setting}`);
    await lab.server.query('SELECT pg_reload_conf()');
  }

  it('is captured though it ends each session that is idle or busy for a moment', async () => {
    await byDefault([
      "idle_session_timeout = '200ms'",
      "statement_timeout = '500ms'",
      "lock_timeout = '5ms'",
      "idle_in_transaction_session_timeout = '5ms'",
      "transaction_timeout = '50ms'",
      "wal_sender_timeout = '300ms'",
      'extra_float_digits = -10',
      'default_transaction_read_only = on',
      'default_transaction_isolation = serializable',
      'default_transaction_deferrable = on',
    ]);
    // Longer than any of these.
    const engine = createPostgresEngine({
      ...lab.settings,
      copy: { ...lab.settings.copy, maxRate: 20 * MEGABYTE },
    });
    const { capture } = await capturing(engine, lab.folder);
    const { problems } = await engine.describe(AbortSignal.timeout(10_000));
    await capture.prepare();
    await capture.arm(token());
    // Another session meets the limits meanwhile: of a statement, then of one that is idle.
    const other = await lab.server.connect();
    other.on('error', () => undefined);
    const ended = once(other, 'end').catch((error: Error) => error.message);
    await other.query('SET transaction_timeout = 0');
    const refused = await other.query('SELECT pg_sleep(60)').catch((error: Error) => error.message);
    const idle = await ended;
    await capture.freeze(token());
    const proof = await capture.thaw(token(), () => undefined);
    const { mark } = await capture.collect();
    await capture.close();

    expect(refused).to.match(/statement timeout/);
    expect(idle).to.match(/idle-session timeout/);
    expect(problems).to.deep.equal([]);
    expect(proof.type).to.equal('held');
    expect(mark).to.not.equal(null);
  });

  it('is captured whatever the URL of its connection would set', async () => {
    const url = `${lab.settings.connection}?replication=true&statement_timeout=20&query_timeout=1&keepAlive=false`;
    const { capture } = await capturing(
      createPostgresEngine({ ...lab.settings, connection: url }),
      lab.folder,
    );
    await capture.prepare();
    await capture.arm(token());
    await capture.freeze(token());

    expect((await capture.thaw(token(), () => undefined)).type).to.equal('held');
  });

  it('is thawed where each login writes, and would wait for the fence itself', async () => {
    await lab.server.query(`
      CREATE TABLE login_log (who text, at timestamptz);
      CREATE FUNCTION log_login() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN INSERT INTO login_log VALUES (session_user, now()); END $$;
      CREATE EVENT TRIGGER log_login ON login EXECUTE FUNCTION log_login();
      ALTER EVENT TRIGGER log_login ENABLE ALWAYS`);
    const owner = await lab.server.connect();
    try {
      const undo = await killedAgent(lab.settings, lab.folder, 'frozen', token());

      await lab.engine.undo(undo);

      const commit = lab.server.query('INSERT INTO entry VALUES (8000000)').then(() => true);
      const late = new Promise((resolve) => setTimeout(() => resolve(false), 5000));
      expect(await Promise.race([commit, late])).to.equal(true);
      expect((await footprint(lab.server)).inFile).to.deep.equal([]);
    } finally {
      await owner.query('SET synchronous_commit = local');
      await owner.query('ALTER SYSTEM RESET synchronous_standby_names');
      await owner.query('SELECT pg_reload_conf()');
      await owner.query('DROP EVENT TRIGGER log_login');
      await owner.end();
    }
  });

  it("does not run what its database's owner has named like something of the server", async () => {
    await lab.server.query(`
      CREATE SCHEMA trap; GRANT USAGE ON SCHEMA trap TO PUBLIC;
      CREATE TABLE trap.caught (who text); GRANT ALL ON trap.caught TO PUBLIC;
      CREATE FUNCTION trap.pg_is_in_recovery() RETURNS boolean LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO trap.caught VALUES (current_user); RETURN false; END $$;
      ALTER DATABASE postgres SET search_path = trap, pg_catalog`);
    try {
      const { capture } = await capturing(lab.engine, lab.folder);
      await capture.prepare();
      await capture.arm(token());
      await capture.abort();
      await lab.engine.diagnose(AbortSignal.timeout(10_000));

      expect(await lab.server.query('SELECT DISTINCT who FROM trap.caught')).to.deep.equal([]);
    } finally {
      await lab.server.query('ALTER DATABASE postgres RESET search_path');
      await lab.server.query('DROP SCHEMA trap CASCADE');
    }
  });

  it('keeps its journal for a copy also where slots that nobody touches are ended', async () => {
    await byDefault(["idle_replication_slot_timeout = '2s'"]);
    const lost: unknown[] = [];
    const { capture } = await capturing(lab.engine, lab.folder, {
      lost: (error) => void lost.push(error),
    });
    await capture.prepare();
    await lab.server.query("SELECT pg_create_physical_replication_slot('untouched', true)");
    try {
      await until('a slot that nobody touches to be ended', async () => {
        // A server ends idle slots with its own checkpoints.
        await lab.server.query('CHECKPOINT');
        const rows = await lab.server.query(
          "SELECT FROM pg_replication_slots WHERE slot_name = 'untouched' AND invalidation_reason = 'idle_timeout'",
        );
        return rows.length === 1;
      });
      const slots = await lab.server.query(
        "SELECT wal_status FROM pg_replication_slots WHERE slot_name <> 'untouched'",
      );

      expect(slots).to.have.length(1);
      expect(slots[0]).to.have.property('wal_status').that.is.oneOf(['reserved', 'extended']);
      expect(lost).to.deep.equal([]);
    } finally {
      await capture.abort();
      await lab.server.query("SELECT pg_drop_replication_slot('untouched')");
    }
  });
});

describe('a PostgreSQL server that others change while it is armed', () => {
  let lab: PostgresLab;
  before(async () => {
    lab = await postgresLab('18');
  });
  after(() => lab.remove());
  afterEach(async () => {
    await abortAll();
    await lab.server.query('ALTER SYSTEM RESET ALL');
    await lab.server.query('SELECT pg_reload_conf()');
  });

  it('is not armed a second time, by another agent: its list would be kept as the one of its owner', async () => {
    const one = await capturing(lab.engine, lab.folder);
    const other = await capturing(createPostgresEngine(lab.settings), lab.folder);
    await one.capture.prepare();
    await other.capture.prepare();
    await one.capture.arm(token());
    const failure = await other.capture.arm(token()).then(
      () => null,
      (error: unknown) => error,
    );
    await one.capture.abort();
    await other.capture.abort();

    expect(failure).to.have.nested.property('failure.code', 'postgres-armed');
    expect((await footprint(lab.server)).inFile).to.deep.equal([]);
    await until('a commit to return', async () => {
      await lab.server.query('INSERT INTO entry VALUES (8100000) ON CONFLICT DO NOTHING');
      return true;
    });
  });

  it('keeps what its owner writes into synchronous_standby_names meanwhile, and does not reload yet', async () => {
    const { capture } = await capturing(lab.engine, lab.folder);
    await capture.prepare();
    await capture.arm(token());
    await lab.server.query("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (later, never)'");
    await capture.freeze(token());
    await capture.thaw(token(), () => undefined);
    const { inFile } = await footprint(lab.server);
    await capture.abort();

    expect(inFile).to.deep.equal(["synchronous_standby_names = 'ANY 1 (later, never)'"]);
  });
});

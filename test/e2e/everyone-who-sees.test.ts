import { expect } from 'chai';
import { Client, type ClientConfig } from 'pg';
import type { CheckpointReport, DoctorReport } from '../../coordinator/reports.ts';
import type { Failure } from '../../shared/domain/errors.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { until, type Finished } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: no cut is called proven while somebody could see more than its members show: a standby that nobody
// holds, or a subscriber. Method: they come while a checkpoint prepares, or are there from the beginning.

const CREATE = ['checkpoint', 'create', 'x', '--output', 'json', '--quiet'];

describe('a checkpoint of a grid in which others have the journal', () => {
  const folder = temporaryFolder('hooks');
  const hooks = new Hooks(`${folder.path}/hooks`);
  let grid: TestGrid;

  before(async () => {
    grid = await createGrid({
      hosts: ['127.0.47.1', '127.0.47.2'],
      copysets: [
        { name: 'a', hosts: [0, 1] },
        { name: 'b', hosts: [1] },
      ],
      settings: ['wal_level = logical'],
      env: hooks.env,
    });
    for (const name of ['aa', 'ba'])
      await grid.member(name).server.query('CREATE TABLE t (x int PRIMARY KEY)');
  });
  afterEach(() => hooks.reset());
  after(async () => {
    await grid?.close();
    folder.remove();
  });

  function errorOf({ stdout }: Finished): Failure {
    return (JSON.parse(stdout) as { error: Failure }).error;
  }

  async function streams(name: string): Promise<void> {
    await until(`${name} to stream`, async () => {
      const rows = await grid
        .member('aa')
        .server.query(
          `SELECT FROM pg_stat_replication WHERE application_name = '${name}' AND state = 'streaming' AND replay_lsn IS NOT NULL`,
        );
      return rows.length === 1;
    });
  }

  async function createAfter(moment: string, happening: () => Promise<void>): Promise<Finished> {
    hooks.hold(moment, 'aa');
    const command = grid.begin(CREATE);
    try {
      await hooks.reachedBy(command, moment, 'aa', 90_000);
      await happening();
    } finally {
      hooks.reset();
      await command.finished;
    }
    return command.finished;
  }

  /** As a change-data-capture tool does: it stays, and reads what the subscription has left. */
  async function readSlot(): Promise<Client> {
    const { server } = grid.member('aa');
    const consumer = new Client({ connectionString: server.url, replication: 'database' } as ClientConfig);
    consumer.on('error', () => undefined);
    await consumer.connect();
    const command = "START_REPLICATION SLOT s LOGICAL 0/0 (proto_version '1', publication_names 'p')";
    consumer.query(command).catch(() => undefined);
    await until('it to be read', async () => {
      const rows = await server.query('SELECT FROM pg_replication_slots WHERE active');
      return rows.length === 1;
    });
    return consumer;
  }

  for (const [moment, when] of [
    ['prepared', 'while it prepares'],
    ['armed', 'when all have been armed'],
  ] as const) {
    it(`is invalid when a standby that was down comes up ${when}, and valid with it afterwards`, async () => {
      const { server } = grid.member('ab');
      server.stop();

      const ended = await createAfter(moment, async () => {
        await server.start();
        await streams('ab');
      });

      expect(ended.code, ended.stdout).to.equal(6);
      expect(errorOf(ended)).to.include({ code: 'unheld-standby', member: 'aa' });
      expect(errorOf(ended).message).to.include('standby ab at ');
      await grid.expectUntouched();
      const next = await grid.run(CREATE);
      expect(next.code, next.stdout).to.equal(0);
      expect((next.json as CheckpointReport).members.map(({ name }) => name)).to.include('ab');
    });
  }

  it('is refused while a subscription of a member is asynchronous, and doctor names the statement that helps', async () => {
    const [aa, ba] = ['aa', 'ba'].map((name) => grid.member(name).server);
    await aa?.query('CREATE PUBLICATION p FOR TABLE t');
    await ba?.query(
      `CREATE SUBSCRIPTION s CONNECTION 'host=${aa?.host} port=${aa?.port} user=postgres dbname=postgres' PUBLICATION p`,
    );

    const refused = await grid.run(CREATE);
    const doctor = await grid.run(['grid', 'doctor', '--output', 'json']);

    expect(refused.code).to.equal(3);
    const { code, hint } = errorOf(refused);
    expect(code).to.equal('subscription-asynchronous');
    expect((doctor.json as DoctorReport).findings.map(({ failure }) => failure.hint)).to.include(hint);
    expect(hint).to.include('ALTER SUBSCRIPTION "s" SET (synchronous_commit = on);');
  });

  it('is refused where a member subscribes to a member, whatever is allowed, and both are named', async () => {
    await grid.member('ba').server.query('ALTER SUBSCRIPTION s SET (synchronous_commit = on)');
    for (const options of [[], ['--allow-logical']]) {
      const refused = await grid.run([...CREATE, ...options]);
      expect(refused.code, refused.stdout).to.equal(3);
      expect(errorOf(refused)).to.include({ code: 'logical-member', member: 'ba' });
      expect(errorOf(refused).message).to.include('subscription s to publication p');
    }
  });

  it('is refused where somebody outside reads a logical slot, unless that is allowed', async () => {
    const { server } = grid.member('ba');
    await server.query('ALTER SUBSCRIPTION s DISABLE');
    await until('the subscriber to have let go', async () => {
      const rows = await grid.member('aa').server.query('SELECT FROM pg_replication_slots WHERE active');
      return rows.length === 0;
    });
    const silent = await grid.run(CREATE);
    expect(silent.code, silent.stdout).to.equal(0);

    await server.query('ALTER SUBSCRIPTION s SET (slot_name = NONE)');
    await server.query('DROP SUBSCRIPTION s');
    const consumer = await readSlot();
    try {
      const refused = await grid.run(CREATE);
      const allowed = await grid.run([...CREATE, '--allow-logical']);

      expect(refused.code, refused.stdout).to.equal(3);
      expect(errorOf(refused)).to.include({ code: 'logical-outside', member: 'aa' });
      expect(allowed.code, allowed.stdout).to.equal(0);
    } finally {
      await consumer.end();
    }
  });
});

import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CheckpointReport, RestoreReport } from '../../coordinator/reports.ts';
import { CausalClients, checkOrder, UNHURRIED } from '../lab/causal-clients.ts';
import { postgresShards, TABLE_SQL } from '../lab/shards.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { stillpoint, until } from '../lab/processes.ts';

const COPYSETS = [
  { name: 'orders', hosts: [0] },
  { name: 'ledger', hosts: [1, 0] },
];
const MAPS = ['--map', '127.0.11.1=127.0.12.1', '--map', '127.0.11.2=127.0.12.2'];
/** No client has this number. */
const NEVER_COMMITTED = -1;
const JSON_OUTPUT = ['--output', 'json', '--quiet'];

// With the newest version; that it is so with the others: postgres-versions.test.ts, and test/engines/postgres.
describe('a live grid of PostgreSQL 18 servers', () => {
  let grid: TestGrid;
  let other: TestGrid;
  let clients: CausalClients;
  let report: CheckpointReport;
  let began: number;

  before(async () => {
    grid = await createGrid({
      templates: true,
      walSegmentMb: 16,
      hosts: ['127.0.11.1', '127.0.11.2'],
      copysets: COPYSETS,
    });
    other = await createGrid({
      beside: grid,
      empty: true,
      hosts: ['127.0.12.1', '127.0.12.2'],
      copysets: COPYSETS,
    });
    for (const { server } of grid.primaries) await server.query(TABLE_SQL);
    const urls = grid.primaries.map(({ server }) => server.url);
    clients = await CausalClients.start(postgresShards(urls), 4, UNHURRIED);
    await until('writes', () => clients.writes.length > 500);
  });

  after(async () => {
    await clients?.stop();
    await other?.close();
    await grid?.close();
  });

  it('is captured while its clients write, with the least-privileged role [S8] [S53]', async () => {
    const pids = grid.members.map(({ server }) => server.postmasterPid());
    // A transaction that is open at the mark, and in the journal by then: it ends with its server.
    const open = await grid.member('ordersa').server.connect();
    await open.query('BEGIN');
    await open.query(`INSERT INTO causal VALUES (${NEVER_COMMITTED}, 0)`);
    began = performance.now();
    const { code, stdout, stderr } = await grid.run(['checkpoint', 'create', 'nightly', ...JSON_OUTPUT]);
    expect(code, stderr + stdout).to.equal(0);
    report = JSON.parse(stdout) as CheckpointReport;
    expect(stderr).to.equal('');
    expect(report.checkpoint).to.match(/^\d{8}T\d{6}\.\d{3}Z_00000000_00000001_nightly$/);
    expect(report.journalMap).to.have.all.keys(
      grid.primaries.map(({ server }) => `${server.host}:${server.port}`),
    );
    for (const file of Object.values(report.journalMap)) expect(file).to.match(/^[0-9A-F]{24}$/);
    expect(report.members.map(({ name }) => name)).to.have.members(['ordersa', 'ledgera', 'ledgerb']);
    expect(report.members.every(({ state }) => state === 'captured')).to.equal(true);
    expect(report.windowMs).to.be.greaterThan(0);
    expect(grid.members.map(({ server }) => server.postmasterPid())).to.deep.equal(pids);
  });

  it('is as it was afterwards: setting, slots, connections, replay', async () => {
    await grid.expectUntouched();
  });

  it('is closed and not aborted, as the logs of the agents tell it', async () => {
    const said = (): string => grid.hosts.map(({ log }) => readFileSync(log, 'utf8')).join('');
    for (const { name } of grid.members)
      await until(`the part of ${name} to be closed`, () =>
        said().includes(`"event":"closed","member":"${name}"`),
      );
    expect(said()).to.not.include('"event":"aborted"');
  });

  it('is listed, described and verified from the repository alone [S38]', async () => {
    const second = await grid.run(['checkpoint', 'create', 'nightly_2', ...JSON_OUTPUT]);
    expect(second.code, second.stderr).to.equal(0);
    expect(second.json).to.include({ counter: 2, epoch: 0 });
    const alone = ['--repository', grid.repository, '--output', 'json'];
    const list = await stillpoint(['checkpoint', 'list', ...alone]);
    const { checkpoints } = list.json as { checkpoints: { name: string; state: string }[] };
    expect(checkpoints.map(({ name, state }) => `${name} ${state}`)).to.deep.equal([
      'nightly_2 valid',
      'nightly valid',
    ]);
    const described = await stillpoint(['checkpoint', 'describe', 'nightly', ...alone]);
    expect(described.json).to.deep.include({
      journalMap: report.journalMap,
      checkpoint: report.checkpoint,
    });
    const verified = await stillpoint(['checkpoint', 'verify', 'latest', ...alone]);
    expect(verified.json).to.include({ verified: true });
  });

  it('is planned for other hosts without touching them', async () => {
    const plan = await other.run(['restore', 'nightly', '--dry-run', ...JSON_OUTPUT, ...MAPS]);
    expect(plan.code, plan.stderr + plan.stdout).to.equal(0);
    const { members, verified } = plan.json as RestoreReport;
    expect(members.every(({ state }) => state === 'planned')).to.equal(true);
    expect(verified).to.equal(false);
  });

  it('comes back elsewhere with nothing missing and nothing out of order [S1] [S2] [S3] [S5] [S56]', async () => {
    await until('writes after the checkpoint', () =>
      clients.writes.some(({ sentAt }) => sentAt > began + 1000),
    );
    await grid.killEverything();
    await clients.stop();
    const restored = await other.run(['restore', 'nightly', '--yes', ...JSON_OUTPUT, ...MAPS]);
    expect(restored.code, restored.stderr + restored.stdout).to.equal(0);
    expect(restored.json).to.include({ verified: true, checkpoint: report.checkpoint });
    const urls = other.primaries.map(({ server }) => server.url);
    const order = await checkOrder(postgresShards(urls), clients.writes, began);
    expect(order).to.include({ missing: 0, withoutCause: 0 });
    expect(order.found).to.be.greaterThan(500);
  });

  it('has rolled back what was open at the mark, by the recovery of the server itself [S63]', async () => {
    const { server } = other.member('ordersa');
    const counted = await server.query<{ open: number; all: number }>(
      `SELECT count(*) FILTER (WHERE client = ${NEVER_COMMITTED})::int AS open, count(*)::int AS all FROM causal`,
    );
    expect(counted[0]?.open).to.equal(0);
    expect(counted[0]?.all).to.be.greaterThan(100);
  });

  it('has equal rows on all nodes of a copyset, and a standby that follows its new primary', async () => {
    const rows = (name: string): Promise<unknown> =>
      other.member(name).server.query('SELECT * FROM causal ORDER BY 1, 2');
    expect(await rows('ledgerb')).to.deep.equal(await rows('ledgera'));
    const [standby] = await other.member('ledgerb').server.query('SELECT pg_is_in_recovery() AS recovering');
    expect(standby).to.deep.equal({ recovering: true });
    await other.member('ledgera').server.query('INSERT INTO causal VALUES (999, 0)');
    await until('the standby to follow', async () => {
      const found = await other.member('ledgerb').server.query('SELECT FROM causal WHERE client = 999');
      return found.length === 1;
    });
  });

  it('has no setting of the recovery or of the fence left', () => {
    for (const { server } of other.primaries) {
      const text = readFileSync(join(server.data, 'postgresql.auto.conf'), 'utf8');
      expect(text).not.to.match(/recovery_target|restore_command|synchronous_standby_names/);
    }
  });

  it('is restored in place, but only when every process is stopped [S9]', async () => {
    await other.member('ordersa').server.query('DELETE FROM causal');
    const blocked = await other.run(['restore', 'nightly', '--yes', ...JSON_OUTPUT, ...MAPS]);
    expect(blocked.code).to.equal(3);
    expect(blocked.json).to.have.nested.property('error.code', 'member-running');
    const restored = await other.run(['restore', 'nightly', '--yes', '--stop', ...JSON_OUTPUT, ...MAPS]);
    expect(restored.code, restored.stderr + restored.stdout).to.equal(0);
    const [row] = await other
      .member('ordersa')
      .server.query<{ count: number }>('SELECT count(*)::int FROM causal');
    expect(row?.count).to.be.greaterThan(100);
  });
});

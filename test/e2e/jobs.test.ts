import { expect } from 'chai';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HeldGrid, HoldReport } from '../../coordinator/jobs/hold-report.ts';
import type { Failure } from '../../shared/domain/errors.ts';
import { CausalClients, UNHURRIED } from '../lab/causal-clients.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { until, type RunningCommand } from '../lab/processes.ts';
import { postgresShards, TABLE_SQL } from '../lab/shards.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: operators hold PostgreSQL servers for tools of their own as far as a server can be held, are told before what it
// cannot, and nobody stays held. Method: the real commands, servers, and clients that write all the while.

const JSON_OUTPUT = ['--output', 'json'];
const LEASE_S = 3;

describe('a job that holds a grid of PostgreSQL servers', () => {
  const folder = temporaryFolder('jobs');
  let grid: TestGrid;
  let clients: CausalClients;

  before(async () => {
    grid = await createGrid({
      hosts: ['127.0.65.1', '127.0.65.2'],
      copysets: [
        { name: 'a', hosts: [0, 1] },
        { name: 'b', hosts: [1] },
      ],
      leaseSeconds: LEASE_S,
    });
    for (const { server } of grid.primaries) await server.query(TABLE_SQL);
    clients = await CausalClients.start(
      postgresShards(grid.primaries.map(({ server }) => server.url)),
      2,
      UNHURRIED,
    );
  });

  after(async () => {
    await clients?.stop();
    await grid?.close();
    folder.remove();
  });

  const primary = (index: number): string => grid.primaries[index]?.server.url ?? '';
  const written = (): number => clients.writes.length;
  const expectWrites = async (): Promise<void> => {
    const before = written();
    await until('clients to write', () => written() > before + 20);
  };
  /** Nobody has got an acknowledgement for longer than any write takes. */
  const expectNoWrites = async (): Promise<void> => {
    await until('every client to wait', () => clients.underWayMs(performance.now()) > 1000);
    const before = written();
    await until('nobody to be answered', () => clients.underWayMs(performance.now()) > 2000);
    expect(written()).to.equal(before);
  };

  async function held(
    name: string,
    what: string,
    ...args: readonly string[]
  ): Promise<{ job: RunningCommand; info: HeldGrid }> {
    const path = join(folder.path, `${name}.json`);
    const job = grid.begin([what, '--info', path, ...JSON_OUTPUT, ...args]);
    let ended = false;
    void job.finished.then(() => (ended = true));
    await until(`${name} to hold`, () => ended || existsSync(path));
    if (ended) throw new Error(`it ended: ${(await job.finished).stdout} ${job.stderr()}`);
    return { job, info: JSON.parse(readFileSync(path, 'utf8')) as HeldGrid };
  }

  async function refusal(...args: readonly string[]): Promise<{ code: number | null; error: Failure }> {
    const { code, json } = await grid.run([...args, ...JSON_OUTPUT]);
    return { code, error: (json as { error: Failure }).error };
  }

  it('is told before what a server cannot do, and what does the same, with nothing touched', async () => {
    const quiesce = await refusal('quiesce');
    expect(quiesce.code).to.equal(3);
    expect(quiesce.error).to.include({ phase: 'preflight' });
    expect(quiesce.error.hint).to.include('--allow-reads');
    const freeze = await refusal('freeze');
    expect(freeze.code).to.equal(3);
    expect(freeze.error.hint).to.include('journal-checkpoint');
    for (const { error } of [quiesce, freeze])
      expect(['a1', 'a2', 'b1', ...grid.members.map(({ name }) => name)]).to.include(error.member);
    await expectWrites();
  });

  it('[S68] [S73] holds writes, and no reads, until it is resumed with its token', async () => {
    const { job, info } = await held('quiesce', 'quiesce', '--allow-reads');
    await expectNoWrites();
    for (const index of [0, 1])
      expect(await postgresShards([primary(index)])[0]?.rows()).to.have.length.greaterThan(0);
    const resumed = await grid.run(['resume', '--job', info.job, ...JSON_OUTPUT]);
    expect(resumed.code).to.equal(0);
    expect(resumed.json).to.deep.include({ state: 'resumed', number: info.number });
    expect((await job.finished).code).to.equal(0);
    await expectWrites();
  });

  it('[S76] [S77] makes a journal checkpoint while clients write, with one journal for each data server', async () => {
    const { code, json } = await grid.run(['journal-checkpoint', ...JSON_OUTPUT]);
    const { journalMap, windowMs } = json as HoldReport;
    expect(code).to.equal(0);
    expect(Object.keys(journalMap)).to.have.length(grid.primaries.length);
    for (const file of Object.values(journalMap)) expect(file).to.match(/^[0-9A-F]{24}$/);
    expect(windowMs).to.be.below(1000);
  });

  it('[S71] leaves nobody held when its job is killed: clients write again within the lease', async () => {
    const { job } = await held('killed', 'quiesce', '--allow-reads');
    await expectNoWrites();
    job.signal('SIGKILL');
    await job.finished;
    const from = performance.now();
    await expectWrites();
    expect(performance.now() - from).to.be.below((LEASE_S + 5) * 1000);
    const { json } = await grid.run(['checkpoint', 'list', '--all', ...JSON_OUTPUT]);
    const { checkpoints } = json as { checkpoints: { purpose?: string }[] };
    expect(checkpoints.map(({ purpose }) => purpose)).to.have.members(['quiesce', 'journalCheckpoint']);
    await grid.expectUntouched();
  });

  it('is aborted where a server dies while it is held, and says that the copies are worth nothing', async () => {
    const { job } = await held('died', 'quiesce', '--allow-reads');
    const [, second] = grid.primaries;
    second?.server.stop('immediate');
    const { code, json } = await job.finished;
    const { error } = json as { error: Failure };
    expect(code).to.equal(4);
    expect(error.member).to.equal(second?.name);
    expect(error.hint).to.include('is not to be trusted');
    await second?.server.start();
  });
});

import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { until, type Finished, type RunningCommand } from '../lab/processes.ts';
import { networkTo, type Network } from '../lab/proxy.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: until somebody is armed nothing is final. A connection that is cut and mended costs the time of the cut, a
// server that does not listen for some seconds costs these, a standby that is read from or delayed costs nothing.
// Method: a proxy before one of two agents; the server's checkpointer stopped; a report, and a delay, on a standby.

const LEASE_SECONDS = 4;
const CREATE = ['checkpoint', 'create', 'x', '--output', 'json'];

describe('a checkpoint before its first arm', () => {
  const folder = temporaryFolder('hooks');
  const hooks = new Hooks(`${folder.path}/hooks`);
  let grid: TestGrid;
  let network: Network;

  before(async () => {
    grid = await createGrid({
      hosts: ['127.0.88.1', '127.0.88.2'],
      copysets: [{ name: 'a', hosts: [0, 1] }],
      settings: ['autovacuum = off', 'max_standby_streaming_delay = -1'],
      leaseSeconds: LEASE_SECONDS,
      env: hooks.env,
    });
    const agent = grid.hosts[0]?.agentAddress ?? '';
    network = await networkTo(agent);
    writeFileSync(grid.gridFile, readFileSync(grid.gridFile, 'utf8').replace(agent, network.address));
    await grid.member('aa').server.query('CREATE TABLE t AS SELECT g AS x FROM generate_series(1, 20000) g');
  });

  afterEach(async () => {
    hooks.reset();
    network.mend();
    if (grid.agents[0] === null) await grid.startAgent(0);
  });

  after(async () => {
    network?.close();
    await grid?.close();
    folder.remove();
  });

  async function expectCommitted(finished: Promise<Finished> | Finished): Promise<Finished> {
    const done = await finished;
    expect(done.code, done.stderr + done.stdout).to.equal(0);
    await grid.expectUntouched();
    return done;
  }

  async function preparing(): Promise<RunningCommand> {
    hooks.hold('prepared', 'aa');
    const command = grid.begin(CREATE);
    await hooks.reachedBy(command, 'prepared', 'aa');
    return command;
  }

  it('takes a lost connection up again, with what was prepared meanwhile, and prepares nothing twice', async () => {
    const command = await preparing();
    network.cut('toAgent', 'toCoordinator');
    network.breakConnections();
    await until('the loss to be told', () => command.stderr().includes('trying to come back for 24 s'));
    // It is done while nobody listens, and for longer than the lease nobody does.
    hooks.reset();
    await new Promise((resolve) => setTimeout(resolve, 10_000));
    network.mend();
    const { stderr } = await expectCommitted(command.finished);
    expect(stderr).to.include('aa: connected again');
    const log = readFileSync(grid.hosts[0]?.log ?? '', 'utf8');
    expect(log).to.include('"event":"streamLost"').and.to.include('"event":"resumed"');
    expect(hooks.timesReached('prepared', 'aa')).to.equal(0);
  });

  it('is aborted in words when the agent was restarted: its work is gone', async () => {
    const command = await preparing();
    await grid.killAgent(0);
    hooks.reset();
    await grid.startAgent(0);
    const { code, stdout } = await command.finished;
    expect(code, stdout).to.equal(4);
    expect(stdout).to.include('"code":"work-gone"').and.to.include('what it had prepared is gone');
    await grid.expectUntouched();
  });

  it('leaves its work to the next run when its coordinator dies: taken over as soon as the lease is over', async () => {
    const command = await preparing();
    command.signal('SIGKILL');
    await command.finished;
    hooks.reset();
    const busy = await grid.run([...CREATE, '--quiet']);
    expect(busy.stdout).to.include('"code":"grid-busy"');
    await until(
      'the next to begin',
      async () => (await grid.run([...CREATE, '--quiet'])).code === 0,
      (LEASE_SECONDS + 10) * 1000,
    );
    expect(readFileSync(grid.hosts[0]?.log ?? '', 'utf8')).to.include('"event":"takenOver"');
    await grid.expectUntouched();
  });

  it('arms again what could not be armed while its server did not listen, without a new copy', async () => {
    const { server } = grid.member('aa');
    hooks.hold('prepared', 'aa');
    const command = grid.begin(CREATE);
    await hooks.reachedBy(command, 'prepared', 'aa');
    const checkpointer = checkpointerOf(server.postmasterPid());
    try {
      // In an fsync, as far as anybody sees.
      await server.query('SELECT 1');
      process.kill(checkpointer, 'SIGSTOP');
      hooks.reset();
      await until('the arm to fail once', () => command.stderr().includes('(1 of 5 tries)'), 20_000);
    } finally {
      process.kill(checkpointer, 'SIGCONT');
    }
    const { stdout } = await expectCommitted(command.finished);
    expect(hooks.timesReached('prepared', 'aa')).to.equal(0);
    expect(JSON.parse(stdout)).to.have.property('checkpoint');
  });

  it('is taken while a report holds replay on a standby: nothing newer is shown before it has ended', async () => {
    const report = await grid.member('ab').server.connect();
    try {
      await report.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
      await report.query('SELECT count(*) FROM t');
      const primary = grid.member('aa').server;
      await primary.query('DELETE FROM t WHERE x % 2 = 0');
      await primary.query('VACUUM t');
      await until('replay to wait for the report', async () => {
        const [row] = await grid
          .member('ab')
          .server.query<{ waits: boolean }>(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event LIKE 'RecoveryConflict%') AS waits",
          );
        return row?.waits ?? false;
      });
      const done = await grid.run([...CREATE, '--quiet']);
      expect(done.code, done.stdout).to.equal(0);
    } finally {
      await report.query('ROLLBACK');
      await report.end();
    }
    await grid.expectUntouched();
  });

  it('is taken with a standby that is delayed on purpose', async () => {
    const standby = grid.member('ab').server;
    await standby.query("ALTER SYSTEM SET recovery_min_apply_delay = '90s'");
    await standby.query('SELECT pg_reload_conf()');
    try {
      await grid.member('aa').server.query('INSERT INTO t VALUES (1)');
      const done = await grid.run([...CREATE, '--quiet']);
      expect(done.code, done.stdout).to.equal(0);
    } finally {
      await standby.query('ALTER SYSTEM RESET recovery_min_apply_delay');
      await standby.query('SELECT pg_reload_conf()');
    }
    await grid.expectUntouched();
  });
});

/** Its process, as the operating system names it. */
function checkpointerOf(postmaster: number | null): number {
  const { stdout } = spawnSync('pgrep', ['-P', String(postmaster), '-f', 'checkpointer'], {
    encoding: 'utf8',
  });
  const pid = Number(stdout.trim());
  if (pid <= 1) throw new Error('the server has no checkpointer');
  return pid;
}

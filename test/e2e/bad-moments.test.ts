import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { commitsOn } from '../lab/commits.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { until, type RunningCommand } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: whoever is killed, stopped or cut off at the worst moment, every server commits again within the
// lease, nothing of ours is left, and no checkpoint is listed that cannot be restored.
// Method: real processes, held at a named moment of the protocol, then SIGKILL or SIGSTOP. Before anyone is armed, and
// in the window; every other moment is the crash matrix's.

const LEASE_SECONDS = 2;
const BUSY_MS = 4500;
const CREATE = ['checkpoint', 'create', 'bad', '--output', 'json', '--quiet'];

describe('a checkpoint in which something dies', () => {
  const folder = temporaryFolder('hooks');
  const hooks = new Hooks(`${folder.path}/hooks`);
  let grid: TestGrid;

  before(async () => {
    grid = await createGrid({
      hosts: ['127.0.13.1', '127.0.13.2'],
      copysets: [
        { name: 'a', hosts: [0] },
        { name: 'b', hosts: [1, 0] },
      ],
      leaseSeconds: LEASE_SECONDS,
      env: hooks.env,
    });
  });

  beforeEach(() => hooks.reset());

  afterEach(async () => {
    hooks.reset();
    for (const [host, agent] of grid.agents.entries()) if (agent === null) await grid.startAgent(host);
  });

  after(async () => {
    await grid?.close();
    folder.remove();
  });

  async function heldAt(moment: string, member?: string): Promise<RunningCommand> {
    hooks.hold(moment, member);
    const command = grid.begin(CREATE);
    await hooks.reachedBy(command, moment, member);
    return command;
  }

  /** Whether the next checkpoint works is seen by the next test, which comes to its moment, and by the last one. */
  async function expectUntouched(): Promise<void> {
    hooks.reset();
    await grid.expectUntouched();
  }

  for (const moment of ['prepared', 'marked']) {
    it(`aborts everywhere when an agent is killed at '${moment}'`, async () => {
      const command = await heldAt(moment, 'aa');
      await grid.killAgent(0);
      // Its guard, and not its successor, is what thaws.
      await until('the servers to be as they were', () => commitsOn(grid.primaries), 4000);
      hooks.reset();
      await grid.startAgent(0);
      const { code, stdout } = await command.finished;
      expect(code, stdout).to.equal(4);
      // Before the first arm it is waited for, and tells when it is back that its work is gone.
      expect(stdout).to.include(`"code":"${moment === 'prepared' ? 'work-gone' : 'agent-lost'}"`);
      await expectUntouched();
    });
  }

  it('aborts everywhere, and soon, when the guard of an agent is killed in the window', async () => {
    const command = await heldAt('marked', 'aa');
    grid.killGuard(0);
    await until('the servers to be as they were', () => commitsOn(grid.primaries), 4000);
    hooks.reset();
    const { code, stdout } = await command.finished;
    expect(code, stdout).to.equal(4);
    expect(stdout).to.match(/"code":"member-aborted"/);
    await expectUntouched();
  });

  it('leaves no one frozen when the coordinator is killed in the window', async () => {
    const command = await heldAt('marked', 'aa');
    command.signal('SIGKILL');
    await command.finished;
    hooks.reset();
    await until('the servers to be as they were', () => commitsOn(grid.primaries), 4000);
    await expectUntouched();
  });

  it('is aborted by one Ctrl-C in the window: exit 4, everything thawed [S71]', async () => {
    const command = await heldAt('marked', 'aa');
    command.signal('SIGINT');
    hooks.reset();
    const { code, stdout } = await command.finished;
    expect(code, stdout).to.equal(4);
    expect(stdout).to.match(/"code":"interrupted"/);
    await expectUntouched();
  });

  it('never commits the cut of a coordinator that was stopped past the lease', async () => {
    const command = await heldAt('marked', 'aa');
    command.signal('SIGSTOP');
    hooks.reset();
    // The agents thaw by their own clocks.
    await until('the lease to run out', () => commitsOn(grid.primaries), (LEASE_SECONDS + 4) * 1000);
    expect(readFileSync(grid.hosts[0]?.log ?? '', 'utf8')).to.match(
      /"event":"outOfTime","member":"aa","phase":"(freezing|frozen)","leaseMs":2000/,
    );
    command.signal('SIGCONT');
    const { code, stdout } = await command.finished;
    // A new attempt may have made a valid cut; the one that was stopped is not it.
    if (code === 0) {
      const listed = await grid.run(['checkpoint', 'describe', 'bad', '--output', 'json']);
      expect((listed.json as { token: { attempt: number } }).token.attempt).to.be.greaterThan(1);
      await grid.run(['checkpoint', 'delete', 'bad', '--yes']);
    } else expect(code, stdout).to.be.oneOf([4, 6]);
    await expectUntouched();
  });

  it('is committed although an agent did not run for some seconds before anyone was frozen', async () => {
    const command = await heldAt('prepared', 'aa');
    grid.agents[0]?.signal('SIGSTOP');
    hooks.reset();
    // As on a host with too much to do: longer than from one ping to the next, not so long as to be lost.
    await new Promise((resolve) => setTimeout(resolve, BUSY_MS));
    grid.agents[0]?.signal('SIGCONT');
    const { code, stdout } = await command.finished;
    expect(code, stdout).to.equal(0);
    await grid.run(['checkpoint', 'delete', 'bad', '--yes']);
    await expectUntouched();
  });

  it('thaws when an agent is stopped in the window and never answers again', async () => {
    const command = await heldAt('marked', 'aa');
    grid.agents[0]?.signal('SIGSTOP');
    await until(
      'the servers to be as they were',
      () => commitsOn(grid.primaries),
      (LEASE_SECONDS + 8) * 1000,
    );
    grid.agents[0]?.signal('SIGCONT');
    hooks.reset();
    const { code, stdout } = await command.finished;
    expect(code, stdout).to.equal(4);
    await expectUntouched();
  });

  it('aborts when a server is killed in the window, and undoes when it is back', async () => {
    const command = await heldAt('marked', 'aa');
    const { server } = grid.member('aa');
    server.kill();
    await until('the server to be gone', () => server.postmasterPid() === null);
    hooks.reset();
    const { code, stdout } = await command.finished;
    expect(code, stdout).to.be.oneOf([4, 6]);
    await server.start();
    await expectUntouched();
  });

  it('aborts when a server was restarted between prepare and freeze', async () => {
    const command = await heldAt('prepared', 'aa');
    const { server } = grid.member('aa');
    server.stop();
    await server.start();
    hooks.reset();
    const { code, stdout } = await command.finished;
    expect(code, stdout).to.equal(4);
    await expectUntouched();
  });

  it('lets one of two coordinators work, and refuses the other with the name of the holder', async () => {
    const first = await heldAt('prepared', 'aa');
    const second = await grid.run(CREATE);
    expect(second.code).to.equal(3);
    expect(second.stdout).to.match(/"code":"grid-busy".*pid \d+/);
    hooks.reset();
    expect((await first.finished).code).to.equal(0);
    await grid.run(['checkpoint', 'delete', 'bad', '--yes']);
    await expectUntouched();
  });

  it('is followed by one that works and verifies, and that alone is listed as valid', async () => {
    const next = await grid.run(['checkpoint', 'create', 'good', '--output', 'json', '--quiet']);
    expect(next.code, next.stderr + next.stdout).to.equal(0);
    const verified = await grid.run(['checkpoint', 'verify', 'good', '--quiet']);
    expect(verified.code, verified.stderr).to.equal(0);
    const { checkpoints } = (await grid.run(['checkpoint', 'list', '--output', 'json'])).json as {
      checkpoints: { name: string; state: string }[];
    };
    expect(checkpoints.map(({ name, state }) => `${name} ${state}`)).to.deep.equal(['good valid']);
  });
});

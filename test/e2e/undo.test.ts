import { expect } from 'chai';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fillWithCommits } from '../lab/full-pool.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { guardOf } from '../lab/guards.ts';
import { Hooks } from '../lab/hooks.ts';
import { freePort } from '../lab/ports.ts';
import { startProgram, until, type RunningCommand } from '../lab/processes.ts';
import { programFile } from '../lab/programs.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: whatever else is broken (every connection taken, files damaged, a log that nobody reads, a privilege gone), it
// keeps no member frozen, and no command waiting without a word. Method: one host with a real server.

const CREATE = ['checkpoint', 'create', 'x', '--output', 'json', '--quiet'];
const AGENT = programFile('agent/main.ts');

describe('a grid whose members must be thawed', () => {
  const folder = temporaryFolder('undo-hooks');
  const hooks = new Hooks(join(folder.path, 'hooks'));
  let grid: TestGrid;
  let metricsAt = '';

  before(async () => {
    grid = await createGrid({
      hosts: ['127.0.31.1'],
      copysets: [{ name: 'a', hosts: [0] }],
      settings: ['max_connections = 16'],
      env: hooks.env,
      leaseSeconds: 3,
    });
    await grid
      .member('aa')
      .server.query('CREATE ROLE app LOGIN; CREATE TABLE t (x int); GRANT ALL ON t TO app');
  });
  after(async () => {
    await grid.close();
    folder.remove();
  });
  afterEach(() => hooks.reset());

  const host = (): TestGrid['hosts'][number] => {
    const [only] = grid.hosts;
    if (only === undefined) throw new Error('no host');
    return only;
  };

  /** A checkpoint that has come to this moment and waits there. */
  async function heldAt(moment: string): Promise<RunningCommand> {
    hooks.hold(moment, 'aa');
    const command = grid.begin(CREATE);
    await hooks.reachedBy(command, moment, 'aa');
    return command;
  }

  function insert(number: number): string {
    return `INSERT INTO t VALUES (${number})`;
  }

  it('is thawed by an agent that starts, though every connection is taken and its own files are damaged', async () => {
    const command = await heldAt('marked');
    process.kill(guardOf(host().configuration), 'SIGKILL');
    await grid.killAgent(0);
    command.signal('SIGKILL');
    await command.finished;
    hooks.reset();
    const commits = await fillWithCommits(grid.member('aa').server, insert);
    const token = join(host().state, 'token.json');
    const good = readFileSync(token, 'utf8');
    writeFileSync(token, '{"half');
    const record = join(host().state, 'freezes', 'aa.json');
    const frozen = readFileSync(record, 'utf8');

    const agent = startProgram('agent/main.ts', ['--config', host().configuration]);
    await Promise.all(commits);
    const { code, stderr } = await agent.finished;

    expect(commits.length).to.be.greaterThan(5);
    expect(code).to.equal(2);
    expect(stderr).to.include(token);
    writeFileSync(token, good);

    // The same where nothing is damaged, and the port of its metrics is another's.
    writeFileSync(record, frozen);
    const taken = createServer().listen(0, '127.0.31.1');
    await once(taken, 'listening');
    const metrics = `127.0.31.1:${(taken.address() as AddressInfo).port}`;
    const configuration = join(folder.path, 'metrics.yaml');
    writeFileSync(configuration, `${readFileSync(host().configuration, 'utf8')}metrics: ${metrics}\n`);
    const ended = await startProgram('agent/main.ts', ['--config', configuration]).finished;
    taken.close();

    expect(ended).to.include({ code: 1 });
    expect(ended.stderr).to.include(`cannot listen on ${metrics} for metrics`);
    expect(existsSync(record)).to.equal(false);
    metricsAt = `127.0.31.1:${await freePort('127.0.31.1')}`;
    appendFileSync(host().configuration, `metrics: ${metricsAt}\n`);
    await grid.startAgent(0);
    await grid.expectUntouched();
  });

  it('is not touched by a second agent, nor by one that only checks its file', async () => {
    const command = await heldAt('prepared');
    const second = await startProgram('agent/main.ts', ['--config', host().configuration]).finished;
    const check = await startProgram('agent/main.ts', ['--check', '--config', host().configuration]).finished;
    hooks.reset();
    const { code, stdout } = await command.finished;

    expect(second.code).to.equal(2);
    expect(second.stderr).to.include(`another agent runs on the state directory ${host().state}`);
    expect(check.stdout).to.include('is right');
    expect(check.code).to.equal(0);
    expect(code, stdout).to.equal(0);
    // Its metrics have the freeze of that checkpoint, and nothing that is left of it.
    const metrics = await (await fetch(`http://${metricsAt}/metrics`)).text();
    expect(metrics.split('\n')).to.include.members([
      'stillpoint_agent_freeze_seconds_count 1',
      'stillpoint_agent_member_running{member="aa"} 1',
      'stillpoint_agent_member_frozen{member="aa"} 0',
      'stillpoint_agent_member_undo_pending{member="aa"} 0',
      'stillpoint_agent_freeze_budget_left_freezes 4998',
    ]);
    expect(metrics).to.match(
      /^stillpoint_agent_certificate_expiry_timestamp_seconds\{certificate="agent"\} \d+$/m,
    );
  });

  it('says so while it cannot be, in every command, and goes on when it can', async () => {
    const { server } = grid.member('aa');
    const command = await heldAt('armed');
    await server.query('REVOKE ALTER SYSTEM ON PARAMETER synchronous_standby_names FROM stillpoint');
    command.signal('SIGINT');
    hooks.reset();
    await until('it to abort', () => readFileSync(host().log, 'utf8').includes('"abortFailed"'));
    command.signal('SIGINT');
    const ended = await command.finished;
    const status = await grid.run(['grid', 'status']);
    const doctor = await grid.run(['grid', 'doctor']);
    const next = await grid.run(CREATE);
    const slots = await server.query('SELECT FROM pg_replication_slots');
    const spools = readdirSync(join(host().state, 'spool'));
    await server.query('GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO stillpoint');
    await grid.expectUntouched();
    await until('the grid to be well', async () => (await grid.run(['grid', 'status'])).code === 0);

    expect(ended.code).to.equal(5);
    expect(status.code, status.stdout).to.equal(5);
    expect(status.stdout).to.include('not undone yet').and.include('permission denied');
    expect(doctor.stdout).to.include('not undone yet');
    expect(next.code, next.stdout).to.equal(3);
    expect(next.stdout).to.include('grid-busy').and.include('permission denied');
    expect(slots).to.deep.equal([]);
    expect(spools).to.deep.equal([]);
  });

  it('is thawed by agent and guard whose log nobody reads', async () => {
    await grid.killAgent(0);
    const pipe = join(folder.path, 'log');
    spawnSync('mkfifo', [pipe]);
    // Kept open for both, so that there is a reader, which does not read.
    const reader = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
    const agents: ChildProcess[] = [];
    try {
      for (const dies of ['agent', 'coordinator'] as const) {
        const log = openSync(pipe, constants.O_WRONLY);
        const agent = spawn(process.execPath, [AGENT, '--config', host().configuration], {
          stdio: ['ignore', 'ignore', log],
          env: { ...process.env, ...hooks.env },
        });
        closeSync(log);
        agents.push(agent);
        const gone = new Promise((resolve) => agent.once('exit', resolve));
        await until('the agent to listen', async () => (await grid.run(['grid', 'status'])).code === 0);
        const command = await heldAt('marked');
        fill(reader);
        const commit = grid.member('aa').server.query(insert(1));
        if (dies === 'agent') agent.kill('SIGKILL');
        command.signal('SIGKILL');
        await commit;
        await command.finished;
        hooks.reset();
        agent.kill('SIGKILL');
        await gone;
        drain(reader);
      }
    } finally {
      for (const agent of agents) agent.kill('SIGKILL');
      closeSync(reader);
      rmSync(pipe);
    }
    await grid.startAgent(0);
    await grid.expectUntouched();
    expect(existsSync(join(host().state, 'freezes', 'aa.json'))).to.equal(false);
  });
});

function fill(pipe: number): void {
  const line = Buffer.alloc(4096, 'x');
  for (const bytes of [line, line.subarray(0, 1)]) {
    try {
      for (;;) writeSync(pipe, bytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}

function drain(pipe: number): void {
  const { stdout } = spawnSync('dd', ['iflag=nonblock', 'bs=1M', 'count=1'], {
    stdio: [pipe, 'pipe', 'ignore'],
  });
  if (stdout.length === 0) throw new Error('nothing was in the pipe');
}

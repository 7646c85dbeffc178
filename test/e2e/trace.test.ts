import { expect } from 'chai';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CheckpointReport } from '../../coordinator/reports.ts';
import { readTraceFile, stepsOf, type TraceFile } from '../lab/chrome-trace-file.ts';
import { documentedCommands } from '../lab/documented-commands.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import type { Finished } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: a trace shows where the time of a checkpoint went, step by step, and what went wrong in one that was aborted. Method:
// real servers and agents; the commands are those of docs/performance.md; the file is read as Perfetto reads it.

/** What every primary goes through while it is held, in the order in which one causes the next. */
const WINDOW = [
  'freeze sent',
  'freeze received',
  'fence closed',
  'mark asked',
  'mark answered',
  'marked sent',
  'marked received',
  'thaw sent',
  'thaw received',
  'look asked',
  'look answered',
  'open ordered',
  'acknowledged',
  'open asked',
  'open answered',
  'released sent',
  'released received',
  'thawed sent',
  'thawed received',
];
const WHOLE = ['prepare', 'arm', 'collect'].flatMap((command) => {
  const answer = { prepare: 'prepared', arm: 'armed', collect: 'collected' }[command] ?? '';
  return [`${command} sent`, `${command} received`, `${answer} sent`, `${answer} received`];
});
/** Each process of the machine reads its clock with this error at most. */
const CLOCK_MICROSECONDS = 50;

describe('the trace of a checkpoint', () => {
  const folder = temporaryFolder('trace');
  const hooks = new Hooks(join(folder.path, 'hooks'));
  const file = join(folder.path, 'trace.json');
  let grid: TestGrid;
  let report: CheckpointReport;
  let trace: TraceFile;

  before(async () => {
    const copysets = [0, 1, 2, 3].map((host) => ({ name: `shard-${host + 1}`, hosts: [host] }));
    grid = await createGrid({
      hosts: copysets.map((_, host) => `127.0.75.${host + 1}`),
      copysets,
      leaseSeconds: 5,
      env: hooks.env,
    });
  });

  beforeEach(() => hooks.reset());

  after(async () => {
    await grid?.close();
    folder.remove();
  });

  function create(path: string, ...more: readonly string[]): Promise<Finished> {
    return grid.run(['checkpoint', 'create', 'traced', '--trace', path, '--quiet', ...more]);
  }

  const saidByAgents = (): string => grid.hosts.map(({ log }) => readFileSync(log, 'utf8')).join('');

  it('is written by the command of the handbook, and opens as a trace', async () => {
    const [[line = ''] = []] = documentedCommands('docs/performance.md', 'A trace');
    const [program, ...words] = line.split(' ');
    expect(program).to.equal('stillpoint');
    const named = words.indexOf('--trace') + 1;
    expect(named, line).to.be.greaterThan(0);
    words[named] = file;
    const made = await grid.run([...words, '--output', 'json', '--quiet']);
    expect(made.code, made.stderr + made.stdout).to.equal(0);
    report = made.json as CheckpointReport;
    trace = readTraceFile(readFileSync(file, 'utf8'));
    expect(trace.otherData).to.include({ grid: 'orders', outcome: report.checkpoint, lost: 0 });
  });

  it('has the coordinator and every agent, on one clock', () => {
    const names = trace.traceEvents.flatMap((one) =>
      one.ph === 'M' && one.name === 'process_name' ? [String(one.args['name'])] : [],
    );
    expect(names.map((name) => name.replace(/ \(process \d+\)$/, ''))).to.have.members([
      'coordinator',
      ...grid.hosts.map(({ address }) => `agent on ${address}`),
    ]);
    for (const host of trace.otherData.hosts)
      expect(host).to.include({ clockIsOurs: true, clockOffsetMs: 0, clockUncertaintyMs: 0, lost: 0 });
  });

  it('has all steps of every member, each after what caused it', () => {
    for (const { name } of grid.members) {
      const steps = stepsOf(trace, name);
      const names = steps.map((step) => step.name);
      expect(names, name).to.include.members([...WINDOW, ...WHOLE]);
      const frozenAt = names.lastIndexOf('freeze sent');
      const held = steps.slice(frozenAt).filter((step) => WINDOW.includes(step.name));
      const at = (step: string, where: readonly { name: string; ts: number }[]): number =>
        where.find((one) => one.name === step)?.ts ?? Number.NaN;
      for (const [index, step] of WINDOW.slice(1).entries()) {
        const cause = WINDOW[index] ?? '';
        // Proof and release are on their way at once.
        const from = cause === 'released received' ? 'released sent' : cause;
        expect(at(step, held), `${name}: ${step} after ${from}`).to.be.at.least(
          at(from, held) - CLOCK_MICROSECONDS,
        );
      }
      for (const [index, step] of WHOLE.entries())
        if (index % 4 !== 0)
          expect(at(step, steps), `${name}: ${step}`).to.be.at.least(
            at(WHOLE[index - 1] ?? '', steps) - CLOCK_MICROSECONDS,
          );
    }
  });

  it('has nobody let go before everybody was marked', () => {
    const all = grid.members.map(({ name }) => stepsOf(trace, name));
    const last = Math.max(
      ...all.flatMap((steps) => steps.filter(({ name }) => name === 'mark answered').map(({ ts }) => ts)),
    );
    for (const steps of all)
      expect(steps.findLast(({ name }) => name === 'acknowledged')?.ts).to.be.greaterThan(last);
  });

  it('says in the report where the time of each member went, and it adds up', () => {
    expect(report.trace?.file).to.equal(file);
    expect(report.trace?.agents.map(({ host }) => host)).to.have.members(
      grid.hosts.map(({ address }) => address),
    );
    for (const { name, window } of report.members) {
      if (window === null || window === undefined) throw new Error(`${name} has no part of the window`);
      const { wireMs, agentMs, serverMs, othersMs } = window;
      const steps = stepsOf(trace, name).filter(({ pid }) => pid === 1);
      const from = steps.findLast((step) => step.name === 'freeze sent')?.ts ?? Number.NaN;
      const to = steps.findLast((step) => step.name === 'released received')?.ts ?? Number.NaN;
      expect(wireMs + agentMs + serverMs + othersMs, name).to.be.closeTo((to - from) / 1000, 0.02);
      for (const part of [wireMs, agentMs, serverMs, othersMs]) expect(part, name).to.be.at.least(0);
      expect((to - from) / 1000, name).to.be.at.most(report.windowMs + 1);
    }
  });

  it('is refused before anybody is asked anything where its file cannot be written', async () => {
    const written = saidByAgents();
    const other = join(folder.path, 'grid.yaml');
    writeFileSync(other, 'grid: orders\n');
    mkdirSync(join(folder.path, 'folder'));
    for (const path of [
      join(folder.path, 'none/trace.json'),
      join(folder.path, 'folder'),
      '/dev/null',
      other,
    ]) {
      const { code, json } = await create(path, '--output', 'json');
      expect(code, path).to.equal(2);
      expect(json).to.have.nested.property('error.code', 'trace-unwritable');
    }
    expect(readFileSync(other, 'utf8')).to.equal('grid: orders\n');
    expect(saidByAgents()).to.equal(written);
  });

  it('is there of a checkpoint that was refused, in the place of an earlier one', async () => {
    const { address } = grid.hosts[3] ?? {};
    await grid.killAgent(3);
    const { code } = await create(file);
    await grid.startAgent(3);
    expect(code, address).to.equal(3);
    const read = readTraceFile(readFileSync(file, 'utf8'));
    expect(read.otherData).to.include({ outcome: 'agent-unreachable' });
    expect(read.traceEvents.filter(({ ph }) => ph === 'X').map(({ name }) => name)).to.deep.equal([
      'preflight',
    ]);
  });

  it('is there of a checkpoint that was aborted while a member was held, and shows how far each was', async () => {
    hooks.hold('fenced', 'shard-2a');
    const command = grid.begin([
      'checkpoint',
      'create',
      'aborted',
      '--trace',
      file,
      '--quiet',
      '--output',
      'json',
    ]);
    await hooks.reachedBy(command, 'fenced', 'shard-2a');
    await hooks.reachedBy(command, 'marked', 'shard-1a');
    command.signal('SIGINT');
    const { code, stdout } = await command.finished;
    hooks.reset();
    expect(code, stdout).to.equal(4);
    const read = readTraceFile(readFileSync(file, 'utf8'));
    expect(read.otherData).to.include({ outcome: 'interrupted' });
    const names = (member: string): string[] => stepsOf(read, member).map(({ name }) => name);
    expect(names('shard-1a')).to.include.members([
      'freeze received',
      'marked sent',
      'abort received',
      'aborted received',
    ]);
    const stuck = names('shard-2a');
    expect(stuck.slice(stuck.lastIndexOf('freeze received'))).to.not.include('mark asked');
    expect(stuck).to.include.members(['fence closed', 'abort received', 'aborted received']);
    await grid.expectUntouched();
  });

  it('of a checkpoint whose agent was killed has what the coordinator saw of it, and what the next one did', async () => {
    hooks.hold('marked', 'shard-4a');
    const command = grid.begin(['checkpoint', 'create', 'lost', '--trace', file, '--quiet']);
    await hooks.reachedBy(command, 'marked', 'shard-4a');
    await grid.killAgent(3);
    hooks.reset();
    const restarted = grid.startAgent(3);
    const { code } = await command.finished;
    await restarted;
    expect(code).to.equal(4);
    const read = readTraceFile(readFileSync(file, 'utf8'));
    const lost = stepsOf(read, 'shard-4a');
    expect(lost.map(({ name }) => name)).to.include.members([
      'freeze sent',
      'abort received',
      'aborted sent',
    ]);
    expect(lost.map(({ name }) => name)).to.not.include('freeze received');
    expect(stepsOf(read, 'shard-1a').map(({ name }) => name)).to.include('aborted sent');
    await grid.expectUntouched();
  });

  it('costs a checkpoint without it nothing: no agent notes a step', async () => {
    const { code, json } = await grid.run(['checkpoint', 'create', 'plain', '--output', 'json', '--quiet']);
    expect(code).to.equal(0);
    expect(json).to.not.have.property('trace');
    expect((json as CheckpointReport).members.every((member) => !('window' in member))).to.equal(true);
  });
});

import { fork, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { CheckpointReport } from '../../coordinator/reports.ts';
import { initRepository } from '../../shared/repository/open.ts';
import { initializePki, issueAgentCertificates } from '../../shared/rpc/pki.ts';
import { programFile } from '../../test/lab/programs.ts';
import { temporaryFolder } from '../../test/lab/temporary.ts';
import { FAULTS, STEPS } from './fan-out/paced-engine.ts';
import type { Figures, FromAgents, Planned, ToAgents } from './fan-out/messages.ts';
import { medianAndMax, rounded } from './figures.ts';

/**
 * What many members cost one coordinator: real transport, TLS, services and state directories of agents, of which many
 * are in one process, and members that take a millisecond for each step. Beside it, in the same run, a grid of a tenth.
 */
const { values } = parseArgs({
  options: {
    members: { type: 'string', default: '1000' },
    agents: { type: 'string', default: '250' },
    processes: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '5' },
    /** One member goes wrong, in each way at each step. */
    faults: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const say = (text: string): void => void process.stderr.write(`${text}\n`);

const LEASE_SECONDS = 10;
const GRID = 'fan-out';
const FAULTY = 'm0-0';

interface Round {
  /** From the start of the command to the first member that is prepared. */
  readonly lookMs: number;
  /** From the first fence to the last release, as the coordinator has it. */
  readonly windowMs: number;
  readonly durationMs: number;
  readonly coordinatorMB: number;
}

interface FaultRow extends Planned {
  readonly exitCode: number | null;
  readonly code: string;
  readonly durationMs: number;
  /** The longest that any member was held. */
  readonly longestHeldMs: number;
  readonly heldAfterwards: number;
  /** Lines that a person has to read. */
  readonly lines: number;
  readonly namesMember: boolean;
}

class Grid {
  readonly #children: readonly ChildProcess[];
  readonly #gridFile: string;
  readonly #remove: () => void;

  private constructor(children: readonly ChildProcess[], gridFile: string, remove: () => void) {
    this.#children = children;
    this.#gridFile = gridFile;
    this.#remove = remove;
  }

  static async start(members: number, agents: number, block: number): Promise<Grid> {
    const folder = temporaryFolder('fan-out');
    const at = (...parts: string[]): string => join(folder.path, ...parts);
    const hosts = Array.from({ length: agents }, (_, index) => `127.${block}.${index >> 8}.${index & 255}`);
    await initializePki(at('pki'), { grid: GRID });
    await issueAgentCertificates(at('pki'), hosts);
    await initRepository(at('repository'));
    const planned = hosts.map((host, index) => {
      const configuration = at(`${host}.yaml`);
      mkdirSync(at('state', host), { recursive: true, mode: 0o700 });
      const lines = [
        `grid: ${GRID}`,
        `listen: ${host}:7799`,
        `tls: { ca: pki/ca.pem, cert: pki/${host}.pem, key: pki/${host}-key.pem }`,
        `state: ${at('state', host)}`,
        `repository: ${at('repository')}`,
        'members: []',
      ];
      writeFileSync(configuration, `${lines.join('\n')}\n`);
      const own = Math.floor(((index + 1) * members) / agents) - Math.floor((index * members) / agents);
      return { configuration, members: Array.from({ length: own }, (_, one) => `m${index}-${one}`) };
    });
    const gridLines = [
      `grid: ${GRID}`,
      'agents:',
      ...hosts.map((host) => `  - ${host}:7799`),
      `repository: ${at('repository')}`,
      'tls: { ca: pki/ca.pem, cert: pki/coordinator.pem, key: pki/coordinator-key.pem }',
      `leaseSeconds: ${LEASE_SECONDS}`,
    ];
    writeFileSync(at('grid.yaml'), `${gridLines.join('\n')}\n`);
    // The one whose member goes wrong is alone in its process: that may die.
    const [faulty, ...others] = planned;
    const shares = Array.from({ length: Number(values.processes) }, (_, process) =>
      others.filter((_agent, index) => index % Number(values.processes) === process),
    ).filter((share) => share.length > 0);
    const children: ChildProcess[] = [];
    for (const share of [faulty === undefined ? [] : [faulty], ...shares])
      children.push(await startAgents(share));
    return new Grid(children, at('grid.yaml'), folder.remove);
  }

  async round(plan: Planned | null): Promise<{
    readonly exitCode: number | null;
    readonly output: string;
    readonly words: string;
    readonly figures: readonly Figures[];
    readonly begunAt: number;
    readonly endedAt: number;
    readonly coordinatorMB: number;
  }> {
    for (const child of this.#children) await told(child, { type: 'plan', plan });
    const begunAt = now();
    const command = spawn(process.execPath, [
      programFile('coordinator/main.ts'),
      'checkpoint',
      'create',
      'nightly',
      '--grid',
      this.#gridFile,
      '--output',
      'json',
    ]);
    let [output, words, coordinatorMB] = ['', '', 0];
    command.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
    command.stderr.on('data', (bytes: Buffer) => (words += bytes.toString()));
    const looking = setInterval(() => (coordinatorMB = Math.max(coordinatorMB, peakOf(command.pid))), 20);
    const exitCode = await new Promise<number | null>((resolve) => command.once('close', resolve));
    clearInterval(looking);
    const endedAt = now();
    const alive = this.#children.filter((child) => child.exitCode === null && child.signalCode === null);
    const figures = await Promise.all(alive.map((child) => told(child, { type: 'figures' })));
    return {
      exitCode,
      output,
      words,
      figures: figures.filter((one): one is Figures => one.type === 'figures'),
      begunAt,
      endedAt,
      coordinatorMB,
    };
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    this.#remove();
  }
}

async function startAgents(agents: Extract<ToAgents, { type: 'start' }>['agents']): Promise<ChildProcess> {
  const child = fork(new URL('./fan-out/agents-main.ts', import.meta.url), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  await told(child, { type: 'start', agents });
  return child;
}

function told(child: ChildProcess, message: ToAgents): Promise<FromAgents> {
  return new Promise((resolve, reject) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve({ type: 'started' });
    const gone = (): void => reject(new Error('a process of agents ended'));
    child.once('exit', gone);
    child.once('message', (answer) => {
      child.off('exit', gone);
      resolve(answer as FromAgents);
    });
    child.send(message);
  });
}

function peakOf(pid: number | undefined): number {
  try {
    const [, kB] = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return Number(kB ?? 0) / 1000;
  } catch {
    return 0;
  }
}

function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

async function measured(members: number, agents: number, block: number): Promise<readonly Round[]> {
  const grid = await Grid.start(members, agents, block);
  try {
    const rounds: Round[] = [];
    for (let round = 1; round <= Number(values.rounds); round += 1) {
      const { exitCode, output, words, figures, begunAt, coordinatorMB } = await grid.round(null);
      if (exitCode !== 0) throw new Error(`a checkpoint of ${members} members failed:\n${words}${output}`);
      const report = JSON.parse(output) as CheckpointReport;
      const prepared = figures.flatMap(({ seen }) => seen['prepare begun']?.first ?? []);
      rounds.push({
        lookMs: rounded(Math.min(...prepared) - begunAt),
        windowMs: rounded(report.windowMs),
        durationMs: rounded(report.durationMs),
        coordinatorMB: rounded(coordinatorMB),
      });
      say(`${members} members, round ${round}: ${JSON.stringify(rounds.at(-1))}`);
    }
    return rounds;
  } finally {
    grid.close();
  }
}

async function withFaults(members: number, agents: number): Promise<readonly FaultRow[]> {
  const rows: FaultRow[] = [];
  for (const fault of FAULTS)
    for (const step of STEPS) {
      // What a lost agent had is lost: each has a grid of its own.
      const grid = await Grid.start(members, agents, 88);
      try {
        const plan = { step, fault, member: FAULTY };
        const round = await grid.round(plan);
        const { error } = JSON.parse(round.output) as { error?: { code: string } };
        rows.push({
          ...plan,
          exitCode: round.exitCode,
          code: error?.code ?? '',
          durationMs: rounded(round.endedAt - round.begunAt),
          longestHeldMs: rounded(Math.max(0, ...round.figures.map((one) => one.longestHeldMs))),
          heldAfterwards: round.figures.reduce((sum, one) => sum + one.heldNow, 0),
          lines: round.words.trim().split('\n').length,
          namesMember: [FAULTY, '127.88.0.0'].some((name) => `${round.words}${round.output}`.includes(name)),
        });
        say(JSON.stringify(rows.at(-1)));
      } finally {
        grid.close();
      }
    }
  return rows;
}

function summed(rounds: readonly Round[]): Record<keyof Round, { median: number; max: number }> {
  const of = (key: keyof Round): { median: number; max: number } =>
    medianAndMax(rounds.map((round) => round[key]));
  return {
    lookMs: of('lookMs'),
    windowMs: of('windowMs'),
    durationMs: of('durationMs'),
    coordinatorMB: of('coordinatorMB'),
  };
}

async function main(): Promise<void> {
  const [members, agents] = [Number(values.members), Number(values.agents)];
  const tenth = summed(await measured(Math.ceil(members / 10), Math.ceil(agents / 10), 86));
  const whole = summed(await measured(members, agents, 87));
  const ratio = (key: keyof Round): number => rounded(whole[key].median / tenth[key].median);
  const result = {
    members,
    agents,
    whole,
    tenth,
    ratios: { lookMs: ratio('lookMs'), windowMs: ratio('windowMs'), coordinatorMB: ratio('coordinatorMB') },
    ...(values.faults && { faults: await withFaults(members, agents) }),
  };
  if (values.json) {
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  const line = (name: string, figures: typeof whole): string =>
    `${name}: look ${figures.lookMs.median} ms, both rounds ${figures.windowMs.median} ms (worst ${figures.windowMs.max}), coordinator ${figures.coordinatorMB.max} MB`;
  process.stdout.write(
    [
      line(`${Math.ceil(members / 10)} members on ${Math.ceil(agents / 10)} agents`, tenth),
      line(`${members} members on ${agents} agents`, whole),
      `ten times the members: look x ${result.ratios.lookMs}, both rounds x ${result.ratios.windowMs}, memory x ${result.ratios.coordinatorMB}`,
      ...(result.faults ?? []).map(
        ({ fault, step, exitCode, code, durationMs, longestHeldMs, heldAfterwards, lines }) =>
          `${fault} at ${step}: exit ${exitCode} ${code}, ${durationMs} ms; held ${longestHeldMs} ms at most, ${heldAfterwards} afterwards; ${lines} lines`,
      ),
    ].join('\n') + '\n',
  );
}

await main();

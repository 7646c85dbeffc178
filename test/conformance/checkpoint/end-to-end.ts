import { rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { CheckpointReport, DoctorReport, RestoreReport } from '../../../coordinator/reports.ts';
import type { Role } from '../../../shared/domain/grid.ts';
import { EXIT, StillpointError, type Failure } from '../../../shared/domain/errors.ts';
import type { ParticipantDescription } from '../../../shared/domain/participant.ts';
import { connectParticipant } from '../../../shared/rpc/participant-client.ts';
import { lacking } from '../lab.ts';
import { usage } from '../options.ts';
import { read } from '../programs.ts';
import { Broken, NODE, RESTING_ROLES, Unjudged, type Verdict } from '../promise.ts';
import { AgentAlone } from './agent-alone.ts';
import { emptyPlace, freePort, fromHere, GridOfOne, type Place, type Said } from './grid-of-one.ts';

import type { SuiteInput } from '../suite.ts';
import { startWriters, type Writers } from '../writers.ts';

const TIMEOUT_MS = 10_000;
const POLL_MS = 20;
/** What speaks against a restore in place, which is not tried. */
const OF_THE_AGENT_FILE = ['native-run'];

interface Step {
  readonly id: string;
  readonly says: string;
  /** All that come to rest where it is left out. */
  readonly roles?: readonly Role[];
  /** Resolves to what was seen. Throws as a check of a promise does. */
  try(run: Run): Promise<string>;
}

/** In their order: each needs those before it. */
const STEPS: readonly Step[] = [
  {
    id: 'checkpoint-fit',
    says: 'What Describe says is what it is; nothing that it says, and nothing of its files, speaks against a checkpoint',
    async try({ alone, grid, gridFile }) {
      if (alone !== null) return alone.fit();
      const { result, failure } = await grid.stillpoint(gridFile, ['grid', 'doctor']);
      const { findings = [] } = result as Partial<DoctorReport>;
      const problems = findings.filter(({ level }) => level === 'problem').map((one) => one.failure);
      const [first] = problems.length === 0 && failure !== null ? [failure] : problems;
      if (first !== undefined) throw new Broken(inWords(first));
      const warned = findings.filter(({ failure: { code } }) => !OF_THE_AGENT_FILE.includes(code));
      return warned.map((one) => one.failure.message).join('; ') || 'doctor has nothing to say';
    },
  },
  {
    id: 'checkpoint-taken',
    says: 'A checkpoint of it is committed while its clients go on',
    try: (run) => run.checkpoint('conformance', []),
  },
  {
    id: 'checkpoint-repeated',
    says: 'So is the next one; a node refuses writes meanwhile',
    try: (run) => run.checkpoint('maintenance', ['--maintenance']),
  },
  {
    id: 'checkpoint-whole',
    says: 'Every byte of it is in the repository as it was captured',
    roles: NODE,
    async try(run) {
      const { failure } = await run.grid.stillpoint(run.gridFile, ['checkpoint', 'verify', run.first()]);
      if (failure !== null) throw new Broken(inWords(failure));
      return 'verified';
    },
  },
  {
    id: 'checkpoint-restored',
    says: 'A process started on it in another place comes up healthy, with what was there at the mark',
    async try(run) {
      const [start, place] = await run.otherPlace();
      if (run.alone !== null) return restoredWith(await run.alone.restore(place));
      const gridFile = await run.grid.agentFor('restored', place);
      const said = await run.grid.stillpoint(gridFile, ['restore', run.first(), '--yes']);
      if (said.failure !== null) throw new Broken(inWords(said.failure));
      run.restored = { data: place.data, start };
      const { warnings } = said.result as unknown as RestoreReport;
      return restoredWith(warnings);
    },
  },
  {
    id: 'checkpoint-rows',
    says: 'What was acknowledged before the checkpoint began is visible there, and nothing that was never written',
    roles: NODE,
    async try(run) {
      const { reader } = run.programs;
      if (reader === undefined || run.writer === undefined) throw new Unjudged('needs --writer and --reader');
      if (run.restored === null) throw new Unjudged('nothing is restored');
      if (run.acknowledgedBefore.size === 0)
        throw new Unjudged(`the writer does not get on: ${run.writer.complaint()}`);
      const rows = await read(reader, run.restored.data, TIMEOUT_MS);
      const missing = lacking(run.acknowledgedBefore, rows);
      if (missing !== null) throw new Broken(`acknowledged before and not there: ${missing}`);
      const now = await read(reader, run.description.dataDirectory, TIMEOUT_MS);
      const strange = lacking(rows, now);
      if (strange !== null) throw new Broken(`there, and never written: ${strange}`);
      return `${rows.size} rows, ${run.acknowledgedBefore.size} of them acknowledged before`;
    },
  },
];

export const END_TO_END: readonly Pick<Step, 'id' | 'says'>[] = STEPS;

/**
 * Does with a node what agent and coordinator do: the real programs, a grid of it alone, and a repository of its own. A
 * realm service and a state keeper are no grid without each other: of them the agent's part is done alone. The process is released when it resolves or rejects, and nothing of ours is left beside its data. Rejects where it
 * cannot be called.
 */
export async function runEndToEnd(
  input: SuiteInput,
): Promise<{ description: ParticipantDescription; verdicts: Verdict[] }> {
  const start = startOf(input);
  const description = await describe(input);
  if (!RESTING_ROLES.includes(description.role)) throw nothingStored(description);
  if (description.role !== 'state-keeper' && !description.primary) throw nothingStored(description);
  const verdicts: Verdict[] = [];
  const grid = new GridOfOne(description, input.signal);
  const run = new Run(input, start, grid, description);
  try {
    await grid.begin();
    await run.begin();
    for (const step of STEPS) {
      const verdict = await judge(step, run, verdicts, input.signal);
      verdicts.push(verdict);
      input.onVerdict?.(verdict);
    }
    return { description, verdicts };
  } finally {
    try {
      await run.end();
    } finally {
      await grid.end();
    }
  }
}

async function judge(
  step: Step,
  run: Run,
  before: readonly Verdict[],
  signal: AbortSignal | undefined,
): Promise<Verdict> {
  const { id, says } = step;
  const from = performance.now();
  const told = (result: Verdict['result'], seen: string): Verdict => ({
    id,
    says,
    result,
    seen,
    tookMs: performance.now() - from,
  });
  if (step.roles?.includes(run.description.role) === false)
    return told('not-applicable', `is no step of a ${run.description.role}`);
  const isEnded = (): boolean => signal?.aborted === true;
  if (isEnded()) return told('not-tried', 'the run was ended');
  const broken = before.find(({ result }) => result === 'broken');
  if (broken !== undefined) return told('not-applicable', `hidden by ${broken.id}, which is broken`);
  try {
    return told('kept', await step.try(run));
  } catch (error) {
    // What was ended with the run says nothing of the process.
    if (isEnded()) return told('not-tried', 'the run was ended');
    if (error instanceof Unjudged) return told('not-tried', error.message);
    if (error instanceof Broken) return told('broken', error.message);
    throw error;
  }
}

/** What the steps hand on. */
class Run {
  readonly grid: GridOfOne;
  readonly description: ParticipantDescription;
  readonly programs: SuiteInput['programs'];
  readonly #input: SuiteInput;
  readonly #start: readonly string[];
  gridFile = '';
  /** Of a process that is no grid by itself. */
  alone: AgentAlone | null = null;
  writer: Writers | undefined;
  acknowledgedBefore: ReadonlySet<number> = new Set();
  restored: { readonly data: string; readonly start: readonly string[] } | null = null;
  readonly #checkpoints: string[] = [];

  constructor(
    input: SuiteInput,
    start: readonly string[],
    grid: GridOfOne,
    description: ParticipantDescription,
  ) {
    this.#input = input;
    this.#start = start;
    this.programs = input.programs;
    this.grid = grid;
    this.description = description;
  }

  async begin(): Promise<void> {
    const { address, role, dataDirectory: data } = this.description;
    const { target: participant, tls } = this.#input;
    const place = { address, data, participant, ...(tls !== undefined && { tls }), start: ['true'] };
    const { repository, epoch, folder } = this.grid;
    if (role === 'node') this.gridFile = await this.grid.agentFor('process', place);
    else this.alone = new AgentAlone(this.description, { place, repository, epoch, folder });
    this.writer = await startWriters(this.programs, data, this.#input.writers ?? 1);
    const until = performance.now() + TIMEOUT_MS;
    while (this.writer?.counts.includes(0) === true && performance.now() < until) await pause(POLL_MS);
  }

  async checkpoint(name: string, options: readonly string[]): Promise<string> {
    if (this.#checkpoints.length === 0) this.acknowledgedBefore = new Set(this.writer?.acknowledged);
    if (this.alone !== null) return this.alone.checkpoint(name);
    const { result, failure }: Said = await this.grid.stillpoint(this.gridFile, [
      'checkpoint',
      'create',
      name,
      ...options,
    ]);
    if (failure !== null) throw new Broken(inWords(failure));
    const { checkpoint, windowMs, sizeBytes } = result as unknown as CheckpointReport;
    this.#checkpoints.push(checkpoint);
    return `${sizeBytes} bytes; held still for ${windowMs.toFixed(1)} ms`;
  }

  /** It was taken while clients wrote: its mark lies in the midst of a journal file. */
  first(): string {
    const [first] = this.#checkpoints;
    if (first === undefined) throw new Unjudged('there is no checkpoint');
    return first;
  }

  /** Where the restored copy is to run, and its start command. */
  async otherPlace(): Promise<[start: readonly string[], place: Place]> {
    const data = emptyPlace(join(this.grid.folder, 'copy'));
    const socket = join(this.grid.folder, 'copy', 'p.sock');
    const address = `127.0.0.1:${await freePort()}`;
    const known: Readonly<Record<string, string>> = { data, socket, address };
    const start = fromHere(
      this.#start.map((word) =>
        word.replaceAll(/\{(\w+)\}/g, (all, placeholder: string) => known[placeholder] ?? all),
      ),
    );
    return [start, { address, data, participant: `unix:${socket}`, start }];
  }

  /** Of what the agent laid beside the live data, what is ours. */
  async end(): Promise<void> {
    await this.writer?.stop();
    const room = join(this.description.dataDirectory, 'checkpoints');
    for (const checkpoint of this.#checkpoints)
      await rm(join(room, checkpoint), { recursive: true, force: true });
    await rmdir(room).catch(() => undefined);
  }
}

function startOf({ programs: { start } }: SuiteInput): readonly string[] {
  const isArgv = start !== undefined && !('launch' in start);
  if (isArgv && ['{data}', '{socket}'].every((one) => start.some((word) => word.includes(one)))) return start;
  throw usage('--checkpoint needs --start with {data} and {socket}: a restored process is started with it');
}

async function describe({ target, tls }: SuiteInput): Promise<ParticipantDescription> {
  const participant = await connectParticipant({ target, timeoutMs: TIMEOUT_MS, ...(tls && { tls }) });
  try {
    return await participant.describe();
  } finally {
    participant.close();
  }
}

function inWords({ code, message, hint }: Failure): string {
  return `${code}: ${message}; hint: ${hint}`;
}

function restoredWith(warnings: readonly string[]): string {
  return warnings.length === 0 ? 'restored and verified' : `restored; ${warnings.join('; ')}`;
}

function nothingStored({ name, role }: ParticipantDescription): StillpointError {
  return new StillpointError(
    {
      code: 'usage',
      message: `${name} is a ${role}${role === 'proxy' ? '' : ' that is not primary'}: a checkpoint has nothing of it that could be restored alone`,
      hint: 'run --checkpoint against the primary of its copyset or realm',
    },
    EXIT.usage,
  );
}

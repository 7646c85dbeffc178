import { checkCheckpointName, formatCheckpointId } from '../shared/domain/checkpoint-id.ts';
import { failureOf } from '../shared/domain/errors.ts';
import type { GridManifest } from '../shared/domain/manifest.ts';
import { FOR_CHECKPOINT } from '../shared/domain/purpose.ts';
import { warningLine } from '../shared/domain/warning.ts';
import type { Repository } from '../shared/repository/repository.ts';
import type { Logger } from '../shared/runtime/log.ts';
import type { Reach } from '../shared/runtime/moments.ts';
import { throwRefused } from './agents.ts';
import { heeding, type Cancellation } from './cancellation.ts';
import { checkpointReport, gridManifest } from './checkpoint-report.ts';
import type { AnswerCheck } from './answer-check.ts';
import { runRehearsed } from './rehearsed-run.ts';
import type { GridFile } from './grid-file.ts';
import { bestEffort, sweepUncommitted } from './leftovers.ts';
import {
  answerCheckOf,
  failed,
  foundByMembers,
  noteWarnings,
  numberNext,
  operationRun,
  type Numbered,
} from './operation-run.ts';
import { checkHosts, preflight, type PreflightReport } from './preflight.ts';
import type { ProgressView } from './progress.ts';
import type { CheckpointReport } from './reports.ts';
import type { CheckpointTrace } from './trace/checkpoint-trace.ts';
import { type GridAgents, withAgents, withRepository, withRepositoryLease } from './with-grid.ts';

export interface CreateCheckpointInput {
  readonly gridFile: GridFile;
  readonly name: string;
  /** Refuse clients' writes while the checkpoint is made. */
  readonly maintenance: boolean;
  /** The lineage to go on in, where it is not that of the agents; true: the only one in the repository. */
  readonly adopt?: string | true | undefined;
  /** Consumers of logical replication outside of the grid may go on. */
  readonly allowLogical?: boolean;
  /** Its steps go there, however it ends. */
  readonly trace?: CheckpointTrace | undefined;
  readonly cancellation: Cancellation;
  readonly progress: ProgressView;
  readonly log: Logger;
  readonly reach: Reach;
}

/**
 * Round trips before the window: for each agent, and for all together. A few hundred make the way of the messages warm where
 * an agent knows nothing of stand-ins; where all do, some say enough of their clocks for a trace.
 */
const ROUND_TRIPS = { each: 300, all: 30_000, forClocks: 100 };

/**
 * Takes one checkpoint of the whole grid. Resolves only when its commit object is durable in the repository.
 * Every rejection is a StillpointError with the exit code of the interface, and says every member's state.
 */
export async function createCheckpoint(input: CreateCheckpointInput): Promise<CheckpointReport> {
  const { trace, progress } = input;
  const { grid } = input.gridFile;
  const unwritten = async (outcome: string): Promise<string[]> => {
    const failure = await trace?.write({ grid, name: input.name, outcome }).then(
      () => null,
      (error: unknown) => failureOf(error, { code: 'trace-unwritable', hint: '' }),
    );
    if (failure === null || failure === undefined) return [];
    progress.note(`warning: ${failure.message}`);
    return [failure.message];
  };
  let report: CheckpointReport;
  try {
    report = await create(input);
  } catch (error) {
    await unwritten(failureOf(error, { code: 'internal', hint: '' }).code);
    throw error;
  }
  const warnings = await unwritten(report.checkpoint);
  return { ...report, warnings: [...report.warnings, ...warnings] };
}

async function create(input: CreateCheckpointInput): Promise<CheckpointReport> {
  const { gridFile, cancellation, progress } = input;
  const { signal } = cancellation;
  checkCheckpointName(input.name);
  const startedAt = performance.now();
  progress.phase(null, 'preflight');
  return withRepository(gridFile.repository, signal, async (repository) => {
    await heeding(signal, repository.probe()).catch(throwRefused);
    return withAgents(gridFile, signal, (agents) =>
      new CheckpointCreation(input, repository, agents, startedAt).run(),
    );
  });
}

class CheckpointCreation {
  readonly #input: CreateCheckpointInput;
  readonly #repository: Repository;
  readonly #agents: GridAgents;
  readonly #startedAt: number;
  readonly #operation = crypto.randomUUID();

  constructor(input: CreateCheckpointInput, repository: Repository, agents: GridAgents, startedAt: number) {
    this.#input = input;
    this.#repository = repository;
    this.#agents = agents;
    this.#startedAt = startedAt;
  }

  async run(): Promise<CheckpointReport> {
    const { grid } = this.#input.gridFile;
    const isTraced = this.#input.trace !== undefined;
    await this.#agents.claim('checkpoint', this.#operation, { trace: isTraced }).catch(throwRefused);
    const { report, number } = await heeding(this.#input.cancellation.signal, this.#preflight());
    noteWarnings(this.#input.progress, report.warnings);
    const checkpoint = formatCheckpointId({ at: new Date(), ...number, name: this.#input.name });
    const operation = { grid, id: this.#operation, holder: `checkpoint ${checkpoint}` };
    const work = async (): Promise<CheckpointReport> => {
      await this.#repository.expectLeftovers(grid, checkpoint).catch(throwRefused);
      await sweepUncommitted(this.#repository, grid, this.#input.log);
      await this.#input.reach('accepted', 'coordinator');
      // What it stores stays when it is aborted: the next run finds it.
      return this.#create(checkpoint, number, report);
    };
    return withRepositoryLease(this.#repository, operation, work, throwRefused);
  }

  async #preflight(): Promise<{ report: PreflightReport; number: Numbered }> {
    const { gridFile, cancellation } = this.#input;
    const repository = this.#repository;
    const described = await this.#agents.describe().catch(throwRefused);
    checkHosts(described.map(({ connection, host }) => ({ asked: connection.host, said: host.host })));
    const report = preflight({
      grid: gridFile.grid,
      copysets: gridFile.copysets ?? null,
      realm: gridFile.realm ?? null,
      maintenance: this.#input.maintenance,
      allowLogical: this.#input.allowLogical ?? false,
      hosts: described,
      repositoryId: repository.id,
      repositoryFreeBytes: await repository.freeBytes(),
      earlier: await this.#newestValid(),
    });
    const { signal } = cancellation;
    const { grid } = gridFile;
    const number = await numberNext({
      repository,
      grid,
      described,
      adopt: this.#input.adopt ?? null,
      signal,
    });
    return { report, number };
  }

  /** Newest first, so the first of them that is valid. What cannot be listed says nothing of this checkpoint. */
  async #newestValid(): Promise<GridManifest | null> {
    const entries = await this.#repository.list(this.#input.gridFile.grid).catch(() => []);
    return entries.find(({ state }) => state === 'valid')?.manifest ?? null;
  }

  async #create(checkpoint: string, number: Numbered, report: PreflightReport): Promise<CheckpointReport> {
    const { gridFile, maintenance, allowLogical = false, trace, cancellation, progress, log } = this.#input;
    const identity = { checkpoint, lineage: number.lineage };
    let manifest: GridManifest | null = null;
    this.#goBackAndForth();
    const run = operationRun({
      gridFile,
      agents: this.#agents,
      operation: this.#operation,
      checkpoint,
      purpose: FOR_CHECKPOINT,
      number,
      members: report.members,
      maintenance,
      allowLogical,
      cancellation,
      progress,
      log,
      tracer: trace?.begin(report.members.map(({ description }) => description.name)),
      commit: async (proof) => {
        const durationMs = performance.now() - this.#startedAt;
        const found = await foundByMembers(this.#repository, gridFile.grid, checkpoint, proof);
        noteWarnings(progress, found);
        manifest = gridManifest({ gridFile, identity, proof, report, found, durationMs });
        await this.#input.reach('committing', 'coordinator');
        await this.#repository.commit(manifest);
        await this.#input.reach('committed', 'coordinator');
      },
    });
    const check = (): AnswerCheck => answerCheckOf({ members: report.members, number });
    const outcome = await runRehearsed(run, check);
    await trace?.gather(this.#agents.connections);
    if (outcome.kind === 'committed' && manifest !== null) {
      const created = checkpointReport(manifest);
      const settled = { ...created, warnings: [...created.warnings, ...(await this.#settle(checkpoint))] };
      return trace?.addTo(settled) ?? settled;
    }
    await bestEffort(() => this.#repository.discard(gridFile.grid, checkpoint), log);
    if (outcome.kind === 'committed') throw new Error('committed without a manifest');
    throw failed(outcome, number.addressOf);
  }

  /** The checkpoint is committed: what fails from here on becomes a warning, and the checkpoint stays valid. */
  async #settle(checkpoint: string): Promise<string[]> {
    const { connections } = this.#agents;
    const settled = await Promise.allSettled(connections.map((connection) => connection.settle(checkpoint)));
    const warnings = settled.flatMap((result, index) => {
      if (result.status === 'fulfilled') return result.value;
      const { message } = failureOf(result.reason, { code: 'settle', hint: '' });
      const text = `the copies of the checkpoint there are not complete: ${message}`;
      const hint = 'the checkpoint itself is whole in the repository; the next one makes whole copies again';
      return [{ code: 'copy-incomplete', about: connections[index]?.host ?? null, text, hint }];
    });
    const lines = warnings.map(warningLine);
    for (const warning of lines) this.#input.progress.note(`warning: ${warning}`);
    return lines;
  }

  /** While members prepare. A connection that breaks meanwhile is the run's affair. */
  #goBackAndForth(): void {
    const { connections } = this.#agents;
    const { trace } = this.#input;
    const most = Math.min(ROUND_TRIPS.each, Math.ceil(ROUND_TRIPS.all / connections.length));
    const enough = trace === undefined ? 0 : ROUND_TRIPS.forClocks;
    const rounds = connections.every(({ rehearses }) => rehearses) ? enough : most;
    for (const connection of connections) {
      const clocks = trace === undefined ? {} : { heard: trace.roundTrip.bind(trace, connection) };
      connection.rehearse(rounds, clocks).catch(() => undefined);
    }
  }
}

import { checkCheckpointName, formatCheckpointId } from '../shared/domain/checkpoint-id.ts';
import { EXIT, failureOf, StillpointError } from '../shared/domain/errors.ts';
import type { GridManifest } from '../shared/domain/manifest.ts';
import * as coordinatorMachine from '../shared/protocol/coordinator-machine.ts';
import type { CommitProof, Outcome } from '../shared/protocol/coordinator-machine.ts';
import { operationSilenceMs } from '../shared/protocol/lease.ts';
import type { Repository } from '../shared/repository/repository.ts';
import { computerClock } from '../shared/runtime/clock.ts';
import type { Reach } from '../shared/runtime/moments.ts';
import type { Logger } from '../shared/runtime/log.ts';
import { raisePriority } from '../shared/runtime/priority.ts';
import { warningLine, type Warning } from '../shared/domain/warning.ts';
import { HOLD_PURPOSES } from '../shared/domain/purpose.ts';
import { AgentConnection, hostOf, throwRefused } from './agents.ts';
import { AnswerCheck } from './answer-check.ts';
import { heeding, type Cancellation } from './cancellation.ts';
import { highestKnown } from './checkpoint-number.ts';
import { checkpointReport, gridManifest } from './checkpoint-report.ts';
import { CheckpointRun, type CheckpointRunInput } from './checkpoint-run.ts';
import type { GridFile } from './grid-file.ts';
import { lineageToCreate } from './lineage.ts';
import { checkHosts, preflight, type PreflightReport } from './preflight.ts';
import type { ProgressView } from './progress.ts';
import type { CheckpointReport } from './reports.ts';
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
  readonly cancellation: Cancellation;
  readonly progress: ProgressView;
  readonly log: Logger;
  readonly reach: Reach;
}

const MAX_ATTEMPTS = 3;
/** With pauses of 1, 2, 4 and 8 s between: a server that flushes for half a minute is armed in the end. */
const MAX_ARMS = 5;
const ARM_AGAIN_MS = 1000;
const ARM_SHARE = 0.8;
/** An agent gives up a minute earlier, and says why replay did not pause. */
const PAUSE_MS = 11 * 60_000;
/** After this many leases nobody can be frozen by design; what could not be confirmed is then reported. */
const GIVE_UP_LEASES = 3;
/** Round trips before the window: for each agent, and for all together. A few hundred make a path warm. */
const REHEARSALS = { each: 300, all: 30_000 };

/**
 * Takes one checkpoint of the whole grid. Resolves only when its commit object is durable in the repository.
 * Every rejection is a StillpointError with the exit code of the interface, and says every member's state.
 */
export async function createCheckpoint(input: CreateCheckpointInput): Promise<CheckpointReport> {
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
  readonly #leaseMs: number;
  readonly #operation = crypto.randomUUID();

  constructor(input: CreateCheckpointInput, repository: Repository, agents: GridAgents, startedAt: number) {
    this.#input = input;
    this.#repository = repository;
    this.#agents = agents;
    this.#startedAt = startedAt;
    this.#leaseMs = agents.leaseMs;
  }

  async run(): Promise<CheckpointReport> {
    const { grid } = this.#input.gridFile;
    await this.#agents.claim('checkpoint', this.#operation).catch(throwRefused);
    const { report, epoch, counter, lineage, addressOf } = await heeding(
      this.#input.cancellation.signal,
      this.#preflight(),
    );
    for (const warning of report.warnings) this.#input.progress.note(`warning: ${warningLine(warning)}`);
    const checkpoint = formatCheckpointId({ at: new Date(), epoch, counter, name: this.#input.name });
    const operation = { grid, id: this.#operation, holder: `checkpoint ${checkpoint}` };
    const work = async (): Promise<CheckpointReport> => {
      await this.#repository.expectLeftovers(grid, checkpoint).catch(throwRefused);
      await this.#sweep();
      await this.#input.reach('accepted', 'coordinator');
      // What it stores stays when it is aborted: the next run finds it.
      return this.#create({ checkpoint, lineage }, epoch, counter, report, addressOf);
    };
    return withRepositoryLease(this.#repository, operation, work, throwRefused);
  }

  async #preflight(): Promise<{
    report: PreflightReport;
    epoch: number;
    counter: number;
    lineage: string;
    addressOf: Map<string, string>;
  }> {
    const { gridFile, cancellation } = this.#input;
    const repository = this.#repository;
    const described = await this.#agents.describe().catch(throwRefused);
    checkHosts(described.map(({ connection, host }) => ({ asked: connection.host, said: host.host })));
    const highest = await repository.highestNumber(gridFile.grid);
    const report = preflight({
      grid: gridFile.grid,
      copysets: gridFile.copysets ?? null,
      realm: gridFile.realm ?? null,
      maintenance: this.#input.maintenance,
      allowLogical: this.#input.allowLogical ?? false,
      hosts: described,
      repositoryId: repository.id,
      repositoryFreeBytes: await repository.freeBytes(),
      hasEarlierCheckpoint: highest.counter > 0,
      earlier: await this.#newestValid(),
    });
    const lineage = lineageToCreate({
      hosts: described.map(({ host }) => host),
      entries: await repository.list(gridFile.grid, { purposes: HOLD_PURPOSES }),
      adopt: this.#input.adopt ?? null,
    });
    cancellation.signal.throwIfAborted();
    // Before the first checkpoint of it is committed, so that no crash leaves one that its own agents do not know.
    const joining = described.filter(({ host }) => host.lineage !== lineage);
    await Promise.all(joining.map(({ connection }) => connection.joinLineage(lineage))).catch(throwRefused);
    const known = highestKnown(
      highest,
      described.map(({ host }) => host),
    );
    const addressOf = new Map<string, string>();
    for (const { connection, host } of described)
      for (const member of host.members) addressOf.set(member.name, connection.address);
    return { report, epoch: known.epoch, counter: known.counter + 1, lineage, addressOf };
  }

  /** Newest first, so the first of them that is valid. What cannot be listed says nothing of this checkpoint. */
  async #newestValid(): Promise<GridManifest | null> {
    const entries = await this.#repository.list(this.#input.gridFile.grid).catch(() => []);
    return entries.find(({ state }) => state === 'valid')?.manifest ?? null;
  }

  async #create(
    identity: { readonly checkpoint: string; readonly lineage: string },
    epoch: number,
    counter: number,
    report: PreflightReport,
    addressOf: Map<string, string>,
  ): Promise<CheckpointReport> {
    const { checkpoint } = identity;
    const { gridFile, cancellation, progress, log } = this.#input;
    let manifest: GridManifest | null = null;
    this.#rehearse();
    const run: CheckpointRunInput<AgentConnection> = {
      config: {
        members: report.members.map(({ description, kind, assignment, heldBy }) => ({
          name: description.name,
          kind,
          assignment,
          ...(heldBy !== null && { heldBy }),
        })),
        checkpoint,
        maintenance: this.#input.maintenance,
        allowLogical: this.#input.allowLogical ?? false,
        epoch,
        counter,
        leaseMs: this.#leaseMs,
        maxAttempts: MAX_ATTEMPTS,
        maxArms: MAX_ARMS,
        deadlines: {
          prepareMs: null,
          pauseMs: PAUSE_MS,
          // Before an agent's lease for it ends: then it is taken back and tried again, else all is aborted.
          armMs: ARM_SHARE * this.#leaseMs,
          disarmMs: this.#leaseMs + 2000,
          armAgainMs: ARM_AGAIN_MS,
          reconnectMs: operationSilenceMs(this.#leaseMs),
          freezeMs: Math.min(5000, this.#leaseMs),
          thawMs: this.#leaseMs + 2000,
          collectMs: null,
          abortRetryMs: 1000,
          abortGiveUpMs: Math.max(30_000, GIVE_UP_LEASES * this.#leaseMs),
        },
      },
      streams: this.#agents.byAddress,
      machine: coordinatorMachine,
      clock: computerClock,
      raisePriority,
      addressOf,
      answerCheck: new AnswerCheck(
        report.members.map(({ description, kind }) => ({
          name: description.name,
          role: description.role,
          kind,
          marksJournalFile: description.traits.marksJournalFile,
          address: addressOf.get(description.name) ?? '',
        })),
      ),
      cancellation,
      progress,
      log: log.child({ checkpoint }),
      reconnect: (address) => this.#reconnect(address),
      commit: async (proof) => {
        const durationMs = performance.now() - this.#startedAt;
        const found = await this.#foundByMembers(checkpoint, proof);
        manifest = gridManifest({ gridFile, identity, proof, report, found, durationMs });
        await this.#input.reach('committing', 'coordinator');
        await this.#repository.commit(manifest);
        await this.#input.reach('committed', 'coordinator');
      },
    };
    const outcome = await new Promise<Outcome>((resolve) => new CheckpointRun(run, resolve).start());
    if (outcome.kind === 'committed' && manifest !== null) {
      const created = checkpointReport(manifest);
      return { ...created, warnings: [...created.warnings, ...(await this.#settle(checkpoint))] };
    }
    await this.#bestEffort(() => this.#repository.discard(gridFile.grid, checkpoint));
    throw failed(outcome, addressOf);
  }

  /** What the engines met while they stored their members: in each member's manifest. */
  async #foundByMembers(checkpoint: string, { members }: CommitProof): Promise<Warning[]> {
    const { grid } = this.#input.gridFile;
    const found: Warning[] = [];
    for (const { name, manifestDigest } of members) {
      // What cannot be read is no warning: the commit that follows says so.
      const manifest = await this.#repository
        .readMember(grid, checkpoint, name, manifestDigest)
        .catch(() => null);
      found.push(...(manifest?.warnings ?? []));
    }
    for (const warning of found) this.#input.progress.note(`warning: ${warningLine(warning)}`);
    return found;
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

  /** While members prepare. A connection that breaks meanwhile is the run's affair, not the rehearsal's. */
  #rehearse(): void {
    const { connections } = this.#agents;
    const rounds = Math.min(REHEARSALS.each, Math.ceil(REHEARSALS.all / connections.length));
    for (const connection of connections) connection.rehearse(rounds).catch(() => undefined);
  }

  /** What a killed coordinator left: we hold the grid, so no other checkpoint of it is being made. */
  async #sweep(): Promise<void> {
    const { grid } = this.#input.gridFile;
    for (const entry of await this.#repository.list(grid)) {
      if (entry.state === 'uncommitted')
        await this.#bestEffort(() => this.#repository.discard(grid, entry.checkpoint));
    }
  }

  /** Sweeping must not turn an outcome into another: what stays is listed, and the next run sweeps it. */
  async #bestEffort(sweep: () => Promise<unknown>): Promise<void> {
    try {
      await sweep();
    } catch (error) {
      this.#input.log.warn({ event: 'leftoversStay', err: error }, 'leftovers stay until the next run');
    }
  }

  async #reconnect(address: string): Promise<{ stream: AgentConnection; resumed: boolean }> {
    const connection = await AgentConnection.open(
      this.#input.gridFile,
      address,
      2000,
      this.#input.cancellation.second,
    );
    try {
      // The same operation: the agent goes on with what its broken stream had left, where it may; else it ends it first.
      const { resumed } = await connection.claim(this.#operation, 'checkpoint', this.#leaseMs);
      if (!resumed) await connection.describe();
      return { stream: connection, resumed };
    } catch (error) {
      connection.close();
      throw error;
    }
  }
}

function failed(outcome: Outcome, addressOf: ReadonlyMap<string, string>): StillpointError {
  if (outcome.kind === 'committed') throw new Error('committed without a manifest');
  const exit = { aborted: EXIT.aborted, invalid: EXIT.invalid, maybeFrozen: EXIT.maybeFrozen }[outcome.kind];
  const { failure } = outcome;
  const hostNamed = (member = ''): { host?: string } => {
    const address = addressOf.get(member);
    return address === undefined ? {} : { host: hostOf(address) };
  };
  // Where somebody has to go and look.
  const members = failure.members?.map((one) =>
    one.state === 'unknown' ? { ...one, ...hostNamed(one.name) } : one,
  );
  return new StillpointError(
    { ...hostNamed(failure.member), ...failure, ...(members !== undefined && { members }) },
    exit,
  );
}

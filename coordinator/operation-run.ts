import { EXIT, StillpointError } from '../shared/domain/errors.ts';
import type { HostDescription } from '../shared/domain/grid.ts';
import type { Purpose } from '../shared/domain/purpose.ts';
import { warningLine, type Warning } from '../shared/domain/warning.ts';
import * as coordinatorMachine from '../shared/protocol/coordinator-machine.ts';
import type { CommitProof, CoordinatorConfig, Outcome } from '../shared/protocol/coordinator-machine.ts';
import { operationSilenceMs } from '../shared/protocol/lease.ts';
import { EVERYTHING, type Repository } from '../shared/repository/repository.ts';
import { computerClock } from '../shared/runtime/clock.ts';
import type { Logger } from '../shared/runtime/log.ts';
import type { ProcessTracer } from '../shared/runtime/process-tracer.ts';
import { raisePriority } from '../shared/runtime/priority.ts';
import { AgentConnection, hostOf, throwRefused } from './agents.ts';
import { AnswerCheck } from './answer-check.ts';
import type { TakingPart } from './assignment.ts';
import type { Cancellation } from './cancellation.ts';
import { highestKnown } from './checkpoint-number.ts';
import type { CheckpointRunInput } from './checkpoint-run.ts';
import type { GridFile } from './grid-file.ts';
import { lineageToCreate } from './lineage.ts';
import type { ProgressView } from './progress.ts';
import type { DescribedHost, GridAgents } from './with-grid.ts';

// What a checkpoint and the operations that copy nothing have in common: they are numbered, driven and told alike.

const MAX_ATTEMPTS = 3;
/** With pauses of 1, 2, 4 and 8 s between: a server that flushes for half a minute is armed in the end. */
const MAX_ARMS = 5;
const ARM_AGAIN_MS = 1000;
const ARM_SHARE = 0.8;
/** An agent gives up a minute earlier, and says why replay did not pause. */
const PAUSE_MS = 11 * 60_000;
/** After this many leases nobody can be frozen by design; what could not be confirmed is then reported. */
const GIVE_UP_LEASES = 3;

/** Of the operation that is to come: which it is in its grid, and where its members are. */
export interface Numbered {
  readonly epoch: number;
  readonly counter: number;
  readonly lineage: string;
  /** The address of the agent that has the member. */
  readonly addressOf: ReadonlyMap<string, string>;
}

/** Its number is above all that anyone knows, and every host knows its lineage when this resolves. */
export async function numberNext(input: {
  readonly repository: Repository;
  readonly grid: string;
  readonly described: readonly DescribedHost[];
  readonly adopt: string | true | null;
  readonly signal: AbortSignal;
}): Promise<Numbered> {
  const { repository, grid, described, adopt, signal } = input;
  const hosts = described.map(({ host }) => host);
  const entries = await repository.list(grid, EVERYTHING);
  const lineage = lineageToCreate({ hosts, entries, adopt });
  signal.throwIfAborted();
  // Before the first checkpoint of it is committed, so that no crash leaves one that its own agents do not know.
  const joining = described.filter(({ host }) => host.lineage !== lineage);
  await Promise.all(joining.map(({ connection }) => connection.joinLineage(lineage))).catch(throwRefused);
  const known = highestKnown(await repository.highestNumber(grid), hosts);
  return { epoch: known.epoch, counter: known.counter + 1, lineage, addressOf: addresses(described) };
}

function addresses(
  described: readonly { readonly connection: AgentConnection; readonly host: HostDescription }[],
): ReadonlyMap<string, string> {
  return new Map(
    described.flatMap(({ connection, host }) => host.members.map(({ name }) => [name, connection.address])),
  );
}

export interface OperationInput {
  readonly gridFile: GridFile;
  readonly agents: GridAgents;
  /** As the agents were claimed for it. */
  readonly operation: string;
  readonly checkpoint: string;
  readonly purpose: Purpose;
  readonly number: Numbered;
  readonly members: readonly TakingPart[];
  readonly maintenance: boolean;
  readonly allowLogical: boolean;
  readonly deadlines?: Partial<CoordinatorConfig['deadlines']>;
  readonly cancellation: Cancellation;
  readonly progress: ProgressView;
  readonly log: Logger;
  /** Notes the steps of the coordinator; agents note theirs from the claim on. */
  readonly tracer?: ProcessTracer | undefined;
  readonly commit: (proof: CommitProof) => Promise<void>;
}

/** What drives the operation: its members' machine, and the streams that it speaks over. */
export function operationRun(input: OperationInput): CheckpointRunInput<AgentConnection> {
  const { agents, checkpoint, purpose, number, members, cancellation, progress, log, commit } = input;
  const { maintenance, allowLogical, tracer } = input;
  const { epoch, counter, addressOf } = number;
  return {
    config: {
      members: members.map(({ description, kind, assignment, heldBy }) => ({
        name: description.name,
        kind,
        assignment,
        ...(heldBy !== null && { heldBy }),
      })),
      checkpoint,
      purpose,
      maintenance,
      allowLogical,
      epoch,
      counter,
      leaseMs: agents.leaseMs,
      maxAttempts: MAX_ATTEMPTS,
      maxArms: MAX_ARMS,
      deadlines: { ...deadlinesFor(agents.leaseMs), ...input.deadlines },
    },
    streams: agents.byAddress,
    machine: coordinatorMachine,
    clock: computerClock,
    raisePriority,
    ...(tracer !== undefined && { tracer }),
    addressOf,
    answerCheck: answerCheckOf(input),
    cancellation,
    progress,
    log: log.child({ checkpoint }),
    reconnect: (address) => reconnect(input, address),
    commit,
  };
}

/** Of what the agents may say of these members. */
export function answerCheckOf({ members, number }: Pick<OperationInput, 'members' | 'number'>): AnswerCheck {
  return new AnswerCheck(
    members.map(({ description, kind }) => ({
      name: description.name,
      role: description.role,
      kind,
      marksJournalFile: description.traits.marksJournalFile,
      address: number.addressOf.get(description.name) ?? '',
    })),
  );
}

function deadlinesFor(leaseMs: number): CoordinatorConfig['deadlines'] {
  return {
    prepareMs: null,
    pauseMs: PAUSE_MS,
    // Before an agent's lease for it ends: then it is taken back and tried again, else all is aborted.
    armMs: ARM_SHARE * leaseMs,
    disarmMs: leaseMs + 2000,
    armAgainMs: ARM_AGAIN_MS,
    reconnectMs: operationSilenceMs(leaseMs),
    freezeMs: Math.min(5000, leaseMs),
    thawMs: leaseMs + 2000,
    collectMs: null,
    abortRetryMs: 1000,
    abortGiveUpMs: Math.max(30_000, GIVE_UP_LEASES * leaseMs),
  };
}

async function reconnect(
  { gridFile, agents, operation, cancellation, tracer }: OperationInput,
  address: string,
): Promise<{ stream: AgentConnection; resumed: boolean }> {
  const connection = await AgentConnection.open(gridFile, address, 2000, cancellation.second);
  try {
    // The same operation: the agent goes on with what its broken stream had left, where it may; else it ends it first.
    const { resumed } = await connection.claim(operation, 'checkpoint', agents.leaseMs, {
      trace: tracer !== undefined,
    });
    if (!resumed) await connection.describe();
    return { stream: connection, resumed };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** What the engines met while they stored their members: in each member's manifest. */
export async function foundByMembers(
  repository: Repository,
  grid: string,
  checkpoint: string,
  { members }: CommitProof,
): Promise<Warning[]> {
  const found: Warning[] = [];
  for (const { name, manifestDigest } of members) {
    // What cannot be read is no warning: the commit that follows says so.
    const manifest = await repository.readMember(grid, checkpoint, name, manifestDigest).catch(() => null);
    found.push(...(manifest?.warnings ?? []));
  }
  return found;
}

export function noteWarnings(progress: ProgressView, warnings: readonly Warning[]): void {
  for (const warning of warnings) progress.note(`warning: ${warningLine(warning)}`);
}

/** With the exit code of the interface, and the host of everybody whom somebody has to look after. */
export function failed(
  outcome: Exclude<Outcome, { kind: 'committed' }>,
  addressOf: ReadonlyMap<string, string>,
): StillpointError {
  const exit = { aborted: EXIT.aborted, invalid: EXIT.invalid, maybeFrozen: EXIT.maybeFrozen }[outcome.kind];
  const { failure } = outcome;
  const hostNamed = (member = ''): { host?: string } => {
    const address = addressOf.get(member);
    return address === undefined ? {} : { host: hostOf(address) };
  };
  const members = failure.members?.map((one) =>
    one.state === 'unknown' ? { ...one, ...hostNamed(one.name) } : one,
  );
  return new StillpointError(
    { ...hostNamed(failure.member), ...failure, ...(members !== undefined && { members }) },
    exit,
  );
}

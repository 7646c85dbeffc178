import { EXIT, failureOf, StillpointError, type Phase } from '../shared/domain/errors.ts';
import type { GridManifest } from '../shared/domain/manifest.ts';
import type { RestoreStep, RestoreStepResult, StagePlan } from '../shared/domain/wire.ts';
import type { AgentConnection } from './agents.ts';
import type { ProgressView } from './progress.ts';
import type { PlannedMember } from './planned-member.ts';

const STILL_MS = 10_000;

export interface EndedStep {
  readonly member: PlannedMember;
  readonly step: RestoreStep['type'];
  /** By `performance.now()`. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** Null where it failed. */
  readonly result: RestoreStepResult | null;
}

/** The steps of one restore, asked of the agents of its members. */
export class RestoreSteps {
  readonly #connections: ReadonlyMap<string, AgentConnection>;
  readonly #progress: ProgressView;
  readonly #signal: AbortSignal;
  readonly #phase: () => Phase;
  readonly #ended: (step: EndedStep) => void;
  readonly #stillMs: number;

  constructor(input: {
    readonly connections: readonly AgentConnection[];
    readonly progress: ProgressView;
    readonly signal: AbortSignal;
    readonly phase: () => Phase;
    readonly ended: (step: EndedStep) => void;
    /** How often a roll-back that takes long is told of. */
    readonly stillMs?: number;
  }) {
    this.#connections = new Map(input.connections.map((connection) => [connection.address, connection]));
    this.#progress = input.progress;
    this.#signal = input.signal;
    this.#phase = input.phase;
    this.#ended = input.ended;
    this.#stillMs = input.stillMs ?? STILL_MS;
  }

  /** The same step on several members at once. The first failure is the one told; all have ended by then. */
  async each(
    members: readonly PlannedMember[],
    step: RestoreStep | ((member: PlannedMember) => RestoreStep),
  ): Promise<RestoreStepResult[]> {
    const results = await Promise.allSettled(
      members.map((member) =>
        cancellable(this.one(member, typeof step === 'function' ? step(member) : step), this.#signal),
      ),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  }

  async one(member: PlannedMember, step: RestoreStep): Promise<RestoreStepResult> {
    if (step.type !== 'isRunning') this.#progress.phase(member.name, step.type);
    const startedAt = performance.now();
    const ended = (result: RestoreStepResult | null): void =>
      this.#ended({ member, step: step.type, startedAt, endedAt: performance.now(), result });
    // Who has said stop has nothing else to watch, and a process that does not stop keeps all waiting.
    const tellStill = (): void => {
      const seconds = Math.round((performance.now() - startedAt) / 1000);
      this.#progress.note(
        `${member.name}: still rolling back after ${seconds} s: its agent's log on ${member.to.host} says what it waits for; interrupt once more to leave it to the agent`,
      );
    };
    const still = step.type === 'rollBack' ? setInterval(tellStill, this.#stillMs) : undefined;
    try {
      const result = await this.#connection(member).restore(member.name, step);
      ended(result);
      return result;
    } catch (error) {
      ended(null);
      const failure = failureOf(error, { code: 'restore-failed', hint: "see the agent's log" });
      throw new StillpointError(
        { ...failure, member: member.name, host: member.to.host, phase: this.#phase() },
        EXIT.rolledBack,
        {
          cause: error,
        },
      );
    } finally {
      clearInterval(still);
    }
  }

  async running(members: readonly PlannedMember[]): Promise<PlannedMember[]> {
    const answers = await this.each(members, { type: 'isRunning' });
    return members.filter((_, index) => {
      const answer = answers[index];
      return answer?.type === 'running' && answer.running;
    });
  }

  #connection(member: PlannedMember): AgentConnection {
    const connection = this.#connections.get(member.to.agent);
    if (connection === undefined) throw new Error(`no connection to ${member.to.agent}`);
    return connection;
  }
}

/** Ends the wait when the person says stop; the rollback then ends what the agent is doing. */
export function cancellable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = (): void => reject(signal.reason as Error);
    if (signal.aborted) return cancel();
    signal.addEventListener('abort', cancel, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', cancel));
  });
}

/** What builds this member, as its agent is told. */
export function stagePlanOf(restoreId: string, manifest: GridManifest, member: PlannedMember): StagePlan {
  const { source, image, own, follow } = member;
  return {
    restoreId,
    grid: manifest.grid,
    checkpoint: manifest.checkpoint,
    source: { member: source.name, digest: source.manifestDigest },
    ...(image !== undefined && { image: image.reference }),
    own: own === null ? null : { member: own.name, digest: own.manifestDigest },
    follow,
  };
}

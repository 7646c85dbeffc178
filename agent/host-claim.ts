import { EXIT, StillpointError, type Failure } from '../shared/domain/errors.ts';
import { decideClaim, type Claim } from '../shared/protocol/claim.ts';
import { grantLease, renewLease } from '../shared/protocol/lease.ts';
import { computerClock, type Clock } from '../shared/runtime/clock.ts';
import type { Logger } from '../shared/runtime/log.ts';

export interface ClaimRequest {
  readonly operation: string;
  readonly holder: string;
  readonly leaseMs: number;
}

export interface ClaimedWork {
  frozenMembers(): ReadonlySet<string>;
  /** A member is held, or may be at any moment. */
  mayHold(): boolean;
  /** The members that keep the end from coming, and why. */
  unfinished(): ReadonlyMap<string, Failure>;
  /** Whether a new stream of the same operation may take it up. */
  mayBeResumed(): boolean;
  /** The stream is gone. False: the work must end now. True: it waits for another stream, and ends by itself. */
  streamClosed(): boolean;
  /** Ends the work, aborting what is under way. Called once. */
  end(): Promise<void>;
}

/** What a stream has of the host. Without effect once another stream has it. */
export interface ClaimedOperation<Work> {
  /** Null once another stream has it. */
  readonly work: Work | null;
  /** The work is that of an earlier stream. */
  readonly resumed: boolean;
  /** A word from the holder: its lease starts anew. */
  messageReceived(): void;
  /** Resolves when the work has ended, or at once where it waits for another stream. */
  streamClosed(): Promise<void>;
  end(): Promise<void>;
}

interface HeldClaim<Work> {
  claim: Claim;
  readonly work: Work;
  /** Of so many streams. */
  streams: number;
  ending: Promise<void> | null;
}

/**
 * One operation at a time on this host's part of the grid. A holder that was silent for longer than its
 * lease may be taken over; its work is aborted first, and the newcomer has the grid when that is done. An abort
 * may take as long as a member cannot be reached: the newcomer waits for it no longer than a lease.
 */
export class HostClaim<Work extends ClaimedWork> {
  readonly #log: Pick<Logger, 'info' | 'warn'>;
  readonly #clock: Clock;
  readonly #decide: typeof decideClaim;
  #held: HeldClaim<Work> | null = null;

  /** The simulator hands in a clock, and sees each decision (test/simulator). */
  constructor(
    log: Pick<Logger, 'info' | 'warn'>,
    clock: Clock = computerClock,
    decide: typeof decideClaim = decideClaim,
  ) {
    this.#log = log;
    this.#clock = clock;
    this.#decide = decide;
  }

  frozenMembers(): ReadonlySet<string> {
    return this.#held?.work.frozenMembers() ?? new Set();
  }

  mayHold(): boolean {
    return this.#held?.work.mayHold() ?? false;
  }

  unfinished(): ReadonlyMap<string, Failure> {
    return this.#held?.work.unfinished() ?? new Map();
  }

  /** The operation that has the host, also while it ends: until then somebody may be held. */
  get held(): { readonly operation: string; readonly holder: string; readonly work: Work } | null {
    if (this.#held === null) return null;
    const { operation, holder } = this.#held.claim;
    return { operation, holder, work: this.#held.work };
  }

  /** Ends what has the host. Rejects `grid-busy` where that has not come to its end within this time. */
  async endHeld(limitMs: number): Promise<void> {
    if (this.#held !== null) await this.#endWithin(this.#held, limitMs);
  }

  /**
   * Resolves when this operation has the host, with the work that `begin` makes, or with that of its earlier stream.
   * `begin` is given what to call when the work has ended by itself. Rejects `grid-busy`, naming the holder, or what
   * its end waits for.
   */
  async claim(request: ClaimRequest, begin: (ended: () => void) => Work): Promise<ClaimedOperation<Work>> {
    for (let held = this.#held; held !== null; held = this.#held) {
      const decision =
        held.ending === null
          ? this.#decide(held.claim, request.operation, this.#clock.now(), held.work.mayBeResumed())
          : null;
      if (decision?.type === 'refuse') throw busy(decision.holder);
      if (decision?.type === 'resume') {
        this.#log.warn(
          { event: 'resumed', operation: request.operation },
          'operation goes on, on a new stream',
        );
        return this.#grant(held, request);
      }
      if (decision !== null) {
        this.#log.warn(
          { event: 'takenOver', from: held.claim.holder, by: request.holder },
          'operation taken over',
        );
      }
      await this.#endWithin(held, request.leaseMs);
    }
    const work = begin(() => void this.#end(held));
    const held: HeldClaim<Work> = { claim: this.#claimOf(request), work, streams: 0, ending: null };
    this.#held = held;
    this.#log.info(
      { event: 'claimed', operation: request.operation, holder: request.holder },
      'grid claimed',
    );
    return this.#grant(held, request);
  }

  #grant(held: HeldClaim<Work>, request: ClaimRequest): ClaimedOperation<Work> {
    held.claim = this.#claimOf(request);
    held.streams += 1;
    const stream = held.streams;
    const isOurs = (): boolean => held.streams === stream;
    return {
      get work() {
        return isOurs() ? held.work : null;
      },
      resumed: stream > 1,
      messageReceived: () => {
        if (isOurs()) held.claim = { ...held.claim, lease: renewLease(held.claim.lease, this.#clock.now()) };
      },
      streamClosed: () => {
        if (!isOurs() || (held.ending === null && held.work.streamClosed())) return Promise.resolve();
        return this.#end(held);
      },
      end: () => (isOurs() ? this.#end(held) : Promise.resolve()),
    };
  }

  /** Resolves when nothing is held. */
  async ended(): Promise<void> {
    if (this.#held !== null) await this.#end(this.#held);
  }

  async #endWithin(held: HeldClaim<Work>, limitMs: number): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<'late'>();
    const alarm = this.#clock.alarm(() => resolve('late'));
    alarm.set(this.#clock.now() + limitMs);
    const first = await Promise.race([this.#end(held), late]);
    alarm.set(null);
    if (first === 'late') throw notEnded(held.claim.holder, held.work.unfinished(), limitMs);
  }

  #end(held: HeldClaim<Work>): Promise<void> {
    held.ending ??= held.work.end().finally(() => {
      if (this.#held === held) this.#held = null;
      this.#log.info({ event: 'released', operation: held.claim.operation }, 'grid released');
    });
    return held.ending;
  }

  #claimOf({ operation, holder, leaseMs }: ClaimRequest): Claim {
    return { operation, holder, lease: grantLease(leaseMs, this.#clock.now()) };
  }
}

function busy(holder: string): StillpointError {
  return new StillpointError(
    {
      code: 'grid-busy',
      message: `another operation holds the grid: ${holder}`,
      hint: 'wait until it has ended; the claim of a dead coordinator ends with its lease',
    },
    EXIT.refused,
  );
}

function notEnded(
  holder: string,
  unfinished: ReadonlyMap<string, Failure>,
  waitedMs: number,
): StillpointError {
  const [first] = unfinished;
  const cause = first === undefined ? '' : `: ${first[0]}: ${first[1].message}`;
  return new StillpointError(
    {
      code: 'grid-busy',
      message: `the operation of ${holder} is being aborted and has not ended after ${waitedMs / 1000} s${cause}`,
      hint: first?.[1].hint ?? "see the agent's log for what it waits for",
      ...(first !== undefined && { member: first[0] }),
    },
    EXIT.refused,
  );
}

import { EXIT, StillpointError, type Failure } from '../shared/domain/errors.ts';
import { decideClaim, type Claim } from '../shared/protocol/claim.ts';
import { grantLease, renewLease } from '../shared/protocol/lease.ts';
import type { Logger } from '../shared/runtime/log.ts';

export interface ClaimRequest {
  readonly operation: string;
  readonly holder: string;
  readonly leaseMs: number;
}

export interface ClaimedWork {
  frozenMembers(): ReadonlySet<string>;
  /** The members that keep the end from coming, and why. */
  unfinished(): ReadonlyMap<string, Failure>;
  /** Ends the work, aborting what is under way. Called once. */
  end(): Promise<void>;
}

export interface ClaimedOperation {
  /** A word from the holder: its lease starts anew. */
  heard(): void;
  end(): Promise<void>;
}

interface Held {
  claim: Claim;
  readonly work: ClaimedWork;
  ending: Promise<void> | null;
}

/**
 * One operation at a time on this host's part of the grid. A holder that was silent for longer than its
 * lease may be taken over; its work is aborted first, and the newcomer has the grid when that is done. An abort
 * may take as long as a member cannot be reached: the newcomer waits for it no longer than a lease.
 */
export class HostClaim {
  readonly #log: Logger;
  #held: Held | null = null;

  constructor(log: Logger) {
    this.#log = log;
  }

  frozenMembers(): ReadonlySet<string> {
    return this.#held?.work.frozenMembers() ?? new Set();
  }

  unfinished(): ReadonlyMap<string, Failure> {
    return this.#held?.work.unfinished() ?? new Map();
  }

  /** Resolves when this operation has the host. Rejects `grid-busy`, naming the holder, or what its end waits for. */
  async claim(request: ClaimRequest, work: ClaimedWork): Promise<ClaimedOperation> {
    for (let held = this.#held; held !== null; held = this.#held) {
      const decision =
        held.ending === null ? decideClaim(held.claim, request.operation, performance.now()) : null;
      if (decision?.type === 'refuse') throw busy(decision.holder);
      if (decision !== null) {
        this.#log.warn(
          { event: 'takenOver', from: held.claim.holder, by: request.holder },
          'operation taken over',
        );
      }
      await this.#endWithin(held, request.leaseMs);
    }
    const { operation, holder, leaseMs } = request;
    const claim: Claim = { operation, holder, lease: grantLease(leaseMs, performance.now()) };
    const held: Held = { claim, work, ending: null };
    this.#held = held;
    this.#log.info(
      { event: 'claimed', operation: request.operation, holder: request.holder },
      'grid claimed',
    );
    return {
      heard: () => {
        held.claim = { ...held.claim, lease: renewLease(held.claim.lease, performance.now()) };
      },
      end: () => this.#end(held),
    };
  }

  /** Resolves when nothing is held. */
  async ended(): Promise<void> {
    if (this.#held !== null) await this.#end(this.#held);
  }

  async #endWithin(held: Held, limitMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), limitMs);
    });
    const first = await Promise.race([this.#end(held), late]);
    clearTimeout(timer);
    if (first === 'late') throw notEnded(held.claim.holder, held.work.unfinished(), limitMs);
  }

  #end(held: Held): Promise<void> {
    held.ending ??= held.work.end().finally(() => {
      if (this.#held === held) this.#held = null;
      this.#log.info({ event: 'released', operation: held.claim.operation }, 'grid released');
    });
    return held.ending;
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

import type { Token } from '../../shared/domain/token.ts';

/** What really happened to a member in one attempt, in true time. No machine sees any of it. */
export interface Attempted {
  readonly operation: string;
  readonly token: Token;
  fencedAt: number | null;
  markedAt: number | null;
  openedAt: number | null;
  openedBy: 'thaw' | 'abort' | 'guard' | 'crash' | 'deadline' | 'agentStart' | null;
  /** Something got past the fence. */
  leaked: boolean;
  /** The process was restarted between the arm and the thaw. */
  restarted: boolean;
  /** The agent opened it when its lease had run out. */
  leaseEnded: boolean;
  /** Everybody was armed, and a thaw came: an attempt at a cut, though nobody may have been frozen for it. */
  wasThawed: boolean;
  cut: number | null;
  /** Where those are cut that it holds with itself, in their order. */
  cutsOfHeld: readonly number[];
  collected: boolean;
  /** Somebody was there with the arm of whom it is known that nobody holds it. */
  readonly isSeenByStrangers: boolean;
  /** Which of an observer's streams it was, at the arm. */
  readonly stream: number;
}

/** At the arm. */
export function newAttempt(
  known: Pick<Attempted, 'operation' | 'token' | 'isSeenByStrangers' | 'stream'>,
): Attempted {
  return {
    ...known,
    fencedAt: null,
    markedAt: null,
    openedAt: null,
    openedBy: null,
    leaked: false,
    restarted: false,
    leaseEnded: false,
    wasThawed: false,
    cut: null,
    cutsOfHeld: [],
    collected: false,
  };
}

/** What its mark says: its own cut first. */
export function positionOf({ cut, cutsOfHeld }: Attempted): string {
  return [cut, ...cutsOfHeld].join(',');
}

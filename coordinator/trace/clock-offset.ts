/** One question to another host and its answer, in milliseconds: ours by our monotonic clock, theirs by that host's. */
export interface RoundTrip {
  readonly sentMs: number;
  readonly theirMs: number;
  readonly receivedMs: number;
}

/** Of any number of round trips the shortest: between its ends there is the least room for their clock to be another. */
export class ShortestRoundTrip {
  #shortest: RoundTrip | null = null;

  note(trip: RoundTrip): void {
    if (this.#shortest === null || lengthOf(trip) < lengthOf(this.#shortest)) this.#shortest = trip;
  }

  get trip(): RoundTrip | null {
    return this.#shortest;
  }
}

/** How another host's monotonic clock stands to ours. */
export interface ClockOffset {
  /** It is the same clock. */
  readonly isOurs: boolean;
  /** Theirs less ours, when it was asked last. */
  readonly offsetMs: number;
  /** The most by which a moment that was converted may be wrong, in either direction. */
  readonly uncertaintyMs: number;
  toOurs(theirMs: number): number;
}

/**
 * From round trips of before and after what is to be converted: their clock showed what it did somewhere between the two
 * ends of each, and in between it ran evenly. A host's clock is ours where both say that they are of one `machine` and no
 * round trip speaks against it. Null without any round trip.
 */
export function clockOffset(trips: readonly RoundTrip[], sameMachine: boolean): ClockOffset | null {
  const [first] = trips;
  const last = trips.at(-1);
  if (first === undefined || last === undefined) return null;
  const uncertaintyMs = Math.max(...trips.map((trip) => lengthOf(trip) / 2));
  if (sameMachine && trips.every((trip) => Math.abs(offsetOf(trip)) <= lengthOf(trip) / 2))
    return { isOurs: true, offsetMs: 0, uncertaintyMs: 0, toOurs: (ms) => ms };
  const apartMs = last.theirMs - first.theirMs;
  const drifted = apartMs <= 0 ? 0 : (offsetOf(last) - offsetOf(first)) / apartMs;
  return {
    isOurs: false,
    offsetMs: offsetOf(last),
    uncertaintyMs,
    toOurs(theirMs) {
      const sinceMs = Math.min(Math.max(theirMs - first.theirMs, 0), Math.max(apartMs, 0));
      return theirMs - (offsetOf(first) + drifted * sinceMs);
    },
  };
}

function lengthOf({ sentMs, receivedMs }: RoundTrip): number {
  return receivedMs - sentMs;
}

function offsetOf({ sentMs, theirMs, receivedMs }: RoundTrip): number {
  return theirMs - (sentMs + receivedMs) / 2;
}

import type { Lsn } from '../journal/lsn.ts';
import { segmentOf } from '../journal/lsn.ts';
import { historyName, parseHistory } from './image-journal.ts';

/** One timeline on the way to another: from where on it was written, and where it was left (null: it is the last). */
interface Leg {
  readonly timeline: number;
  readonly begin: Lsn;
  readonly end: Lsn | null;
}

/**
 * The timelines that led to one, as its history file says: a standby that was promoted goes on with the journal of its
 * primary, under a new number, from where it stood.
 */
export class Timelines {
  readonly #legs: readonly Leg[];
  readonly #segmentBytes: number;
  readonly last: number;

  /** `history`: null where the server has none. */
  constructor(timeline: number, history: string | null, segmentBytes: number) {
    const legs: Leg[] = [];
    let begin: Lsn = 0n;
    for (const { timeline: earlier, end } of parseHistory(history ?? '')) {
      legs.push({ timeline: earlier, begin, end });
      begin = end;
    }
    this.#legs = [...legs, { timeline, begin, end: null }];
    this.#segmentBytes = segmentBytes;
    this.last = timeline;
  }

  /** Whether what stood at this position on another timeline is in the history of the last. */
  has(timeline: number, position: Lsn): boolean {
    return this.#legs.some((leg) => leg.timeline === timeline && (leg.end === null || position <= leg.end));
  }

  /** The timeline under whose number a server looks for a file first: the newest that wrote into it. */
  of(segment: bigint): number {
    const wrote = this.#legs.filter(({ begin }) => segmentOf(begin, this.#segmentBytes) <= segment);
    return wrote.at(-1)?.timeline ?? this.last;
  }

  /** Of all that have one: the first timeline has none. */
  historyNames(): string[] {
    return this.#legs.filter(({ timeline }) => timeline !== 1).map(({ timeline }) => historyName(timeline));
  }
}

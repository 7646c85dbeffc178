/** What a backup costs before the first has told: whatever is in it, for each cache, and for each entry. */
const FIXED_MS = 300;
const CACHE_MS = 5;
const ENTRY_MS = 0.02;

/** One backup may have met a busy machine, or an idle one: no more than this is believed of it. */
const LEAST = 0.1;
const MOST = 20;

/** How fast the servers of a cluster write backups, as the last one told: so long their clients are refused. */
export class HoldPace {
  /** How many times as long as was taken at first. */
  #factor = 1;

  told(entries: number, caches: number, ms: number): void {
    this.#factor = Math.min(MOST, Math.max(LEAST, ms / expectedMs(entries, caches)));
  }

  predictMs(entries: number, caches: number): number {
    return this.#factor * expectedMs(entries, caches);
  }
}

function expectedMs(entries: number, caches: number): number {
  return FIXED_MS + CACHE_MS * caches + ENTRY_MS * entries;
}

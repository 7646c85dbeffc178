/** What a backup costs whatever is in it. */
const FIXED_MS = 300;
/** Before the first backup has told. Servers that do nothing else write some 150. */
const ENTRIES_PER_MS = 50;
/** Of fewer entries the fixed part hides the rest. */
const TELLING_ENTRIES = 5000;

/** How fast the servers of a cluster write backups, as the last one told: so long their clients are refused. */
export class HoldPace {
  #entriesPerMs = ENTRIES_PER_MS;

  told(entries: number, ms: number): void {
    if (entries < TELLING_ENTRIES) return;
    this.#entriesPerMs = entries / Math.max(1, ms - FIXED_MS);
  }

  predictMs(entries: number): number {
    return FIXED_MS + entries / this.#entriesPerMs;
  }
}

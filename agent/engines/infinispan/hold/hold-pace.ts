import * as z from 'zod';
import type { MemberMemory } from '../../engine.ts';

/** What a backup costs before the first has told: whatever is in it, for each cache, and for each entry. */
const FIXED_MS = 300;
const CACHE_MS = 5;
const ENTRY_MS = 0.02;
/** What an archive takes without entries, and what each of these adds before the first has told. */
const BYTES_OF_NONE = 4096;
const BYTES_OF_ENTRY = 512;

/** One backup may have met a busy machine, or an idle one: no more than this is believed of it. */
const LEAST = 0.1;
const MOST = 20;
/** Of so few entries an archive does not tell how large one is. */
const TELLING_ENTRIES = 100;

const learnedSchema = z.object({
  /** How many times as long as was taken at first. */
  factor: z.number().min(LEAST).max(MOST),
  /** Of an entry in an archive; null before the first archive. */
  entryBytes: z.number().nonnegative().nullable(),
});
type Learned = z.infer<typeof learnedSchema>;

/**
 * How fast the servers of a cluster write backups, and how large, as the last one told: so long their clients are refused.
 * An agent that was started anew knows it again.
 */
export class HoldPace {
  readonly #memory: MemberMemory | undefined;
  #learned: Learned = { factor: 1, entryBytes: null };
  #remembered: Promise<void> | null = null;

  constructor(memory?: MemberMemory) {
    this.#memory = memory;
  }

  /** Resolves when what was learned before is known. Idempotent; never rejects. */
  remember(): Promise<void> {
    this.#remembered ??= this.#recall();
    return this.#remembered;
  }

  async #recall(): Promise<void> {
    const read = learnedSchema.safeParse(await this.#memory?.read());
    if (read.success) this.#learned = read.data;
  }

  /** How long a backup took. */
  took(entries: number, caches: number, ms: number): void {
    const factor = Math.min(MOST, Math.max(LEAST, ms / expectedMs(entries, caches)));
    this.#learned = { ...this.#learned, factor };
  }

  /** How large its archive came to be. Resolves when this and how long it took are kept. */
  async stored(entries: number, bytes: number): Promise<void> {
    if (entries >= TELLING_ENTRIES) this.#learned = { ...this.#learned, entryBytes: bytes / entries };
    await this.#memory?.write(this.#learned);
  }

  predictMs(entries: number, caches: number): number {
    return this.#learned.factor * expectedMs(entries, caches);
  }

  /** `isKnown`: an archive of these servers has told; else it is a guess. */
  predictBytes(entries: number): { readonly bytes: number; readonly isKnown: boolean } {
    const { entryBytes } = this.#learned;
    const bytes = BYTES_OF_NONE + Math.ceil(entries * (entryBytes ?? BYTES_OF_ENTRY));
    return { bytes, isKnown: entryBytes !== null };
  }
}

function expectedMs(entries: number, caches: number): number {
  return FIXED_MS + CACHE_MS * caches + ENTRY_MS * entries;
}

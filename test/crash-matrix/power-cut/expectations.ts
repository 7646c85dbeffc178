import type { Recorded } from './changes.ts';
import type { Moment } from './disk-model.ts';

/** What must be true of the checkpoints after a cut, whatever is on the disk. */
export interface Expectations {
  /** Reported as committed, and their deletion was not begun. */
  readonly valid: ReadonlySet<string>;
  /** Reported as deleted. */
  readonly gone: ReadonlySet<string>;
}

/** Follows a record: what was said to the world, and which deletions were begun. */
export class Told {
  readonly #committed = new Set<string>();
  readonly #retired = new Set<string>();
  readonly #deleted = new Set<string>();

  heard({ type, change }: Moment): void {
    if (type !== 'asked') return;
    const retired = retiredBy(change);
    if (retired !== null) this.#retired.add(retired);
    if (change.call !== 'said') return;
    const { checkpoint, deleted = false } = JSON.parse(change.text) as {
      checkpoint: string;
      deleted?: boolean;
    };
    (deleted ? this.#deleted : this.#committed).add(checkpoint);
  }

  now(): Expectations {
    const valid = [...this.#committed].filter((checkpoint) => !this.#retired.has(checkpoint));
    return { valid: new Set(valid), gone: new Set(this.#deleted) };
  }
}

/** Of which checkpoint this takes the commit object away; null for all that does not. */
function retiredBy(change: Recorded): string | null {
  if (change.call !== 'rename') return null;
  return /\/checkpoints\/([^/]+)\/grid\.json$/.exec(change.from)?.[1] ?? null;
}

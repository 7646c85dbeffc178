import type { Failure } from './errors.ts';

/**
 * What the members of a grid are held for. All four are one protocol; they differ in how long somebody is held, and in
 * what is stored:
 *
 * `checkpoint`: held for an instant, and copied.
 * `journalCheckpoint`: held for an instant; the mark is all that is stored.
 * `quiesce`: held, and everything written is on disk, until the job that asked lets go.
 * `freeze`: held for an instant for the mark, while no database file changes from before that until the job lets go.
 *
 * `timeOutMs` of a quiesce: how long one member may take to come to rest. Of a freeze: so long clients may go on updating
 * while database files do not change; after that they may have to wait, and the freeze does not end by it.
 */
export type Purpose =
  | { readonly type: 'checkpoint' }
  | { readonly type: 'journalCheckpoint' }
  | { readonly type: 'quiesce'; readonly allowReads: boolean; readonly timeOutMs: number }
  | { readonly type: 'freeze'; readonly timeOutMs: number };

/** Of operations that copy nothing themselves: what a manifest says of them. */
export type HoldPurpose = Exclude<Purpose['type'], 'checkpoint'>;

export const HOLD_PURPOSES: readonly HoldPurpose[] = ['journalCheckpoint', 'quiesce', 'freeze'];

/** As operators call them. */
export const PURPOSE_WORDS: Readonly<Record<Purpose['type'], string>> = {
  checkpoint: 'checkpoint',
  journalCheckpoint: 'journal checkpoint',
  quiesce: 'quiesce',
  freeze: 'freeze',
};

/** Of copies that operators made while members were held, where nothing proves that these held to the end. */
export const NOT_TRUSTED = 'what was copied meanwhile is not to be trusted';

export const FOR_CHECKPOINT: Purpose = { type: 'checkpoint' };

/** It lasts until the job that asked for it lets go. */
export function lastsUntilLetGo({ type }: Purpose): boolean {
  return type === 'quiesce' || type === 'freeze';
}

/** How long a member may take before a quiesce, while nobody is held, to write what it has in memory to its disk. */
export const SETTLE_MS = 1_800_000;

/**
 * What an engine says of each operation: null where its member can take part, else why not, and in `hint` what does the
 * same for its operator. `quiesce`: with reads blocked. `quiesceAllowingReads`: with reads that go on.
 */
export interface Abilities {
  readonly journalCheckpoint: Failure | null;
  readonly quiesce: Failure | null;
  readonly quiesceAllowingReads: Failure | null;
  readonly freeze: Failure | null;
}

/** Of a member that can take part in all of them. */
export const ABLE: Abilities = {
  journalCheckpoint: null,
  quiesce: null,
  quiesceAllowingReads: null,
  freeze: null,
};

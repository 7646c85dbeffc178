/**
 * How far a document is. `Initializing`: accepted, and on disk. `Initialized`: its volume and the place of its member are
 * ready. `Running`: its member is in the cluster and works. `Succeeded` and `Failed`: it has, or has not, done its work,
 * and its member is gone. `Unknown`: for now nobody can say.
 */
export const PHASES = ['Initializing', 'Initialized', 'Running', 'Succeeded', 'Failed', 'Unknown'] as const;

export type Phase = (typeof PHASES)[number];

/**
 * What may come after each. A document may fail before its member has begun, and `Unknown` is never the end: whoever could
 * not be asked is asked again.
 */
const AFTER: Readonly<Record<Phase, readonly Phase[]>> = {
  Initializing: ['Initialized', 'Failed', 'Unknown'],
  Initialized: ['Running', 'Failed', 'Unknown'],
  Running: ['Succeeded', 'Failed', 'Unknown'],
  Unknown: ['Initialized', 'Running', 'Succeeded', 'Failed'],
  Succeeded: [],
  Failed: [],
};

export function mayFollow(before: Phase, after: Phase): boolean {
  return AFTER[before].includes(after);
}

/** Nothing comes after it, and its member is gone. */
export function isFinal(phase: Phase): phase is 'Succeeded' | 'Failed' {
  return AFTER[phase].length === 0;
}

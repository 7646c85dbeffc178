import type { HostDescription } from '../shared/domain/grid.ts';

export interface CheckpointNumber {
  readonly epoch: number;
  readonly counter: number;
}

/**
 * The highest epoch and counter that anyone knows: the repository, the agents, the realm. Each may have lost
 * its memory (a new disk, an emptied repository, a restored realm), so one alone is not asked. No clock is.
 */
export function highestKnown(
  repository: CheckpointNumber,
  hosts: readonly HostDescription[],
): CheckpointNumber {
  const known = [
    repository,
    ...hosts.flatMap(({ highestEpoch, highestCounter, members }) => [
      { epoch: highestEpoch, counter: highestCounter },
      ...members.flatMap(({ realm }) =>
        realm === null ? [] : [{ epoch: realm.highestEpoch, counter: realm.highestCounter }],
      ),
    ]),
  ];
  return {
    epoch: Math.max(...known.map(({ epoch }) => epoch)),
    counter: Math.max(...known.map(({ counter }) => counter)),
  };
}

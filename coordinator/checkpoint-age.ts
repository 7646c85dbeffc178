import { parseCheckpointId } from '../shared/domain/checkpoint-id.ts';
import type { Failure } from '../shared/domain/errors.ts';
import type { HostDescription } from '../shared/domain/grid.ts';
import type { GridFile } from './grid-file.ts';
import { entriesOfLineage, lineageToSelect } from './lineage.ts';
import { AHEAD_MS } from './prune-times.ts';
import type { StatusReport } from './reports.ts';
import { lookInRepository } from './with-grid.ts';
import { inWords } from './room-forecast.ts';

/** What a grid whose newest valid checkpoint is older than its owner wants, or that has none, is told by. */
export const TOO_OLD = 'checkpoint-too-old';

interface Age {
  readonly newest: NonNullable<StatusReport['newest']> | null;
  readonly problems: readonly Failure[];
}

/**
 * How old the newest valid checkpoint of the grid's lineage is at `now`, counted from when it was begun. What keeps it
 * from being known is a problem too.
 */
export async function lookAtAge(input: {
  readonly gridFile: Pick<GridFile, 'grid' | 'repository'>;
  readonly hosts: readonly Pick<HostDescription, 'host' | 'lineage'>[];
  readonly maxAgeMs: number;
  readonly now: number;
  readonly signal: AbortSignal;
}): Promise<Age> {
  const { gridFile, hosts, maxAgeMs, now } = input;
  const { seen, failure } = await lookInRepository(input, async (repository): Promise<Age> => {
    const entries = await repository.list(gridFile.grid);
    const lineage = await lineageToSelect({ entries, named: null, ask: () => Promise.resolve(hosts) });
    const newest = entriesOfLineage(entries, lineage).find(({ state }) => state === 'valid');
    const begunAt = newest === undefined ? undefined : parseCheckpointId(newest.checkpoint)?.at.getTime();
    if (newest === undefined || begunAt === undefined)
      return { newest: null, problems: [tooOld(`grid ${gridFile.grid} has no valid checkpoint`)] };
    const { checkpoint } = newest;
    const ageSeconds = Math.round((now - begunAt) / 1000);
    return { newest: { checkpoint, ageSeconds }, problems: problemsOf(checkpoint, ageSeconds, maxAgeMs) };
  });
  return failure === null ? seen : { newest: null, problems: [failure] };
}

function problemsOf(checkpoint: string, ageSeconds: number, maxAgeMs: number): Failure[] {
  if (ageSeconds * 1000 > maxAgeMs)
    return [
      tooOld(
        `${checkpoint}, the newest valid checkpoint, was begun ${inWords(ageSeconds)} ago; ${inWords(maxAgeMs / 1000)} are allowed`,
      ),
    ];
  if (ageSeconds * 1000 >= -AHEAD_MS) return [];
  return [
    {
      code: 'time-leap',
      message: `${checkpoint}, the newest valid checkpoint, is of ${inWords(-ageSeconds)} from now: nobody can say how old it is`,
      hint: 'correct the clock of this host, or of the one that took it, and create a new one',
    },
  ];
}

function tooOld(message: string): Failure {
  return {
    code: TOO_OLD,
    message,
    hint: 'create one (stillpoint checkpoint create NAME), and see why the last run made none',
  };
}

import { aligned } from '../table.ts';
import type { BrokenCut, ReplayResult, WayName } from './replay.ts';

const MEANINGS: Readonly<Record<WayName, string>> = {
  kept: 'everything is on the disk',
  lost: 'nothing that was not synced',
  torn: 'all names, contents in part',
  mixed: 'by chance, of each its part',
};

/** A line for each way in which the power may fail. */
export function powerCutTable(results: readonly ReplayResult[]): string {
  return aligned([
    ['after a power cut', 'cuts', 'different disks', 'result'],
    ...results.map(({ way, cuts, different, broken }) => [
      `${way}: ${MEANINGS[way]}`,
      String(cuts),
      String(different),
      broken.length === 0 ? 'kept' : 'BROKEN',
    ]),
  ]);
}

/** `record`: the file that the record was saved in. */
export function tellBrokenCut({ cut, last, cause }: BrokenCut, record: string): string {
  return (
    `power cut, ${cut.way}, after ${cut.after} moments, when ${last}: ${cause}\n` +
    `again: ./scripts/crash-matrix --fault power-cut --record ${record} --way ${cut.way} --after ${cut.after} --seed ${cut.seed}`
  );
}

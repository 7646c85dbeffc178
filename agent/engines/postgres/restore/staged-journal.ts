import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { JournalFiles } from '../journal/journal-bytes.ts';
import { segmentName } from '../journal/lsn.ts';

/** The journal as it is staged: where a failover lies between copy and mark, its files bear the numbers of both timelines. */
export async function stagedJournal(
  directory: string,
  { timeline, segmentBytes }: Pick<JournalFiles, 'timeline' | 'segmentBytes'>,
): Promise<JournalFiles> {
  const names = (await readdir(directory)).filter((name) => /^[0-9A-F]{24}$/.test(name)).toSorted();
  // Of one number the newest timeline counts, as for the server.
  const bySegment = new Map(names.map((name) => [name.slice(8), name]));
  return {
    directory,
    timeline,
    segmentBytes,
    openSegment: (segment) => {
      const name = segmentName(segment, timeline, segmentBytes);
      return open(join(directory, bySegment.get(name.slice(8)) ?? name), 'r');
    },
  };
}

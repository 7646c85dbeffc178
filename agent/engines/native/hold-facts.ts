import * as z from 'zod';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { MemberManifest } from '../../../shared/domain/manifest.ts';

/** One file of a journal, as it lies there: it may be longer than what is in it. */
const journalFileSchema = z.object({ name: z.string().min(1), sizeBytes: z.number().nonnegative() });
export type JournalFile = z.infer<typeof journalFileSchema>;

/**
 * What a node's manifest says of an operation that copies nothing (`engineFacts`): enough to bring a copy of its
 * operator's own to the mark, and to refuse one that cannot be brought there before a file is written.
 */
const holdFactsSchema = z.object({
  kind: z.literal('node'),
  /** Relative to `live/`. */
  journalDirectory: z.string(),
  /** The first that its database files needed while they did not change; null where they went on changing. */
  firstJournalFile: z.string().min(1).nullable(),
  journalFile: z.string().min(1),
  /** What is in the file that ended at the mark; the file itself may be longer. */
  length: z.number().nonnegative(),
  /** SHA-256 of that, hex; null where the file was gone before it was read. */
  digest: z.string().nullable(),
  /** Every journal file that was there at the mark, in their order, with those that come after it. */
  journalAtMark: z.array(journalFileSchema),
  /** What a process that is started on it comes up with, in its own words; null where it did not say. */
  content: z.object({ count: z.number(), digest: z.string() }).nullable(),
});
export type HoldFacts = z.infer<typeof holdFactsSchema>;

/** Throws where the manifest is of something else. */
export function holdFactsOf({ engineFacts, checkpoint, member }: MemberManifest): HoldFacts {
  const read = holdFactsSchema.safeParse(engineFacts);
  if (read.success) return read.data;
  throw new StillpointError(
    {
      code: 'image-unfit',
      message: `${checkpoint} says nothing of the journal of ${member.name} by which an image could be brought to it`,
      hint: 'restore to a journal checkpoint, quiesce or freeze in which this very member took part',
    },
    3,
    { cause: read.error },
  );
}

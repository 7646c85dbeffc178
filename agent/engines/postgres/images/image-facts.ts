import * as z from 'zod';
import type { ImageManifest } from '../../../../shared/domain/backup-set.ts';
import { formatLsn, parseLsn, type Lsn } from '../journal/lsn.ts';

const position = z
  .string()
  .regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/)
  .transform((text): Lsn => parseLsn(text));

const imageFactsSchema = z.object({
  /**
   * `backup`: with a backup_label. `snapshot`: of one instant, of a server that ran. `stopped`: of a server that was shut
   * down. `standby`: of one in recovery, that ran or was shut down, without a label.
   */
  kind: z.enum(['backup', 'snapshot', 'stopped', 'standby']),
  /** As in PG_VERSION. */
  majorVersion: z.number().int(),
  timeline: z.number().int(),
  walSegmentSizeBytes: z.number().int(),
  /** From where on its journal is needed. */
  start: position,
  /** From where on it is consistent; null: its journal must say it. */
  consistentAt: position.nullable(),
  /** The end of the journal in it; null where it has not all that it begins with. */
  end: position.nullable(),
  /** Where the last record of that begins; null where nothing is to be recovered. */
  lastRecord: position.nullable(),
  /** Numbers of its tablespaces. */
  tablespaces: z.array(z.string().regex(/^\d{1,10}$/)).readonly(),
});

/** What a PostgreSQL image says of itself: `engineFacts` of its manifest. */
export type ImageFacts = Readonly<z.infer<typeof imageFactsSchema>>;

export function parseImageFacts({ engineFacts }: ImageManifest): ImageFacts {
  return imageFactsSchema.parse(engineFacts);
}

/** As JSON. */
export function formatImageFacts(facts: ImageFacts): unknown {
  const { start, consistentAt, end, lastRecord } = facts;
  const text = (at: Lsn | null): string | null => (at === null ? null : formatLsn(at));
  return {
    ...facts,
    start: formatLsn(start),
    consistentAt: text(consistentAt),
    end: text(end),
    lastRecord: text(lastRecord),
  };
}

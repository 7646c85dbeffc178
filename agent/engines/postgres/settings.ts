import * as z from 'zod';
import { byteRateSchema, byteSizeSchema } from '../../byte-size.ts';
import { hostPort } from '../../address.ts';
import { readConnectionUrl } from './server/connection-url.ts';
import { imagePlaces, journalsWithImages } from '../image-places.ts';
import { memberShape, oneSupervisor, supervisionShape } from '../member-schema.ts';

const GIGABYTE = 1024 ** 3;

/** What a checkpoint may cost the server while it is prepared. */
const copySchema = z.strictObject({
  /** Of the base copy; PostgreSQL takes 32 kB/s to 1 GB/s. */
  maxRate: byteRateSchema
    .refine((rate) => rate >= 32 * 1024 && rate <= GIGABYTE, 'must be between 32kB/s and 1GB/s')
    .optional(),
  /** A base copy begins with a checkpoint of the server's: at once, or spread over time as its own are. */
  checkpoint: z.enum(['fast', 'spread']).default('fast'),
  /** The journal that the server keeps at most for an agent that is behind. */
  mostJournal: byteSizeSchema.default(16 * GIGABYTE),
  /** What is done about pages with a wrong checksum: no checkpoint, or one that says which they are. */
  damagedPages: z.enum(['refuse', 'mark']).default('refuse'),
});

/** The keys of a `postgres` member in the agent's file. Documented in docs/engines/postgres.md. */
export const postgresMemberSchema = z
  .strictObject({
    ...memberShape,
    engine: z.literal('postgres'),
    /** The data directory, absolute. */
    data: z.string().startsWith('/', 'must be an absolute path'),
    /** Directories with configuration outside the data directory; they travel with the checkpoint. */
    also: z.array(z.string().startsWith('/', 'must be an absolute path')).default([]),
    /** Application names of standbys that stream from this server, serve no reads, and pass its journal on to nobody who does. */
    withoutReads: z.array(z.string().min(1)).default([]),
    /** How the agent connects; never with a password in it: `passwordFile`, or PGPASSFILE's format. */
    connection: z.string().transform((text, context) => {
      const url = readConnectionUrl(text);
      if (url !== null) return url;
      context.addIssue(
        'must be a postgresql:// URL (what is odd in a name is written as %2F and the like; a Unix socket by its directory: ?host=/run/postgresql&port=5432)',
      );
      return z.NEVER;
    }),
    passwordFile: z.string().startsWith('/').optional(),
    /** The folder with pg_ctl, for members without `run` and `unit`. */
    binaries: z.string().startsWith('/').optional(),
    ...supervisionShape,
    copy: copySchema.prefault({}),
    /**
     * How commits are made to wait: by a setting that is set for the freeze, or by a standby that the owner's own list
     * names always. See docs/engines/postgres.md.
     */
    fence: z.enum(['set', 'standing']).default('set'),
    /** What is done about settings that their owner has written and not reloaded: a freeze reloads them. */
    pendingSettings: z.enum(['refuse', 'activate']).default('refuse'),
    /** Where restored tablespaces go: location in the checkpoint → directory here. */
    tablespaces: z.record(z.string(), z.string().startsWith('/')).default({}),
    /** Where the journal of a restored server lies: pg_wal is a link to a new directory below this one. */
    wal: z.string().startsWith('/', 'must be an absolute path').optional(),
    ...imagePlaces,
  })
  .refine(...oneSupervisor)
  .refine(...journalsWithImages);

export type PostgresSettings = z.infer<typeof postgresMemberSchema>;

export function addressOf(settings: PostgresSettings): { host: string; port: number } {
  return hostPort(settings.address);
}

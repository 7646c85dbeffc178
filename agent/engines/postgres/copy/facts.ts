import * as z from 'zod';
import { EXIT, StillpointError } from '../../../../shared/domain/errors.ts';
import type { MemberManifest } from '../../../../shared/domain/manifest.ts';

/** An LSN. */
const position = z.string().regex(/^[0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8}$/);
const count = z.number().int().nonnegative();

const factsSchema = z.object({
  kind: z.enum(['primary', 'observer']),
  /** `server_version_num`, e.g. 180004. */
  serverVersion: count,
  systemIdentifier: z.string(),
  timeline: count,
  walSegmentSizeBytes: count,
  /** Where the base copy's WAL starts; null for an observer, and where nothing was copied. */
  startPosition: position.nullable(),
  /** The end of the restore point's record, or of an image's own journal; null for an observer. */
  markPosition: position.nullable(),
  /** Null for an observer, and where an image is recovered to the end of its own journal. */
  restorePoint: z.string().nullable(),
  /**
   * Of an operator's image that is recovered to the end of its own journal, which is its `markPosition`: where the last
   * record of that begins; null where its server was shut down. Such an image has no restore point.
   */
  lastRecord: position.optional(),
  /** The timeline that the copy was made on, where the mark is on a later one. */
  copyTimeline: count.optional(),
  /** The user's own `synchronous_standby_names`, as it was before it was armed. */
  synchronousStandbyNames: z.string(),
  /** Whether that value stood in postgresql.auto.conf (else in another file or nowhere). */
  synchronousStandbyNamesInAutoConf: z.boolean(),
  port: count.max(65_535),
  listenAddresses: z.string(),
  archiving: z.boolean(),
  subscriptions: z
    .array(z.object({ database: z.string(), name: z.string(), enabled: z.boolean() }).readonly())
    .readonly(),
  /** The oid becomes part of a path, and a rollback removes what lies there. */
  tablespaces: z
    .array(z.object({ oid: z.string().regex(/^\d{1,10}$/), location: z.string() }).readonly())
    .readonly(),
  /** Configuration files outside the data directory, as the server names them. */
  outsideFiles: z.array(z.string()).readonly(),
  also: z.array(z.string()).readonly(),
  /** Prepared transactions that stood at the mark. */
  preparedAtMark: z
    .array(z.object({ gid: z.string(), database: z.string(), owner: z.string() }).readonly())
    .readonly(),
  /** Prepared transactions that ended between the start of the base copy and the mark. */
  preparedEnded: z
    .array(z.object({ gid: z.string(), outcome: z.enum(['committed', 'rolledBack']) }).readonly())
    .readonly(),
  /** Gids that more than one transaction had in that time: how one ended says nothing of another. */
  preparedReused: z.array(z.string()).readonly().default([]),
  /** `config_file`; null in checkpoints that do not say. */
  configFile: z.string().nullable().default(null),
  /** Files outside of the data directory that the configuration names, besides it: includes, access rules, keys. */
  needs: z.array(z.string()).readonly().default([]),
  /** `shared_preload_libraries`. */
  preload: z.array(z.string()).readonly().default([]),
  /** Links of the data directory, and whether what they led to is in the checkpoint in their place. */
  leftOut: z
    .array(z.object({ path: z.string(), target: z.string(), stored: z.boolean() }).readonly())
    .readonly()
    .default([]),
  /** Where pg_wal leads; null where it is a directory, or the agent could not see it. */
  walLink: z.string().nullable().default(null),
  /** Pages whose checksum was wrong when they were copied, in words. */
  damagedPages: z.array(z.string()).readonly().default([]),
  /** Collations with a version that indexes are ordered by; a name that is null is the database's own. */
  collations: z
    .array(
      z
        .object({
          database: z.string(),
          name: z.string().nullable(),
          /** `c`, `i` or `b`, as `pg_collation.collprovider`. */
          provider: z.string(),
          locale: z.string(),
          version: z.string(),
          /** The first of them. */
          indexes: z.array(z.string()).readonly(),
          count,
        })
        .readonly(),
    )
    .readonly()
    .default([]),
  /** Locales of the C library that databases and settings need. */
  locales: z.array(z.string()).readonly().default([]),
  /** Settings that were in force, and that the files say otherwise, not any more, or never did. */
  inForce: z
    .array(
      z
        .object({
          name: z.string(),
          inForce: z.string(),
          inFiles: z.string().nullable(),
          onCommandLine: z.boolean(),
        })
        .readonly(),
    )
    .readonly()
    .default([]),
  /** What in the data leads to another server, as far as the agent's role saw it. Never a login. */
  outbound: z
    .array(
      z
        .object({
          database: z.string(),
          kind: z.string(),
          name: z.string(),
          address: z.string(),
          /** What to do about it, in words or as a statement. */
          change: z.string(),
          /** Where it leads; an empty host is the host of the server itself. None in checkpoints that do not say. */
          places: z
            .array(z.object({ host: z.string(), port: count.nullable() }).readonly())
            .readonly()
            .default([]),
          /** Whether a restore can change it. */
          editable: z.boolean().default(false),
        })
        .readonly(),
    )
    .readonly()
    .default([]),
});

/**
 * What a PostgreSQL capture knows and its restore needs: `engineFacts` of the member manifest.
 *
 * Artifacts of a primary: `base/…` the data directory, `tablespaces/<oid>/…`, `journal/<file>` every WAL
 * segment from the start of the base copy to the mark (whole segments; zeros from the mark on) and timeline
 * history files, `also/<n>/…` the n-th directory of `also`. Of an observer (standby): `config/<file>` its
 * own postgresql.conf, postgresql.auto.conf, pg_hba.conf, pg_ident.conf and what they include, where they lie in
 * the data directory, and `also/<n>/…`.
 */
export type PostgresFacts = Readonly<z.infer<typeof factsSchema>>;

/** What a capture wrote, read back. Throws `manifest-damaged`. */
export function parseFacts({ checkpoint, member, engineFacts }: MemberManifest): PostgresFacts {
  const parsed = factsSchema.safeParse(engineFacts);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new StillpointError(
    {
      code: 'manifest-damaged',
      message: `the facts of ${member.name} in ${checkpoint} are damaged: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`,
      hint: 'use another checkpoint (stillpoint checkpoint list), and look at the disk of the repository',
      member: member.name,
    },
    EXIT.invalid,
  );
}

import { z } from 'zod';
import { EXIT, StillpointError } from '../../../shared/domain/errors.ts';
import type { MemberManifest } from '../../../shared/domain/manifest.ts';
import type { PostgresFacts } from './facts.ts';

const position = z.string().regex(/^[0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8}$/);
const count = z.number().int().nonnegative();

const factsSchema = z.object({
  kind: z.enum(['primary', 'observer']),
  serverVersion: count,
  systemIdentifier: z.string(),
  timeline: count,
  walSegmentSizeBytes: count,
  startPosition: position.nullable(),
  markPosition: position.nullable(),
  restorePoint: z.string().nullable(),
  synchronousStandbyNames: z.string(),
  synchronousStandbyNamesInAutoConf: z.boolean(),
  port: count.max(65_535),
  listenAddresses: z.string(),
  archiving: z.boolean(),
  subscriptions: z.array(z.object({ database: z.string(), name: z.string(), enabled: z.boolean() })),
  /** The oid becomes part of a path, and a rollback removes what lies there. */
  tablespaces: z.array(z.object({ oid: z.string().regex(/^\d{1,10}$/), location: z.string() })),
  outsideFiles: z.array(z.string()),
  also: z.array(z.string()),
  preparedAtMark: z.array(z.object({ gid: z.string(), database: z.string(), owner: z.string() })),
  preparedEnded: z.array(z.object({ gid: z.string(), outcome: z.enum(['committed', 'rolledBack']) })),
  /** Absent in checkpoints of an earlier version. */
  preparedReused: z.array(z.string()).default([]),
});

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

import * as z from 'zod';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { MemberManifest } from '../../../../shared/domain/manifest.ts';
import type { ArchiveContent } from './archive.ts';

/** The artifact of the member that led its cluster: the archive that its server wrote. */
export const ARCHIVE = 'archive.zip';

const file = z.object({ name: z.string(), sha256: z.string() });

const content = z.object({
  version: z.string(),
  container: z.string(),
  caches: z.array(
    z.object({
      name: z.string(),
      entries: z.number(),
      sha256: z.string(),
      contentSha256: z.string(),
      sizeBytes: z.number(),
      configurationSha256: z.string(),
    }),
  ),
  counters: z.array(z.object({ name: z.string(), value: z.string(), configurationSha256: z.string() })),
  templates: z.array(file),
  protoSchemas: z.array(file),
  tasks: z.array(file),
});

const factsSchema = z.object({ content });

/** What a member manifest keeps of it: a restore holds against it what it finds. */
export interface ArchiveFacts {
  readonly content: ArchiveContent;
}

export function factsOf(manifest: MemberManifest): ArchiveFacts {
  const read = factsSchema.safeParse(manifest.engineFacts);
  if (read.success) return read.data;
  throw new StillpointError({
    code: 'infinispan-facts',
    message: `the checkpoint does not say what the archive of ${manifest.member.name} holds: ${read.error.issues[0]?.path.join('.') ?? ''}`,
    hint: 'restore another checkpoint, or with the release of stillpoint that made this one',
  });
}

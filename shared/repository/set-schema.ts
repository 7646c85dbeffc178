import * as z from 'zod';
import type { EndedBackup, ImageManifest, ImageSummary, Stamp } from '../domain/backup-set.ts';
import { IMAGE_NAME } from '../domain/name.ts';
import { HOLD_PURPOSES } from '../domain/purpose.ts';
import { isName } from './layout.ts';
import { artifactPath, isTree } from './manifest-schema.ts';

// The records of backup sets, as they are read back: not trusted to be what was written.

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.number().int().nonnegative();
const name = z.string().refine(isName, 'is no name');
const imageName = z.string().regex(IMAGE_NAME, 'is no name');
const number = { epoch: count, counter: count };

export const stampSchema: z.ZodType<Stamp> = z.object({
  ...number,
  heldBy: z
    .object({ operation: z.string(), purpose: z.enum(HOLD_PURPOSES), checkpoint: z.string() })
    .nullable(),
  incarnation: z.string(),
  stoppedAs: z.string().nullable(),
});

export const endedSchema: z.ZodType<EndedBackup> = z.object({
  type: z.enum(['ended', 'added']),
  image: imageName,
  stamp: stampSchema,
  begunBefore: z.array(name),
});

const journal = { firstJournalFile: z.string().nullable(), journalFiles: z.array(z.string()) };

export const summarySchema: z.ZodType<ImageSummary> = z.object({
  digest,
  engine: z.string(),
  dataIdentity: z.string(),
  files: count,
  sizeBytes: count,
  ...journal,
});

const entry = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('file'),
    path: artifactPath,
    mode: count,
    mtimeMs: z.number(),
    sizeBytes: count,
    digest,
  }),
  z.object({ kind: z.literal('directory'), path: artifactPath, mode: count }),
  z.object({ kind: z.literal('symlink'), path: artifactPath, target: z.string().min(1) }),
]);

export const imageSchema: z.ZodType<ImageManifest> = z.object({
  member: name,
  image: imageName,
  engine: z.string(),
  dataIdentity: z.string(),
  entries: z.array(entry).superRefine(isTree),
  ...journal,
  engineFacts: z.unknown(),
});

import { z } from 'zod';
import { StillpointError } from '../domain/errors.ts';
import type { GridManifest, MemberManifest } from '../domain/manifest.ts';
import { checkArtifactPath } from './layout.ts';

/** What is read back from a repository is not trusted to be what was written: each manifest is parsed. */
const digest = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.number().int().nonnegative();
const duration = z.number().nonnegative();
const token = z.object({ epoch: count, counter: count, attempt: count });
const mark = z.object({ journalFile: z.string(), position: z.string(), name: z.string() }).nullable();
const role = z.enum(['realm-service', 'state-keeper', 'node', 'proxy']);
const engine = z.enum([
  'native',
  'postgres',
  'redis',
  'etcd',
  'infinispan',
  'iris',
  'activespaces',
  'process',
]);
const path = z.string().refine((text) => {
  try {
    checkArtifactPath(text);
    return true;
  } catch {
    return false;
  }
}, 'leads out of its member');

const chunk = z.object({
  key: z.string().regex(/^[0-9a-f]{64}(-\d{1,3})?$/),
  digest,
  sizeBytes: count.max(64 * 1024 * 1024),
  storedDigest: digest,
  storedBytes: count,
  codec: z.enum(['zstd', 'none']),
});

const artifact = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('file'),
    path,
    mode: count,
    mtimeMs: z.number(),
    sizeBytes: count,
    digest,
    chunks: z.array(chunk),
  }),
  z.object({ kind: z.literal('directory'), path, mode: count }),
  z.object({ kind: z.literal('symlink'), path, target: z.string().min(1) }),
]);

const memberManifest = z.object({
  format: z.literal(1),
  grid: z.string(),
  checkpoint: z.string(),
  token,
  member: z.object({
    name: z.string(),
    host: z.string(),
    role,
    copyset: z.string().nullable(),
    engine,
    address: z.string(),
    version: z.string(),
    dataIdentity: z.string(),
    primary: z.boolean(),
    freezeKind: z.enum(['fenced', 'observer', 'instant']),
  }),
  mark,
  engineFacts: z.unknown(),
  artifacts: z.array(artifact),
});

const gridManifest = z.object({
  format: z.literal(1),
  grid: z.string(),
  checkpoint: z.string(),
  epoch: count,
  counter: count,
  createdAt: z.string(),
  token,
  windowMs: duration,
  durationMs: duration,
  sizeBytes: count,
  storedBytes: count,
  journalMap: z.record(z.string(), z.string()),
  copysets: z.array(z.string()),
  members: z.array(
    z.object({
      name: z.string(),
      host: z.string(),
      role,
      copyset: z.string().nullable(),
      engine,
      address: z.string(),
      primary: z.boolean(),
      manifestDigest: digest,
      mark,
      incarnation: z.string(),
      fenceMs: duration,
      markMs: duration,
      thawMs: duration,
      sizeBytes: count,
      storedBytes: count,
    }),
  ),
  absent: z.array(z.string()),
  warnings: z.array(z.string()),
});

/** Grid manifests carry a digest of themselves, so that a flipped bit in the commit object is seen. */
const sealed = z.object({ digest, manifest: z.unknown() });

export function parseMemberManifest(text: string, file: string): MemberManifest {
  return parse(memberManifest, parseJson(text, file), file) as MemberManifest;
}

export function parseGridManifest(
  text: string,
  file: string,
  digestOf: (text: string) => string,
): GridManifest {
  const outer = parse(sealed, parseJson(text, file), file);
  if (digestOf(JSON.stringify(outer.manifest)) !== outer.digest)
    throw damaged(file, 'it does not have its own digest');
  return parse(gridManifest, outer.manifest, file) as GridManifest;
}

export function sealGridManifest(manifest: GridManifest, digestOf: (text: string) => string): string {
  return `${JSON.stringify({ digest: digestOf(JSON.stringify(manifest)), manifest })}\n`;
}

export function damaged(file: string, cause: string): StillpointError {
  return new StillpointError(
    {
      code: 'manifest-damaged',
      message: `${file} is damaged: ${cause}`,
      hint: 'use another checkpoint (stillpoint checkpoint list), and look at the disk of the repository',
    },
    6,
  );
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw damaged(file, 'it is not JSON');
  }
}

function parse<T>(schema: z.ZodType<T>, value: unknown, file: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw damaged(file, `${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim());
}

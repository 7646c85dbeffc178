import * as z from 'zod';
import { EXIT, StillpointError } from '../domain/errors.ts';
import type { GridManifest, MemberManifest } from '../domain/manifest.ts';
import { NAME } from '../domain/name.ts';
import { HOLD_PURPOSES } from '../domain/purpose.ts';
import { checkArtifactPath, isChunkKey, isName } from './layout.ts';
import { seal, unseal } from './seal.ts';

/**
 * The most that is read, and written, as one manifest: text of this length is still one string of Node's. It is enough
 * for some six terabytes of one member.
 */
export const MOST_MANIFEST_BYTES = 480 * 1024 * 1024;

/** What is read back from a repository is not trusted to be what was written: each manifest is parsed. */
const digest = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.number().int().nonnegative();
const duration = z.number().nonnegative();
/** Becomes part of a path. */
const name = z.string().refine(isName, 'is no name');
const token = z.object({ epoch: count, counter: count, attempt: count });
const mark = z
  .object({ journalFile: z.string().nullable(), position: z.string(), name: z.string() })
  .nullable();
const role = z.enum(['realm-service', 'state-keeper', 'node', 'proxy']);
const engine = z.string().regex(NAME, 'is no name');
export const artifactPath = z.string().refine((text) => {
  try {
    checkArtifactPath(text);
    return true;
  } catch {
    return false;
  }
}, 'leads out of its member');

const traits = z.object({
  domain: z.string(),
  copies: z.enum(['each', 'one', 'nobody']),
  standbys: z.enum(['follow', 'peer', 'none']),
  maintenance: z.boolean(),
  inRealm: z.boolean(),
  renamable: z.boolean(),
  maxMembers: count.nullable(),
  compatibility: z.string(),
  marksJournalFile: z.boolean(),
  // Not in checkpoints of before there was such an engine.
  restoresRunning: z.boolean().default(false),
  archive: artifactPath.nullable().default(null),
});
/** A member, as both kinds of manifests have it. */
const who = {
  name,
  host: z.string(),
  role,
  copyset: z.string().nullable(),
  engine,
  address: z.string(),
  traits,
  assignment: z.object({
    hold: z.enum(['member', 'lead', 'none']),
    part: z.enum(['whole', 'journal', 'none']),
  }),
};
const chunk = z
  .object({
    key: z.string(),
    digest,
    sizeBytes: count.max(64 * 1024 * 1024),
    storedDigest: digest,
    storedBytes: count,
    codec: z.enum(['zstd', 'none']),
  })
  .refine(({ key, digest: content }) => isChunkKey(key) && key.startsWith(content), 'is not named by digest')
  // Compressed only where that makes it smaller: so a manifest bounds what is read of a chunk.
  .refine(({ sizeBytes, storedBytes }) => storedBytes <= sizeBytes, 'is stored larger than it is');

const artifact = z.discriminatedUnion('kind', [
  z
    .object({
      kind: z.literal('file'),
      path: artifactPath,
      mode: count,
      mtimeMs: z.number(),
      sizeBytes: count,
      digest,
      chunks: z.array(chunk),
    })
    .refine(
      ({ sizeBytes, chunks }) => sizeBytes === chunks.reduce((sum, one) => sum + one.sizeBytes, 0),
      'is not as long as its chunks',
    ),
  z.object({ kind: z.literal('directory'), path: artifactPath, mode: count }),
  z.object({ kind: z.literal('symlink'), path: artifactPath, target: z.string().min(1) }),
]);

/**
 * A tree: every path once, and nothing below a file or a symbolic link. A restore that wrote below a link
 * would write wherever the link points. For `superRefine`.
 */
export function isTree(
  all: readonly { readonly path: string; readonly kind: string }[],
  context: { addIssue(issue: string): void },
): void {
  const kinds = new Map(all.map((one) => [one.path, one.kind]));
  if (kinds.size !== all.length) context.addIssue('names a path twice');
  for (const { path: whole } of all) {
    for (let end = whole.lastIndexOf('/'); end > 0; end = whole.lastIndexOf('/', end - 1)) {
      const above = kinds.get(whole.slice(0, end));
      if (above !== undefined && above !== 'directory') {
        context.addIssue(`has ${JSON.stringify(whole)} below a ${above}`);
      }
    }
  }
}

export const memberManifestSchema = z.object({
  format: z.literal(1),
  grid: z.string(),
  checkpoint: z.string(),
  token,
  member: z.object({
    ...who,
    version: z.string(),
    dataIdentity: z.string(),
    primary: z.boolean(),
    freezeKind: z.enum(['fenced', 'observer', 'instant']),
  }),
  mark,
  engineFacts: z.unknown(),
  warnings: z
    .array(
      z.object({
        code: z.string(),
        about: z.string().nullable(),
        text: z.string(),
        hint: z.string(),
        doubtful: z.boolean().optional(),
      }),
    )
    .optional(),
  artifacts: z.array(artifact).superRefine(isTree),
});

const gridManifestSchema = z.object({
  format: z.literal(1),
  grid: z.string(),
  checkpoint: z.string(),
  purpose: z.enum(HOLD_PURPOSES).optional(),
  imported: z.object({ file: z.string(), sha256: digest, writtenAt: z.string().nullable() }).optional(),
  lineage: z.uuid(),
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
  members: z
    .array(
      z.object({
        ...who,
        primary: z.boolean(),
        manifestDigest: digest,
        mark,
        incarnation: z.string(),
        stoppedAs: z.string().optional(),
        fenceMs: duration,
        markMs: duration,
        thawMs: duration,
        sizeBytes: count,
        storedBytes: count,
      }),
    )
    .refine((all) => new Set(all.map((one) => one.name)).size === all.length, 'names a member twice'),
  absent: z.array(z.string()),
  warnings: z.array(z.string()),
});

export function parseMemberManifest(text: string, file: string): MemberManifest {
  return parse(memberManifestSchema, parseJson(text, file), file) as MemberManifest;
}

/** The commit object has nothing above it that names its digest. */
export function sealGridManifest(manifest: GridManifest): string {
  return seal('manifest', JSON.stringify(manifest));
}

export function parseGridManifest(text: string, file: string): GridManifest {
  const manifest = unseal('manifest', text);
  if (manifest === null) throw damaged(file, 'it does not have its own digest');
  return parse(gridManifestSchema, parseJson(manifest, file), file) as GridManifest;
}

/** Nothing is written that could not be read back. */
export function checkWritable(schema: z.ZodType, text: string, file: string): void {
  if (Buffer.byteLength(text) > MOST_MANIFEST_BYTES) throw notWritable(file, 'it is too long');
  const parsed = schema.safeParse(JSON.parse(text));
  if (!parsed.success) throw notWritable(file, issueOf(parsed.error));
}

function notWritable(file: string, cause: string): StillpointError {
  return new StillpointError(
    {
      code: 'bad-manifest',
      message: `${file} is not written: ${cause}`,
      hint: 'this is a fault of stillpoint: report it with this line and the log of the agent',
    },
    EXIT.aborted,
  );
}

export function checkGridManifest(manifest: GridManifest, file: string): void {
  checkWritable(gridManifestSchema, JSON.stringify(manifest), file);
}

export function damaged(file: string, cause: string): StillpointError {
  return new StillpointError(
    {
      code: 'manifest-damaged',
      message: `${file} is damaged: ${cause}`,
      hint: 'use another checkpoint (stillpoint checkpoint list), and look at the disk of the repository',
    },
    EXIT.invalid,
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
  throw damaged(file, issueOf(parsed.error));
}

function issueOf(error: z.ZodError): string {
  const issue = error.issues[0];
  return `${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim();
}

import { createHash } from 'node:crypto';
import { StillpointError } from '../domain/errors.ts';
import type { Artifact, ChunkReference, GridManifest, MemberManifest } from '../domain/manifest.ts';
import { checkpointMissing, isStillCommitted, readCheckpoint, readMember } from './catalogue.ts';
import type { ChunkStore } from './chunk-store.ts';
import { forEachConcurrently, readAhead } from './concurrency.ts';
import { EMPTY_DIGEST } from './digest.ts';
import type { Layout } from './layout.ts';
import type { Damage } from './repository.ts';

type FileArtifact = Extract<Artifact, { kind: 'file' }>;

const FILES_AT_ONCE = 4;
const READ_AHEAD_CHUNKS = 4;

interface VerifyInput {
  readonly grid: string;
  readonly checkpoint: string;
  readonly progress: (bytesDone: number, bytesTotal: number) => void;
  /** `sizes`: chunks are looked at and not read. */
  readonly depth: 'bytes' | 'sizes';
}

/**
 * Re-reads every byte that a restore would need, and names all damage, file by file. A damaged manifest is
 * damage; a checkpoint that was never committed, or that is deleted meanwhile, rejects `checkpoint-missing`.
 */
export async function verifyCheckpoint(
  layout: Layout,
  chunks: ChunkStore,
  { grid, checkpoint, progress, depth }: VerifyInput,
): Promise<Damage[]> {
  let manifest: GridManifest;
  try {
    manifest = await readCheckpoint(layout, grid, checkpoint);
  } catch (error) {
    if (!isManifestDamage(error)) throw error;
    return [{ member: null, file: 'grid.json', cause: error.message }];
  }
  const damage: Damage[] = [];
  let bytesDone = 0;
  for (const { name, manifestDigest, sizeBytes } of manifest.members) {
    const before = bytesDone;
    let member: MemberManifest;
    try {
      member = await readMember(layout, grid, checkpoint, name, manifestDigest);
    } catch (error) {
      if (!isManifestDamage(error)) throw error;
      damage.push({ member: name, file: `members/${name}.json`, cause: error.message });
      bytesDone += sizeBytes;
      continue;
    }
    const files = member.artifacts.filter((artifact) => artifact.kind === 'file');
    const found = new Map<string, string>();
    await forEachConcurrently(files, FILES_AT_ONCE, async (file) => {
      const cause =
        depth === 'sizes'
          ? await sizeDamageOf(chunks, grid, file)
          : await damageOf(chunks, grid, file, (bytes) => {
              bytesDone += bytes;
              progress(bytesDone, manifest.sizeBytes);
            });
      if (cause !== null) found.set(file.path, cause);
    });
    for (const { path } of files) {
      const cause = found.get(path);
      if (cause !== undefined) damage.push({ member: name, file: path, cause });
    }
    // Also when reading stopped at damage: progress ends where it said it would.
    bytesDone = before + sizeBytes;
    progress(bytesDone, manifest.sizeBytes);
  }
  if (damage.length > 0 && !(await isStillCommitted(layout, grid, checkpoint)))
    throw checkpointMissing(grid, checkpoint);
  return damage;
}

/**
 * The bytes of a file, chunk by chunk, each verified before it is given out. Throws what `fail` makes of the
 * first damage; that the chunks make the whole file is known only at the end.
 */
export async function* verifiedBytes(
  chunks: ChunkStore,
  grid: string,
  file: FileArtifact,
  fail: (cause: string) => Error,
): AsyncGenerator<Uint8Array, void, void> {
  const { chunks: references } = file;
  const whole = references.length > 1 ? createHash('sha256') : null;
  const read = (index: number): Promise<Uint8Array | string> =>
    chunks.read(grid, references[index] as ChunkReference);
  let sizeBytes = 0;
  for await (const bytes of readAhead(references.length, READ_AHEAD_CHUNKS, read)) {
    if (typeof bytes === 'string') throw fail(bytes);
    whole?.update(bytes);
    sizeBytes += bytes.byteLength;
    yield bytes;
  }
  const digest = whole?.digest('hex') ?? references[0]?.digest ?? EMPTY_DIGEST;
  if (digest !== file.digest || sizeBytes !== file.sizeBytes) {
    throw fail('its chunks do not make the file with its digest');
  }
}

async function damageOf(
  chunks: ChunkStore,
  grid: string,
  file: FileArtifact,
  readBytes: (bytes: number) => void,
): Promise<string | null> {
  try {
    for await (const bytes of verifiedBytes(chunks, grid, file, (cause) => new DamageFound(cause))) {
      readBytes(bytes.byteLength);
    }
    return null;
  } catch (error) {
    if (error instanceof DamageFound) return error.message;
    throw error;
  }
}

/** The first chunk that is not there with its size. */
async function sizeDamageOf(chunks: ChunkStore, grid: string, file: FileArtifact): Promise<string | null> {
  for (const chunk of file.chunks) {
    if (!(await chunks.isStored(grid, chunk))) return `chunk ${chunk.key} is missing or has another size`;
  }
  return null;
}

class DamageFound extends Error {}

function isManifestDamage(error: unknown): error is StillpointError {
  return error instanceof StillpointError && error.failure.code === 'manifest-damaged';
}

import { createHash } from 'node:crypto';
import type { Artifact, GridManifest, MemberManifest } from '../domain/manifest.ts';
import { readCheckpoint, readMember } from './catalogue.ts';
import type { ChunkStore } from './chunk-store.ts';
import type { Layout } from './layout.ts';
import type { Damage } from './repository.ts';

/** Re-reads every byte that a restore would need, and names all damage, file by file. */
export async function verifyCheckpoint(
  layout: Layout,
  chunks: ChunkStore,
  grid: string,
  checkpoint: string,
  progress: (bytesDone: number, bytesTotal: number) => void,
): Promise<Damage[]> {
  let manifest: GridManifest;
  try {
    manifest = await readCheckpoint(layout, grid, checkpoint);
  } catch (error) {
    return [{ member: null, file: 'grid.json', cause: messageOf(error) }];
  }
  const damage: Damage[] = [];
  let done = 0;
  for (const member of manifest.members) {
    let stored: MemberManifest;
    try {
      stored = await readMember(layout, grid, checkpoint, member.name, member.manifestDigest);
    } catch (error) {
      damage.push({ member: member.name, file: `members/${member.name}.json`, cause: messageOf(error) });
      continue;
    }
    for (const artifact of stored.artifacts) {
      if (artifact.kind !== 'file') continue;
      const cause = await damageOf(chunks, grid, artifact);
      if (cause !== null) damage.push({ member: member.name, file: artifact.path, cause });
      done += artifact.sizeBytes;
      progress(done, manifest.sizeBytes);
    }
  }
  return damage;
}

async function damageOf(
  chunks: ChunkStore,
  grid: string,
  file: Extract<Artifact, { kind: 'file' }>,
): Promise<string | null> {
  const whole = createHash('sha256');
  let sizeBytes = 0;
  // The next chunk is read while this one is hashed.
  const reads = file.chunks.map((reference) => () => chunks.read(grid, reference));
  let next = reads[0]?.();
  for (let index = 0; index < reads.length; index += 1) {
    const current = next;
    next = reads[index + 1]?.();
    next?.catch(() => undefined);
    const bytes = await current;
    if (bytes === undefined || typeof bytes === 'string') {
      await next;
      return bytes ?? 'it has no bytes';
    }
    whole.update(bytes);
    sizeBytes += bytes.byteLength;
  }
  if (sizeBytes !== file.sizeBytes) return `its chunks make ${sizeBytes} bytes, not ${file.sizeBytes}`;
  return whole.digest('hex') === file.digest ? null : 'its chunks do not make the file with its digest';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

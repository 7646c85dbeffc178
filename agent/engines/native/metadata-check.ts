import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { GridManifest } from '../../../shared/domain/manifest.ts';
import { sha256 } from '../../../shared/repository/digest.ts';
import { parseGridManifest, parseMemberManifest } from '../../../shared/repository/manifest-schema.ts';
import { completeCheckpoints, LocalCheckpoint } from './local-checkpoint.ts';
import { metadataCopyset, metadataPlace } from './metadata.ts';
import type { NativeSettings } from './settings.ts';

/**
 * Metadata files of the checkpoints beside the live data that are not as they were written. All nodes of the first
 * copyset were given the same, so a copy that differs from another is not as it was written.
 */
export async function differingMetadata(settings: NativeSettings): Promise<string[]> {
  const differing: string[] = [];
  for (const checkpoint of await completeCheckpoints(settings.data)) {
    const { root } = new LocalCheckpoint(settings.data, checkpoint, null);
    const file = join(root, 'grid.json');
    const manifest = await parsed(file, parseGridManifest);
    if (manifest === null) differing.push(file);
    else if (metadataCopyset(manifest) === settings.copyset)
      differing.push(...(await differingIn(join(root, 'metadata'), manifest)));
  }
  return differing;
}

/** By the digests that the commit object names, and that those named so name. */
async function differingIn(room: string, { members }: GridManifest): Promise<string[]> {
  const differing = new Set<string>();
  for (const { name, engine, role, manifestDigest } of members) {
    if (engine !== 'native' || role === 'node') continue;
    const file = join(room, 'members', `${name}.json`);
    const manifest =
      (await digestOf(file)) === manifestDigest ? await parsed(file, parseMemberManifest) : null;
    if (manifest === null) differing.add(file);
    for (const artifact of manifest?.artifacts ?? []) {
      const place = join(room, metadataPlace({ name, role }, artifact.path));
      if (artifact.kind === 'file' && (await digestOf(place)) !== artifact.digest) differing.add(place);
    }
  }
  return [...differing];
}

async function digestOf(file: string): Promise<string | null> {
  const bytes = await readFile(file).catch(absent);
  return bytes === null ? null : sha256(bytes);
}

async function parsed<T>(file: string, parse: (text: string, file: string) => T): Promise<T | null> {
  const text = await readFile(file, 'utf8').catch(absent);
  try {
    return text === null ? null : parse(text, file);
  } catch (error) {
    if (error instanceof StillpointError) return null;
    throw error;
  }
}

function absent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}

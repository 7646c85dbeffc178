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
    const local = new LocalCheckpoint(settings.data, checkpoint);
    try {
      const manifest = await parsed(local, 'grid.json', parseGridManifest);
      if (manifest === null) differing.push(join(local.path, 'grid.json'));
      else if (metadataCopyset(manifest) === settings.copyset)
        differing.push(...(await differingIn(local, manifest)));
    } finally {
      await local.close();
    }
  }
  return differing;
}

/** By the digests that the commit object names, and that those named so name. */
async function differingIn(local: LocalCheckpoint, { members }: GridManifest): Promise<string[]> {
  const differing = new Set<string>();
  for (const { name, engine, role, manifestDigest } of members) {
    if (engine !== 'native' || role === 'node') continue;
    const file = join('metadata', 'members', `${name}.json`);
    const manifest =
      (await digestOf(local, file)) === manifestDigest
        ? await parsed(local, file, parseMemberManifest)
        : null;
    if (manifest === null) differing.add(file);
    for (const artifact of manifest?.artifacts ?? []) {
      const place = join('metadata', metadataPlace({ name, role }, artifact.path));
      if (artifact.kind === 'file' && (await digestOf(local, place)) !== artifact.digest)
        differing.add(place);
    }
  }
  return [...differing].map((path) => join(local.path, path));
}

async function digestOf(local: LocalCheckpoint, path: string): Promise<string | null> {
  const bytes = await local.read(path);
  return bytes === null ? null : sha256(bytes);
}

async function parsed<T>(
  local: LocalCheckpoint,
  path: string,
  parse: (text: string, file: string) => T,
): Promise<T | null> {
  const bytes = await local.read(path);
  try {
    return bytes === null ? null : parse(bytes.toString('utf8'), join(local.path, path));
  } catch (error) {
    if (error instanceof StillpointError) return null;
    throw error;
  }
}

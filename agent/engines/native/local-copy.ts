import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MemberManifest } from '../../../shared/domain/manifest.ts';
import { parseMemberManifest } from '../../../shared/repository/manifest-schema.ts';
import type { ArtifactSource, LocalCopy } from '../engine.ts';
import { completeCheckpoints, contentOf, filesBelow, lengthOf, LocalCheckpoint } from './local-checkpoint.ts';
import { metadataPlace } from './metadata.ts';
import type { NativeSettings } from './settings.ts';

/** Reads a checkpoint beside the live data of a node. */
export async function readLocalCopy(settings: NativeSettings, checkpoint: string): Promise<LocalCopy | null> {
  if (settings.role !== 'node') return null;
  const { root } = new LocalCheckpoint(settings.data, checkpoint, null);
  if (!(await completeCheckpoints(settings.data)).includes(checkpoint)) return null;
  const text = (path: string): Promise<string> => readFile(join(root, path), 'utf8');
  const own = parseMemberManifest(await text('member.json'), join(root, 'member.json'));
  return {
    gridManifest: await text('grid.json'),
    own: sourceOf(own, (path) => join(root, path)),
    metadata: await metadataIn(join(root, 'metadata')),
  };
}

async function metadataIn(directory: string): Promise<LocalCopy['metadata']> {
  const members = await readdir(join(directory, 'members')).catch(() => null);
  if (members === null) return null;
  const digest = createHash('sha256');
  for (const path of await filesBelow(directory))
    digest.update(`${path}\0`).update(await readFile(join(directory, path)));
  const sources = await Promise.all(
    members.sort().map(async (name) => {
      const file = join(directory, 'members', name);
      const manifest = parseMemberManifest(await readFile(file, 'utf8'), file);
      return sourceOf(manifest, (path) => join(directory, metadataPlace(manifest.member, path)));
    }),
  );
  return { digest: digest.digest('hex'), sources };
}

function sourceOf(manifest: MemberManifest, placeOf: (path: string) => string): ArtifactSource {
  return {
    manifest,
    async *read(path) {
      const place = placeOf(path);
      yield* contentOf(place, await lengthOf(place));
    },
  };
}

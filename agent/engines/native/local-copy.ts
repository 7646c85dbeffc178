import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { MemberManifest } from '../../../shared/domain/manifest.ts';
import { parseMemberManifest } from '../../../shared/repository/manifest-schema.ts';
import type { ArtifactSource, LocalCopy } from '../engine.ts';
import { completeCheckpoints, LocalCheckpoint } from './local-checkpoint.ts';
import { metadataPlace } from './metadata.ts';
import type { NativeSettings } from './settings.ts';

/** Reads a checkpoint beside the live data of a node. */
export async function readLocalCopy(settings: NativeSettings, checkpoint: string): Promise<LocalCopy | null> {
  if (settings.role !== 'node') return null;
  if (!(await completeCheckpoints(settings.data)).includes(checkpoint)) return null;
  const opened: Opening = () => new LocalCheckpoint(settings.data, checkpoint);
  const reading = opened();
  try {
    const own = parseMemberManifest(await textOf(reading, 'member.json'), join(reading.path, 'member.json'));
    return {
      gridManifest: await textOf(reading, 'grid.json'),
      own: sourceOf(opened, own, (path) => path),
      metadata: await metadataIn(opened, reading),
    };
  } finally {
    await reading.close();
  }
}

type Opening = () => LocalCheckpoint;

async function metadataIn(open: Opening, reading: LocalCheckpoint): Promise<LocalCopy['metadata']> {
  const members = await reading.files('metadata/members');
  if (members === null) return null;
  const digest = createHash('sha256');
  for (const path of (await reading.files('metadata')) ?? [])
    digest.update(`${path}\0`).update(await bytesOf(reading, join('metadata', path)));
  const sources: ArtifactSource[] = [];
  for (const name of members) {
    const file = join('metadata/members', name);
    const manifest = parseMemberManifest(await textOf(reading, file), join(reading.path, file));
    sources.push(sourceOf(open, manifest, (path) => join('metadata', metadataPlace(manifest.member, path))));
  }
  return { digest: digest.digest('hex'), sources };
}

async function bytesOf(reading: LocalCheckpoint, path: string): Promise<Buffer> {
  const bytes = await reading.read(path);
  if (bytes === null) throw new Error(`${join(reading.path, path)} is not there`);
  return bytes;
}

async function textOf(reading: LocalCheckpoint, path: string): Promise<string> {
  return (await bytesOf(reading, path)).toString('utf8');
}

/** Opens the checkpoint for each file: nobody says when the last was read. */
function sourceOf(
  open: Opening,
  manifest: MemberManifest,
  placeOf: (path: string) => string,
): ArtifactSource {
  return {
    manifest,
    async *read(path) {
      const local = open();
      try {
        const place = placeOf(path);
        yield* local.content(place, await local.lengthOf(place));
      } finally {
        await local.close();
      }
    },
  };
}

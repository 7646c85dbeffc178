import { join } from 'node:path';
import { sealGridManifest } from '../../../shared/repository/manifest-schema.ts';
import type { SettleContext } from '../engine.ts';
import { LocalCheckpoint } from './local-checkpoint.ts';
import { metadataCopyset, metadataOf } from './metadata.ts';
import type { NativeSettings } from './settings.ts';

/**
 * Makes what a node has beside its live data a checkpoint of its own: the metadata, where it is of the first copyset,
 * its manifest, and last the commit object. Rejects where it was taken away before the commit was heard of.
 */
export async function settleNative(
  settings: NativeSettings,
  context: SettleContext,
  isKept: boolean,
): Promise<void> {
  const { manifest, source } = context;
  if (settings.role !== 'node' || !manifest.members.some(({ name }) => name === settings.name)) return;
  const local = new LocalCheckpoint(settings.data, manifest.checkpoint);
  try {
    if (!isKept) throw new Error('it was taken away by an abort on this host');
    if (!(await local.isBegun())) throw new Error(`${local.path} is not there any more`);
    if (settings.copyset === metadataCopyset(manifest)) {
      for (const { path, bytes } of await metadataOf(context))
        await local.write(join('metadata', path), bytes);
    }
    await local.write('member.json', `${JSON.stringify((await source(settings.name)).manifest)}\n`);
    await local.finish(sealGridManifest(manifest));
  } finally {
    await local.close();
  }
}

import { join } from 'node:path';
import type { GridManifest } from '../../../shared/domain/manifest.ts';
import type { SettleContext } from '../engine.ts';
import { ownerOf } from '../restore/owner.ts';
import { LocalCheckpoint } from './local-checkpoint.ts';
import { writeMetadata, type MetadataFile } from './metadata.ts';
import type { NativeSettings } from './settings.ts';
import { DEFINITION_FILE, STATE_FILE } from './state-capture.ts';

/**
 * Makes what a node has beside its live data a checkpoint of its own: the metadata, where it is of the first copyset,
 * its manifest, and last the commit object.
 */
export async function settleNative(settings: NativeSettings, context: SettleContext): Promise<void> {
  const { manifest, source } = context;
  if (settings.role !== 'node' || !manifest.members.some(({ name }) => name === settings.name)) return;
  const owner = await ownerOf(settings);
  const local = new LocalCheckpoint(settings.data, manifest.checkpoint, owner);
  if (!(await local.isBegun())) return;
  if (settings.copyset === firstCopyset(manifest)) {
    await writeMetadata(local, await metadataOf(context));
  }
  await local.write('member.json', `${JSON.stringify((await source(settings.name)).manifest)}\n`);
  await local.finish(`${JSON.stringify(manifest)}\n`);
}

/** The first-defined copyset of those whose nodes keep their files so. */
function firstCopyset(manifest: GridManifest): string | undefined {
  return manifest.copysets.find((copyset) =>
    manifest.members.some((member) => member.engine === 'native' && member.copyset === copyset),
  );
}

/** The realm's definition, and the state of every state keeper: the same bytes on every node that keeps them. */
async function metadataOf({ manifest, source }: SettleContext): Promise<MetadataFile[]> {
  const files: MetadataFile[] = [];
  for (const { name, engine, role, mark } of manifest.members) {
    if (engine !== 'native' || mark === null) continue;
    if (role === 'state-keeper') {
      const bytes = await bytesOf((await source(name)).read(STATE_FILE));
      files.push({ name: `statekeeper-recovery/${name}`, bytes });
    }
    if (role === 'realm-service' && !files.some((file) => file.name === 'realm-definition.json')) {
      const realm = await source(name);
      files.push({ name: 'realm-definition.json', bytes: await bytesOf(realm.read(DEFINITION_FILE)) });
      files.push({ name: 'realm-recovery', bytes: await bytesOf(realm.read(STATE_FILE)) });
    }
  }
  return files;
}

async function bytesOf(parts: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const part of parts) all.push(part);
  return Buffer.concat(all);
}

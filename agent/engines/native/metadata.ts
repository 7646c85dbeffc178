import type { Role } from '../../../shared/domain/grid.ts';
import type { GridManifest } from '../../../shared/domain/manifest.ts';
import type { SettleContext } from '../engine.ts';
import { DEFINITION_FILE, STATE_FILE } from './state-copy.ts';

/**
 * What the nodes of the first copyset keep of the members that keep nothing themselves, below `metadata/`:
 *
 *   realm-definition.json            the realm's definition, for people
 *   realm-recovery/<name>            the state of a realm service
 *   statekeeper-recovery/<name>      the state of a state keeper
 *   members/<name>.json              the member manifests of these, of satellites and of proxies
 */
export interface MetadataFile {
  readonly path: string;
  readonly bytes: Uint8Array | string;
}

/** Where an artifact of such a member lies, relative to `metadata/`. */
export function metadataPlace({ name, role }: { name: string; role: Role }, path: string): string {
  if (path === DEFINITION_FILE) return 'realm-definition.json';
  return `${role === 'realm-service' ? 'realm' : 'statekeeper'}-recovery/${name}`;
}

/** The first-defined copyset of those whose nodes keep their files so. */
export function metadataCopyset(manifest: GridManifest): string | undefined {
  return manifest.copysets.find((copyset) =>
    manifest.members.some((member) => member.engine === 'native' && member.copyset === copyset),
  );
}

/** The same bytes on every node that keeps them. */
export async function metadataOf({ manifest, source }: SettleContext): Promise<MetadataFile[]> {
  const files = new Map<string, Uint8Array | string>();
  for (const { name, engine, role } of manifest.members) {
    if (engine !== 'native' || role === 'node') continue;
    const member = await source(name);
    files.set(`members/${name}.json`, `${JSON.stringify(member.manifest)}\n`);
    for (const { kind, path } of member.manifest.artifacts) {
      if (kind === 'file' && [DEFINITION_FILE, STATE_FILE].includes(path))
        files.set(metadataPlace({ name, role }, path), await bytesOf(member.read(path)));
    }
  }
  return [...files].map(([path, bytes]) => ({ path, bytes }));
}

async function bytesOf(parts: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const part of parts) all.push(part);
  return Buffer.concat(all);
}

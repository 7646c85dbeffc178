import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { Role } from '../../../shared/domain/grid.ts';
import type { GridManifest } from '../../../shared/domain/manifest.ts';
import { sha256 } from '../../../shared/repository/digest.ts';
import { parseGridManifest, parseMemberManifest } from '../../../shared/repository/manifest-schema.ts';
import type { SettleContext } from '../engine.ts';
import { completeCheckpoints, LocalCheckpoint } from './local-checkpoint.ts';
import type { NativeSettings } from './settings.ts';
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
        files.set(metadataPlace({ name, role }, path), await buffer(member.read(path)));
    }
  }
  return [...files].map(([path, bytes]) => ({ path, bytes }));
}

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

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { completeCheckpoints, filesBelow, placeOf, type LocalCheckpoint } from './local-checkpoint.ts';

const ROOM = 'metadata';
/** Beside the metadata: the SHA-256 of each of its files, by its name. */
const DIGESTS = 'metadata.json';

const digestsSchema = z.record(z.string(), z.string());

export interface MetadataFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export async function writeMetadata(local: LocalCheckpoint, files: readonly MetadataFile[]): Promise<void> {
  for (const { name, bytes } of files) await local.write(join(ROOM, name), bytes);
  const digests = Object.fromEntries(files.map(({ name, bytes }) => [name, digestOf(bytes)]));
  await local.write(DIGESTS, `${JSON.stringify(digests)}\n`);
}

/**
 * Paths of metadata files that are not what was written. All nodes of the first copyset were given the same: a copy
 * that is as it was written is equal to all others that are.
 */
export async function differingMetadata(data: string): Promise<string[]> {
  const differing: string[] = [];
  for (const checkpoint of await completeCheckpoints(data)) {
    const place = placeOf(data, checkpoint);
    const text = await readFile(join(place, DIGESTS), 'utf8').catch(absent);
    const room = join(place, ROOM);
    const found = await filesBelow(room).catch(absent);
    if (text === null && found === null) continue;
    const digests = digestsIn(text);
    if (digests === null) {
      differing.push(join(place, DIGESTS));
      continue;
    }
    for (const name of new Set([...Object.keys(digests), ...(found ?? [])])) {
      const bytes = await readFile(join(room, name)).catch(absent);
      if (bytes === null || digestOf(bytes) !== digests[name]) differing.push(join(room, name));
    }
  }
  return differing;
}

function digestsIn(text: string | null): Record<string, string> | null {
  try {
    return digestsSchema.parse(JSON.parse(text ?? ''));
  } catch {
    return null;
  }
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function absent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}

import { rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { z } from 'zod';
import type {
  Backup,
  BackupSet,
  EndedBackup,
  ImageManifest,
  ImageSummary,
  Stamp,
} from '../domain/backup-set.ts';
import { EXIT, StillpointError } from '../domain/errors.ts';
import { namesIn } from './catalogue.ts';
import { isThere } from './deletion.ts';
import { sha256 } from './digest.ts';
import { createExclusively, ensureDirectory, syncIfThere } from './durable-files.ts';
import { isName, type BackupRecord, type Layout } from './layout.ts';
import { checkWritable, MOST_MANIFEST_BYTES } from './manifest-schema.ts';
import type { SetEntry } from './repository.ts';
import { seal, unseal } from './seal.ts';
import { endedSchema, imageSchema, stampSchema, summarySchema } from './set-schema.ts';
import { storageError } from './storage-error.ts';
import { readStoredFile } from './stored-file.ts';

// Backup sets: a directory of small files, each written once and each with its own digest, beside the manifests of images.
// Who reads a set reads all of it: one record that is damaged, and nobody knows what it would have said.

/** A backup that had a thousand begun before it is a quarter of it; so are the names of ten thousand journal files. */
const MOST_RECORD_BYTES = 1024 * 1024;

const SCHEMAS = { begun: stampSchema, ended: endedSchema, read: summarySchema } as const;
const PARTS = { begun: 'the begin', ended: 'the end', read: 'the image' } as const;

interface Recorded {
  readonly begun: Stamp;
  readonly ended: EndedBackup;
  readonly read: ImageSummary;
}

interface Place {
  readonly layout: Layout;
  readonly grid: string;
  readonly set: string;
}

/** Of one member. Rejects `backup-recorded` where it is recorded already. */
export async function recordBackup<Kind extends BackupRecord>(
  place: Place,
  kind: Kind,
  member: string,
  value: Recorded[Kind],
): Promise<void> {
  const { layout, grid, set } = place;
  const path = layout.backup(grid, set, kind, member);
  const text = JSON.stringify({ grid, set, member, [kind]: value });
  checkWritable(SCHEMAS[kind], JSON.stringify(value), path);
  if (Buffer.byteLength(text) > MOST_RECORD_BYTES) throw tooLong(path);
  await makeSet(place);
  await ensureDirectory(layout, dirname(path));
  const isNew = await createExclusively(path, seal('record', text), true);
  if (!isNew) throw alreadyRecorded(set, member, kind);
  if (!(await isThere(layout.setHead(grid, set)))) throw deleting(set);
}

async function makeSet({ layout, grid, set }: Place): Promise<void> {
  if (await isThere(layout.deletedSet(grid, set))) throw deleting(set);
  const path = layout.setHead(grid, set);
  await ensureDirectory(layout, dirname(path));
  await createExclusively(path, seal('set', JSON.stringify({ format: 1, grid, set })), true);
}

export async function saveImage(
  { layout, grid, set }: Place,
  image: ImageManifest,
): Promise<{ readonly digest: string }> {
  const text = JSON.stringify(image);
  const digest = sha256(text);
  const path = layout.image(grid, set, digest);
  checkWritable(imageSchema, text, path);
  await makeSet({ layout, grid, set });
  await ensureDirectory(layout, dirname(path));
  await createExclusively(path, text, true);
  return { digest };
}

export async function readImage({ layout, grid, set }: Place, digest: string): Promise<ImageManifest> {
  const path = layout.image(grid, set, digest);
  const stored = await readStoredFile(path, MOST_MANIFEST_BYTES);
  if (stored.type === 'missing') throw imageMissing(set, digest);
  if (stored.type === 'damaged') throw damaged(path, stored.cause);
  if (sha256(stored.bytes) !== digest) throw damaged(path, 'does not have the digest that is its name');
  return parsed(imageSchema, stored.bytes.toString(), path);
}

export async function readSets(layout: Layout, grid?: string): Promise<SetEntry[]> {
  const grids = grid === undefined ? (await namesIn(layout.grids())).filter(isName) : [grid];
  const found: SetEntry[] = [];
  for (const one of grids)
    for (const set of (await namesIn(layout.sets(one))).filter(isName)) {
      const entry = await entryOf({ layout, grid: one, set });
      if (entry !== null) found.push(entry);
    }
  return found;
}

/** Null where a writer died before there was a set. */
async function entryOf(place: Place): Promise<SetEntry | null> {
  const { layout, grid, set: name } = place;
  if (await isThere(layout.deletedSet(grid, name))) {
    const cause = 'its deletion was begun and not ended';
    return { grid, name, state: 'deleting', set: null, cause };
  }
  try {
    return { grid, name, state: 'readable', set: await readSet(place), cause: null };
  } catch (error) {
    if (!(error instanceof StillpointError)) throw error;
    if (error.failure.code === 'set-missing') return null;
    return { grid, name, state: 'damaged', set: null, cause: error.failure.message };
  }
}

export async function readSet(place: Place): Promise<BackupSet> {
  const { layout, grid, set: name } = place;
  const found = await namesIn(layout.set(grid, name));
  if (found.length === 0 || (await isThere(layout.deletedSet(grid, name)))) throw setMissing(grid, name);
  await readHead(place);
  const [begun, ended, read] = await Promise.all([
    readRecords(place, 'begun'),
    readRecords(place, 'ended'),
    readRecords(place, 'read'),
  ]);
  const members = [...new Set([...begun.keys(), ...ended.keys(), ...read.keys()])].sort();
  const backups = members.map((member): Backup => ({
    member,
    begun: begun.get(member) ?? null,
    ended: ended.get(member) ?? null,
    image: read.get(member) ?? null,
  }));
  return { grid, name, backups };
}

async function readHead({ layout, grid, set }: Place): Promise<void> {
  const path = layout.setHead(grid, set);
  const head = await readSealed('set', path);
  const { grid: ofGrid, set: ofSet } = jsonOf(head, path) as { grid?: unknown; set?: unknown };
  if (ofGrid !== grid || ofSet !== set) throw damaged(path, `is of set ${String(ofSet)}`);
}

async function readRecords<Kind extends BackupRecord>(
  { layout, grid, set }: Place,
  kind: Kind,
): Promise<Map<string, Recorded[Kind]>> {
  const found = new Map<string, Recorded[Kind]>();
  for (const file of await namesIn(layout.backups(grid, set, kind))) {
    const member = file.replace(/\.json$/, '');
    if (member === file || !isName(member)) continue;
    const path = layout.backup(grid, set, kind, member);
    const text = await readSealed('record', path);
    const record = jsonOf(text, path) as Record<string, unknown>;
    if (record['grid'] !== grid || record['set'] !== set || record['member'] !== member)
      throw damaged(path, `is of ${String(record['member'])} in set ${String(record['set'])}`);
    const schema = SCHEMAS[kind] as unknown as z.ZodType<Recorded[Kind]>;
    found.set(member, parsed(schema, JSON.stringify(record[kind] ?? null), path));
  }
  return found;
}

async function readSealed(word: string, path: string): Promise<string> {
  const stored = await readStoredFile(path, MOST_RECORD_BYTES + 1024);
  if (stored.type === 'missing') throw damaged(path, 'is missing');
  if (stored.type === 'damaged') throw damaged(path, stored.cause);
  const text = unseal(word, stored.bytes.toString());
  if (text === null) throw damaged(path, 'does not have its own digest');
  return text;
}

/** The set loses its head first, so that nobody takes a part of it for all of it. */
export async function deleteSet({ layout, grid, set }: Place): Promise<void> {
  const directory = layout.set(grid, set);
  if (!(await isThere(directory))) throw setMissing(grid, set);
  try {
    await rename(layout.setHead(grid, set), layout.deletedSet(grid, set)).catch(ignoreMissing);
    await syncIfThere(directory);
    for (const kind of ['read', 'ended', 'begun'] as const)
      await rm(layout.backups(grid, set, kind), { recursive: true, force: true });
    await rm(layout.images(grid, set), { recursive: true, force: true });
    await syncIfThere(directory);
    await rm(directory, { recursive: true, force: true });
    await syncIfThere(layout.sets(grid));
  } catch (error) {
    throw storageError(error, directory);
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

function parsed<T>(schema: z.ZodType<T>, text: string, path: string): T {
  const { data, error } = schema.safeParse(jsonOf(text, path));
  if (data !== undefined) return data;
  const [issue] = error?.issues ?? [];
  throw damaged(path, `has a ${issue?.path.join('.') || 'value'} that ${issue?.message ?? 'is none'}`);
}

function jsonOf(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw damaged(path, 'is not JSON');
  }
}

function damaged(path: string, cause: string): StillpointError {
  return new StillpointError(
    {
      code: 'set-damaged',
      message: `${path} ${cause}`,
      hint: 'make a new set, and look at the disk of the repository; stillpoint set delete forgets this one and touches no image',
    },
    EXIT.invalid,
  );
}

function setMissing(grid: string, set: string): StillpointError {
  return new StillpointError({
    code: 'set-missing',
    message: `the repository has no set ${set} of grid ${grid}`,
    hint: 'stillpoint set list shows what it has',
  });
}

function imageMissing(set: string, digest: string): StillpointError {
  return new StillpointError({
    code: 'set-missing',
    message: `set ${set} has no image manifest ${digest}`,
    hint: 'it was deleted: stillpoint set list shows what there is',
  });
}

function deleting(set: string): StillpointError {
  return new StillpointError({
    code: 'set-deleting',
    message: `set ${set} is being deleted`,
    hint: `take another name, or end its deletion: stillpoint set delete ${set}`,
  });
}

function alreadyRecorded(set: string, member: string, kind: BackupRecord): StillpointError {
  return new StillpointError(
    {
      code: 'backup-recorded',
      message: `set ${set} has ${PARTS[kind]} of a backup of ${member} already`,
      hint: 'a set has one backup of each member and never changes: take another name for this one',
      member,
    },
    EXIT.refused,
  );
}

function tooLong(path: string): StillpointError {
  return new StillpointError({
    code: 'bad-manifest',
    message: `${path} is not written: it is too long`,
    hint: 'no set has so many members, and no image so many journal files: make sets of fewer',
  });
}

import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as z from 'zod';
import { EXIT, StillpointError } from '../../../shared/domain/errors.ts';
import { AnchoredDirectory, closing } from '../../anchored-directory.ts';
import { mustHoldNoMount } from './mounts.ts';
import { beside, within } from '../../safe-files.ts';
import type { RestorePlace } from '../engine.ts';
import { isThere } from '../../../shared/runtime/is-there.ts';

/**
 * Where a restore works: in a room beside each directory that it replaces, so that the switch is two renames.
 *
 *   <parent>/.stillpoint-<name>/stage          the new one, while it is built
 *   <parent>/.stillpoint-<name>/old            the old one, from the switch to the end
 *   <parent>/.stillpoint-<name>/dropped        the new one, when a roll-back has taken it out again
 *   <parent>/.stillpoint-<name>/restore.json   what there was before: written first, removed last
 *
 * The room is the agent's own: others may pass it, and put no name into it. Beside the directory itself, where its
 * user may write, there would be links. One level down is also where Debian's tools do not look for clusters: they
 * take every <version>/<name>/postgresql.conf for one.
 *
 * Forward and back can be taken up again from what lies there, by another process, any number of times.
 */
const recordSchema = z.object({
  format: z.literal(1),
  checkpoint: z.string(),
  /** Which restore: an agent that knows nothing of it any more learns it here. */
  restore: z.object({ grid: z.string(), restoreId: z.string(), repositoryId: z.string() }).optional(),
  directories: z.array(z.object({ path: z.string(), existed: z.boolean() })),
  /** Directories that this restore makes elsewhere; a rollback removes them. */
  made: z.array(z.string()),
  /** Set before the directories are renamed: what stands at a name until then is not this restore's. */
  switching: z.boolean().optional(),
  /** The systemd unit that is kept from starting until this restore has ended. */
  unit: z.string().optional(),
});

export type SwitchRecord = z.infer<typeof recordSchema>;

const STAGE = 'stage';
const OLD = 'old';
const DROPPED = 'dropped';
const RECORD = 'restore.json';
/** Others may pass: the server is started as its own user in a staged directory. */
const ROOM_MODE = 0o711;

export const stageOf = (directory: string): string => join(roomOf(directory), STAGE);
export const oldOf = (directory: string): string => join(roomOf(directory), OLD);
const recordOf = (data: string): string => join(roomOf(data), RECORD);

function roomOf(directory: string): string {
  return join(dirname(directory), nameOfRoom(basename(directory)));
}

function nameOfRoom(name: string): string {
  return `.stillpoint-${name}`;
}

export async function readRecord(data: string): Promise<SwitchRecord | null> {
  return inRoom(data, null, async ({ room }) => {
    const bytes = await room.read(RECORD);
    if (bytes === null) return null;
    try {
      const record = recordSchema.parse(JSON.parse(bytes.toString('utf8')));
      if (record.directories[0]?.path !== data) throw new Error('it is of another directory');
      return record;
    } catch (error) {
      throw new StillpointError(
        {
          code: 'restore-unfinished',
          message: `the record of an earlier restore cannot be read: ${recordOf(data)}`,
          hint: `see which of ${data} and ${oldOf(data)} is the one to keep, give it its name, then remove the record`,
        },
        EXIT.refused,
        { cause: error },
      );
    }
  });
}

/** Of the directories that a restore replaces, the data first. */
export async function restorePlaceAt(directories: readonly string[]): Promise<RestorePlace> {
  const [data = ''] = directories;
  const record = await readRecord(data);
  const left =
    record === null ? null : { restore: record.restore ?? null, switched: record.switching === true };
  const occupied = await Promise.all(directories.map(isOccupied));
  return { isThere: await isThere(data), isOccupied: occupied.includes(true), left };
}

async function isOccupied(path: string): Promise<boolean> {
  try {
    return (await readdir(path)).length > 0;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return false;
    // Something else than a directory stands at the name, or below one of its parents' names.
    if (code === 'ENOTDIR') return true;
    throw error;
  }
}

/** Makes the room of each directory that the record names. Durable on return. */
export async function writeRecord(data: string, record: SwitchRecord): Promise<void> {
  for (const { path } of record.directories) {
    const parent = await AnchoredDirectory.make(dirname(path));
    try {
      const name = nameOfRoom(basename(path));
      if ((await parent.stat(name)) === null) {
        const made = await parent.makeDirectory(name);
        await closing(made, (room) => room.handOver(null, ROOM_MODE));
      }
      await parent.sync();
    } finally {
      await parent.close();
    }
  }
  await saveRecord(data, record);
}

async function saveRecord(data: string, record: SwitchRecord): Promise<void> {
  await within(roomOf(data), async (room) => {
    mustBeOurs(room);
    await room.write(RECORD, JSON.stringify(record));
  });
}

/** Every old directory aside, every new one in. Durable on return. */
export async function switchDirectories(record: SwitchRecord): Promise<void> {
  const [first] = record.directories;
  if (first !== undefined) await saveRecord(first.path, { ...record, switching: true });
  for (const { path } of record.directories) {
    await inRoom(path, undefined, async ({ parent, room, name }) => {
      if ((await room.stat(STAGE)) === null) return;
      if ((await parent.stat(name)) !== null && (await room.stat(OLD)) === null) {
        await parent.move(name, room, OLD);
        await mustBeReplaced(parent, room, OLD, name);
      }
      await room.move(STAGE, parent, name);
      await room.sync();
      await parent.sync();
    });
  }
}

/** Its user could have put something of root's at the name, and has it removed when the restore is over. */
async function mustBeReplaced(
  parent: AnchoredDirectory,
  room: AnchoredDirectory,
  as: typeof OLD | typeof DROPPED,
  name: string,
): Promise<void> {
  const moved = await room.stat(as);
  if (moved === null || !parent.isTrap(moved)) return;
  await room.move(as, parent, name);
  throw ofRoot(join(parent.path, name));
}

/**
 * Every old directory back as it was, every new one gone. The member must not run. All old ones are back before
 * anything is deleted: what its user put into a new one may not be removable. `isBack` is awaited before the record goes.
 */
export async function switchBack(
  data: string,
  record: SwitchRecord,
  isBack: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  for (const { path, existed } of record.directories) {
    await inRoom(path, undefined, async ({ parent, room, name }) => {
      const isAside = (await room.stat(OLD)) !== null;
      const isIn = isAside || (!existed && record.switching === true && (await room.stat(STAGE)) === null);
      if (isIn && (await parent.stat(name)) !== null) {
        await room.remove(DROPPED);
        await parent.move(name, room, DROPPED);
        await mustBeReplaced(parent, room, DROPPED, name);
      }
      if (isAside) await room.move(OLD, parent, name);
      await room.sync();
      await parent.sync();
    });
  }
  for (const { path } of record.directories)
    await inRoom(path, undefined, ({ room }) => clear(room, STAGE, DROPPED));
  for (const path of record.made) await beside(path, (directory, name) => directory.remove(name));
  await isBack();
  await forget(data, record);
}

async function clear(room: AnchoredDirectory, ...names: readonly string[]): Promise<void> {
  for (const name of names) await room.remove(name);
  await room.sync();
}

/** The old directories are dropped: from here there is no way back. */
export async function dropOld(data: string, record: SwitchRecord): Promise<void> {
  for (const { path } of record.directories) {
    await inRoom(path, undefined, ({ room }) => clear(room, OLD, STAGE, DROPPED));
  }
  await forget(data, record);
}

/** The room of the record goes last. */
async function forget(data: string, record: SwitchRecord): Promise<void> {
  await inRoom(data, undefined, async ({ room }) => {
    await room.remove(RECORD);
    await room.sync();
  });
  for (const { path } of record.directories.toReversed()) {
    await beside(path, async (parent, name) => {
      await parent.removeEmpty(nameOfRoom(name));
      await parent.sync();
    });
  }
}

interface Places {
  readonly parent: AnchoredDirectory;
  readonly room: AnchoredDirectory;
  /** Of the directory that is replaced. */
  readonly name: string;
}

/** Works in the room of a directory; where there is none, that is what there is. */
async function inRoom<T>(directory: string, otherwise: T, work: (places: Places) => Promise<T>): Promise<T> {
  const found = await beside(directory, async (parent, name) => {
    if ((await parent.stat(nameOfRoom(name))) === null) return { done: otherwise };
    const room = await parent.enter(nameOfRoom(name));
    try {
      mustBeOurs(room);
      return { done: await work({ parent, room, name }) };
    } finally {
      await room.close();
    }
  });
  return found === null ? otherwise : found.done;
}

function mustBeOurs(room: AnchoredDirectory): void {
  if (!room.isForeign) return;
  throw new StillpointError({
    code: 'unsafe-path',
    message: `${room.path} can be written by others than the agent`,
    hint: 'the agent did not make it: see who did, and remove it',
  });
}

/** Throws unless all can be renamed away, and nothing of an earlier restore lies beside any of them. */
export async function mustBeReplaceable(member: string, directories: readonly string[]): Promise<void> {
  await mustHoldNoMount(member, directories);
  for (const path of directories) {
    await beside(path, async (parent, name) => {
      const found = await parent.stat(name);
      if (found === null) return;
      if (found.isSymbolicLink()) throw isLink(member, path);
      if (found.dev !== parent.stats.dev) throw isMountPoint(member, path);
      if (parent.isTrap(found)) throw ofRoot(path);
    });
  }
  const [data = ''] = directories;
  const left = [];
  if ((await readRecord(data)) !== null) left.push(recordOf(data));
  for (const path of directories)
    for (const place of [oldOf(path), stageOf(path), join(roomOf(path), DROPPED)])
      if (await isThere(place)) left.push(place);
  if (left.length > 0) throw unfinished(member, left);
}

function isMountPoint(member: string, path: string): StillpointError {
  return new StillpointError({
    code: 'data-is-mount-point',
    message: `${member}: ${path} is a mount point, or a subvolume of its own, and a restore would put a plain directory in its place`,
    hint: 'put the directory one level below that, and correct data in the agent file',
  });
}

function isLink(member: string, path: string): StillpointError {
  return new StillpointError({
    code: 'data-is-link',
    message: `${member}: ${path} is a link, and what it leads to would not be replaced`,
    hint: 'name the directory itself in the agent file',
  });
}

function ofRoot(path: string): StillpointError {
  return new StillpointError({
    code: 'unsafe-path',
    message: `${path} belongs to root, in a directory that another user can write`,
    hint: "give it to the member's user (chown), or the directory that it lies in to root",
  });
}

function unfinished(member: string, left: readonly string[]): StillpointError {
  return new StillpointError({
    code: 'restore-unfinished',
    message: `${member}: an earlier restore was not ended: see ${left.join(', ')}`,
    hint: 'restart the agent: it ends what it knows of; what nothing knows of is for you to look at, and to remove or put back',
  });
}

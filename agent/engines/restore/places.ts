import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { EXIT, StillpointError } from '../../../shared/domain/errors.ts';

/**
 * Where a restore works: beside each directory that it replaces, so that the switch is two renames.
 *
 *   <dir>.stillpoint-stage   the new one, while it is built
 *   <dir>.stillpoint-old     the old one, from the switch to the end
 *   <data>.stillpoint-restore.json   what there was before: written first, removed last
 *
 * Forward and back can be taken up again from what lies there, by another process, any number of times.
 */
const recordSchema = z.object({
  format: z.literal(1),
  checkpoint: z.string(),
  directories: z.array(z.object({ path: z.string(), existed: z.boolean() })),
  /** Directories that this restore makes elsewhere; a rollback removes them. */
  made: z.array(z.string()),
});

export type RestoreRecord = z.infer<typeof recordSchema>;

export const stageOf = (directory: string): string => `${directory}.stillpoint-stage`;
export const oldOf = (directory: string): string => `${directory}.stillpoint-old`;
const recordOf = (data: string): string => `${data}.stillpoint-restore.json`;

export async function readRecord(data: string): Promise<RestoreRecord | null> {
  try {
    return recordSchema.parse(JSON.parse(await readFile(recordOf(data), 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
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
}

export async function writeRecord(data: string, record: RestoreRecord): Promise<void> {
  const path = recordOf(data);
  await writeFile(`${path}.new`, JSON.stringify(record), { flush: true });
  await rename(`${path}.new`, path);
  await syncDirectory(dirname(path));
}

/** Every old directory aside, every new one in. Durable on return. */
export async function switchDirectories(record: RestoreRecord): Promise<void> {
  for (const { path } of record.directories) {
    if (!(await isThere(stageOf(path)))) continue;
    if ((await isThere(path)) && !(await isThere(oldOf(path)))) await rename(path, oldOf(path));
    await rename(stageOf(path), path);
    await syncDirectory(dirname(path));
  }
}

/** Every old directory back as it was, every new one gone. The member must not run. */
export async function switchBack(data: string, record: RestoreRecord): Promise<void> {
  for (const { path, existed } of record.directories) {
    if (await isThere(oldOf(path))) {
      await rm(path, { recursive: true, force: true });
      await rename(oldOf(path), path);
    } else if (!existed) {
      await rm(path, { recursive: true, force: true });
    }
    await rm(stageOf(path), { recursive: true, force: true });
    await syncDirectory(dirname(path));
  }
  for (const path of record.made) await rm(path, { recursive: true, force: true });
  await forget(data);
}

/** The old directories are dropped: from here there is no way back. */
export async function dropOld(data: string, record: RestoreRecord): Promise<void> {
  for (const { path } of record.directories) {
    await rm(oldOf(path), { recursive: true, force: true });
    await rm(stageOf(path), { recursive: true, force: true });
    await syncDirectory(dirname(path));
  }
  await forget(data);
}

async function forget(data: string): Promise<void> {
  await rm(recordOf(data), { force: true });
  await syncDirectory(dirname(data));
}

/** Only what the system says is absent is: a disk that does not answer, or a path that is not ours to enter, rejects. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Throws unless all can be renamed away, and nothing of an earlier restore lies beside any of them. */
export async function mustBeReplaceable(member: string, directories: readonly string[]): Promise<void> {
  for (const path of directories) {
    if (!(await isMountPoint(path))) continue;
    throw new StillpointError({
      code: 'data-is-mount-point',
      message: `${member}: ${path} is a mount point and cannot be renamed`,
      hint: 'put the directory one level below the mount point',
    });
  }
  const [data = ''] = directories;
  const left = [];
  if ((await readRecord(data)) !== null) left.push(recordOf(data));
  for (const path of directories)
    for (const place of [oldOf(path), stageOf(path)]) if (await isThere(place)) left.push(place);
  if (left.length === 0) return;
  throw new StillpointError({
    code: 'restore-unfinished',
    message: `${member}: an earlier restore was not ended: see ${left.join(', ')}`,
    hint: 'restart the agent: it ends what it knows of; what nothing knows of is for you to look at, and to remove or put back',
  });
}

/** Whether renaming it away is impossible because something is mounted there. */
async function isMountPoint(path: string): Promise<boolean> {
  if (!(await isThere(path))) return false;
  const [inner, outer] = await Promise.all([stat(path), stat(dirname(path))]);
  return inner.dev !== outer.dev;
}

export async function makeParents(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
}

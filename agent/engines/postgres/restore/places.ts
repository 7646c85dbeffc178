import {
  access,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  rmdir,
  stat,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';

/**
 * Where a restore works: beside each directory that it replaces, so that the switch is two renames.
 *
 *   <dir>.stillpoint-stage   the new one, while it is built
 *   <dir>.stillpoint-old     the old one, from the switch to the end
 *   <data>.stillpoint-restore.json   what there was before: written first, removed last
 *   <data>.tablespaces/<n>/<oid>     new tablespaces, a fresh directory for each restore
 *
 * Forward and back can be taken up again from what lies there, by another process, any number of times.
 */
const recordSchema = z.object({
  format: z.literal(1),
  checkpoint: z.string(),
  directories: z.array(z.object({ path: z.string(), existed: z.boolean() })),
  /** Directories made for tablespaces by this restore. */
  tablespaces: z.array(z.string()),
});

export type RestoreRecord = z.infer<typeof recordSchema>;

export const stageOf = (directory: string): string => `${directory}.stillpoint-stage`;
export const oldOf = (directory: string): string => `${directory}.stillpoint-old`;
export const recordOf = (data: string): string => `${data}.stillpoint-restore.json`;

export async function readRecord(data: string): Promise<RestoreRecord | null> {
  try {
    return recordSchema.parse(JSON.parse(await readFile(recordOf(data), 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
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
  for (const tablespace of record.tablespaces) await dropTablespace(tablespace);
  await rmdir(tablespaceRoot(data)).catch(() => undefined);
  await forget(data);
}

/**
 * The old directories are dropped, with the tablespaces that an earlier restore put below one of `roots`:
 * from here there is no way back.
 */
export async function dropOld(data: string, record: RestoreRecord, roots: readonly string[]): Promise<void> {
  await dropReplacedTablespaces(oldOf(data), roots);
  for (const { path } of record.directories) {
    await rm(oldOf(path), { recursive: true, force: true });
    await rm(stageOf(path), { recursive: true, force: true });
    await syncDirectory(dirname(path));
  }
  await dropUnlinkedTablespaces(data);
  await forget(data);
}

export function tablespaceRoot(data: string): string {
  return `${data}.tablespaces`;
}

/** A free directory for the tablespaces of one restore. */
export async function freeTablespaceDirectory(root: string): Promise<string> {
  for (let number = 1; ; number += 1) {
    const path = join(root, String(number));
    if (!(await isThere(path))) return path;
  }
}

async function dropReplacedTablespaces(old: string, roots: readonly string[]): Promise<void> {
  const places = new Set(roots.map((root) => resolve(root)));
  for (const oid of await readdir(join(old, 'pg_tblspc')).catch(() => [])) {
    const target = await readlink(join(old, 'pg_tblspc', oid)).catch(() => '');
    const numbered = dirname(target);
    // Nothing but what a restore made: one of the server's own may lie below the same place.
    const made = basename(target) === oid && /^\d+$/.test(basename(numbered));
    if (made && places.has(dirname(numbered))) await dropTablespace(target);
  }
}

/** `<root>/<n>/<oid>`, and `<root>/<n>` when it was the last there. */
async function dropTablespace(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await rmdir(dirname(path)).catch(() => undefined);
}

/** Tablespaces that earlier restores of this member made, and that the server links to no more. */
async function dropUnlinkedTablespaces(data: string): Promise<void> {
  const root = tablespaceRoot(data);
  if (!(await isThere(root))) return;
  const linked = new Set<string>();
  for (const oid of await readdir(join(data, 'pg_tblspc'))) {
    const target = await readlink(join(data, 'pg_tblspc', oid)).catch(() => '');
    if (dirname(dirname(target)) === root) linked.add(basename(dirname(target)));
  }
  for (const name of await readdir(root)) {
    if (/^\d+$/.test(name) && !linked.has(name)) await rm(join(root, name), { recursive: true, force: true });
  }
}

async function forget(data: string): Promise<void> {
  await rm(recordOf(data), { force: true });
  await syncDirectory(dirname(data));
}

export async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Whether renaming it away is impossible because something is mounted there. */
export async function isMountPoint(path: string): Promise<boolean> {
  if (!(await isThere(path))) return false;
  const [inner, outer] = await Promise.all([stat(path), stat(dirname(path))]);
  return inner.dev !== outer.dev;
}

export async function makeParents(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
}

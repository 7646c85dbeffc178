import { readdir, readlink, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isThere } from '../../restore/places.ts';

// New tablespaces lie in <data>.tablespaces/<n>/<oid>, or below a directory that the agent's file names: a fresh
// number for each restore.

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

/** Tablespaces that earlier restores of this member made, and that the server links to no more. */
export async function dropUnlinkedTablespaces(data: string): Promise<void> {
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

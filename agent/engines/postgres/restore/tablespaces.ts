import { readdir, readlink, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { isThere, oldOf } from '../../restore/places.ts';

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

/** Takes away what a restore made, and what is empty then of the numbered directories it stood in. */
export async function removeTablespaces(data: string, made: readonly string[]): Promise<void> {
  for (const path of made) await dropTablespace(path);
  await rmdir(tablespaceRoot(data)).catch(() => undefined);
}

/** What earlier restores of this member made below one of `roots` or beside its data, and nothing links to now. */
export async function dropReplacedTablespaces(data: string, roots: readonly string[]): Promise<void> {
  await dropLinkedFrom(oldOf(data), roots);
  await dropUnlinkedTablespaces(data);
}

async function dropLinkedFrom(old: string, roots: readonly string[]): Promise<void> {
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

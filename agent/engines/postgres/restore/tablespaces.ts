import { basename, dirname, join, resolve } from 'node:path';
import { AnchoredDirectory } from '../../../anchored-directory.ts';
import { beside } from '../../../safe-files.ts';
import { oldOf } from '../../restore/directory-switch.ts';
import { isThere } from '../../../../shared/runtime/is-there.ts';

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
  await beside(tablespaceRoot(data), (directory, name) => directory.removeEmpty(name));
}

/** What earlier restores of this member made below one of `roots` or beside its data, and nothing links to now. */
export async function dropReplacedTablespaces(data: string, roots: readonly string[]): Promise<void> {
  await dropLinkedFrom(oldOf(data), roots);
  await dropUnlinkedTablespaces(data);
}

async function dropLinkedFrom(old: string, roots: readonly string[]): Promise<void> {
  for (const [oid, target] of await linksIn(join(old, 'pg_tblspc')))
    if (/^\d+$/.test(oid) && isMadeByRestore(target, oid, roots)) await dropTablespace(target);
}

/** Whether it lies in a numbered directory of one of `roots`: what is the server's own may lie below the same place. */
export function isMadeByRestore(target: string, name: string, roots: readonly string[]): boolean {
  const numbered = dirname(target);
  return (
    basename(target) === name &&
    /^\d+$/.test(basename(numbered)) &&
    roots.some((root) => dirname(numbered) === resolve(root))
  );
}

/** Oid → where it leads, of every link in a directory; what is none leads nowhere. */
export async function linksIn(path: string): Promise<[string, string][]> {
  const directory = await AnchoredDirectory.openIfThere(path);
  if (directory === null) return [];
  try {
    const links = (await directory.entries()).filter((entry) => entry.isSymbolicLink());
    return await Promise.all(
      links.map(async ({ name }): Promise<[string, string]> => [
        name,
        (await directory.readLink(name)) ?? '',
      ]),
    );
  } finally {
    await directory.close();
  }
}

/** `<root>/<n>/<oid>`, and `<root>/<n>` when it was the last there. */
export async function dropTablespace(path: string): Promise<void> {
  await beside(path, (directory, name) => directory.remove(name));
  await beside(dirname(path), (directory, name) => directory.removeEmpty(name));
}

/** Tablespaces that earlier restores of this member made, and that the server links to no more. */
async function dropUnlinkedTablespaces(data: string): Promise<void> {
  const root = tablespaceRoot(data);
  const directory = await AnchoredDirectory.openIfThere(root);
  if (directory === null) return;
  try {
    const linked = (await linksIn(join(data, 'pg_tblspc'))).map(([, target]) => target);
    const used = new Set(
      linked.filter((target) => dirname(dirname(target)) === root).map((target) => basename(dirname(target))),
    );
    for (const { name } of await directory.entries())
      if (/^\d+$/.test(name) && !used.has(name)) await directory.remove(name);
  } finally {
    await directory.close();
  }
}

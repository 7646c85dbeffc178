import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

export type Tree = Record<string, string>;

/** Names, modes, links and contents of everything in a directory. */
export function treeOf(directory: string): Tree {
  const tree: Tree = { '.': lstatSync(directory).mode.toString(8) };
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(directory, name);
    const status = lstatSync(path);
    const content = status.isSymbolicLink()
      ? readlinkSync(path)
      : status.isDirectory()
        ? 'a directory'
        : readFileSync(path, 'latin1');
    tree[name] = `${status.mode.toString(8)} ${content}`;
  }
  return tree;
}

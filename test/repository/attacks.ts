import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { flipBit, sizeOf } from './directory-lab.ts';

/** One thing that disks, people and enemies do to a file that is stored. */
export interface Attack {
  readonly name: string;
  /** Null: it cannot be done to this file, for example cutting an empty one. */
  readonly strike: (path: string) => void;
  readonly possible: (path: string) => boolean;
}

const GIB = 1024 ** 3;
const always = (): boolean => true;
const hasBytes = (path: string): boolean => sizeOf(path) > 0;

/** Every kind but those that need another file: see `swapFiles` and `copyOver`. */
export const ATTACKS: readonly Attack[] = [
  ...[0, 0.25, 0.5, 0.75, 1].map((part) => ({
    name: `a bit flipped at ${part * 100} % of it`,
    strike: (path: string) => flipBit(path, Math.round((sizeOf(path) - 1) * part)),
    possible: hasBytes,
  })),
  {
    name: 'its last byte cut off',
    strike: (path) => truncateSync(path, sizeOf(path) - 1),
    possible: hasBytes,
  },
  {
    name: 'its second half cut off',
    strike: (path) => truncateSync(path, sizeOf(path) >> 1),
    possible: hasBytes,
  },
  { name: 'all of its bytes gone', strike: (path) => truncateSync(path, 0), possible: hasBytes },
  {
    name: 'zeros in its place',
    strike: (path) => writeFileSync(path, Buffer.alloc(sizeOf(path))),
    possible: hasBytes,
  },
  { name: 'three gibibytes in its place', strike: (path) => truncateSync(path, 3 * GIB), possible: always },
  { name: 'the file removed', strike: (path) => rmSync(path), possible: always },
  {
    name: 'a directory in its place',
    strike: (path) => replace(path, () => mkdirSync(path)),
    possible: always,
  },
  {
    name: 'a link to itself, elsewhere, in its place',
    strike: (path) => {
      copyFileSync(path, `${path}.elsewhere`);
      replace(path, () => symlinkSync(`${path}.elsewhere`, path));
    },
    possible: always,
  },
  {
    name: 'a link to nowhere in its place',
    strike: (path) => replace(path, () => symlinkSync('/nowhere', path)),
    possible: always,
  },
  {
    name: 'a link to endless zeros in its place',
    strike: (path) => replace(path, () => symlinkSync('/dev/zero', path)),
    possible: always,
  },
  {
    name: 'a pipe in its place',
    strike: (path) => replace(path, () => execFileSync('mkfifo', [path])),
    possible: always,
  },
];

function replace(path: string, put: () => void): void {
  rmSync(path);
  put();
}

/** Two files change places. */
export function swapFiles(one: string, other: string): void {
  const kept = `${one}.kept`;
  linkSync(one, kept);
  copyOver(other, one);
  copyOver(kept, other);
  rmSync(kept);
}

/** A file takes another's place, as from an older copy of the disk. */
export function copyOver(from: string, to: string): void {
  rmSync(to, { force: true });
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}

/** Keeps a copy of a whole tree; the function that is returned puts it back as it was. */
export function keepTree(path: string): () => void {
  const kept = `${path}.kept-tree`;
  rmSync(kept, { recursive: true, force: true });
  if (existsSync(path)) cpSync(path, kept, { recursive: true, preserveTimestamps: true });
  return () => {
    rmSync(path, { recursive: true, force: true });
    cpSync(kept, path, { recursive: true, preserveTimestamps: true });
  };
}

import { dirname, join, normalize } from 'node:path';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { AnchoredDirectory } from '../../../anchored-directory.ts';
import type { Owner } from '../../../foreign-files.ts';
import { decodeConfiguration } from '../restore/configuration-text.ts';

/** As the server's own CONF_FILE_MAX_DEPTH. */
const MOST_LEVELS = 10;
const MOST_FILES = 1000;
const INCLUDE =
  /^\s*(include|include_if_exists|include_dir)(?:\s*=\s*|\s+)(?:'([^']+)'|"([^"]+)"|([^\s#'"]+))/gim;

export interface IncludedFiles {
  readonly files: ReadonlySet<string>;
  /** Of `include_dir`. */
  readonly directories: ReadonlySet<string>;
}

/**
 * What files of a data directory include, at any depth, as far as it lies in the same directory: paths relative to it.
 * What cannot be read, or lies behind a link, is passed over.
 */
export async function includedFiles(
  data: AnchoredDirectory,
  roots: readonly string[],
  owner: Owner | null,
): Promise<IncludedFiles> {
  const files = new Set<string>();
  const directories = new Set<string>();
  const visit = async (file: string, level: number): Promise<void> => {
    const text = decodeConfiguration((await readBelow(data, file, owner)) ?? Buffer.alloc(0));
    for (const [, kind = '', ...named] of text.matchAll(INCLUDE)) {
      const path = insideOf(data.path, file, named.find((name) => name !== undefined) ?? '');
      if (path === null) continue;
      const found =
        kind.toLowerCase() === 'include_dir'
          ? (await confFilesIn(data, path)).map((name) => join(path, name))
          : [path];
      if (kind.toLowerCase() === 'include_dir') directories.add(path);
      for (const one of found) {
        if (files.has(one) || roots.includes(one) || files.size >= MOST_FILES || level >= MOST_LEVELS)
          continue;
        files.add(one);
        await visit(one, level + 1);
      }
    }
  };
  for (const root of roots) await visit(root, 0);
  return { files, directories };
}

/** Null where it is not there, or not to be read. */
export async function readBelow(
  data: AnchoredDirectory,
  path: string,
  owner: Owner | null,
): Promise<Buffer | null> {
  return below(data, dirname(path), (directory) =>
    directory.read(path.slice(path.lastIndexOf('/') + 1), owner),
  );
}

async function confFilesIn(data: AnchoredDirectory, path: string): Promise<string[]> {
  const names = await below(data, path, async (directory) =>
    (await directory.entries()).filter((entry) => entry.isFile()).map(({ name }) => name),
  );
  return (names ?? []).filter((name) => name.endsWith('.conf') && !name.startsWith('.')).toSorted();
}

async function below<T>(
  data: AnchoredDirectory,
  path: string,
  work: (directory: AnchoredDirectory) => Promise<T>,
): Promise<T | null> {
  const opened: AnchoredDirectory[] = [];
  try {
    for (const name of path.split('/').filter((part) => part !== '.' && part !== ''))
      opened.push(await (opened.at(-1) ?? data).enter(name));
    return await work(opened.at(-1) ?? data);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (error instanceof StillpointError || ['ENOENT', 'ENOTDIR', 'EACCES'].includes(code)) return null;
    throw error;
  } finally {
    for (const directory of opened) await directory.close();
  }
}

/** Relative to the data directory; null where it lies outside, or is that directory itself. */
function insideOf(data: string, file: string, named: string): string | null {
  const root = data.replace(/\/+$/, '');
  const path = named.startsWith('/')
    ? normalize(named).startsWith(`${root}/`)
      ? normalize(named).slice(root.length + 1)
      : '..'
    : normalize(join(dirname(file), named));
  const plain = path.replace(/\/+$/, '');
  return plain === '' || plain === '.' || plain.split('/').includes('..') ? null : plain;
}

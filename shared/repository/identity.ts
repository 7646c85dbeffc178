import { randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { EXIT, StillpointError } from '../domain/errors.ts';
import { createExclusively, makeDirectories, syncDirectory } from './durable-files.ts';
import type { Layout } from './layout.ts';
import { readError, storageError } from './storage-error.ts';

const identitySchema = z.object({ format: z.literal(1), id: z.uuid() });

/**
 * The id of the repository in this directory. With `create`, it is made where there is no directory or an
 * empty one. Several agents may come at once: one file is created, and all read what it says.
 */
export async function openIdentity(layout: Layout, create: boolean): Promise<string> {
  const found = await readIdentity(layout);
  if (found !== null) return found;
  if (create) {
    await makeRoot(layout.root);
    await refuseForeignFiles(layout);
    await createExclusively(layout.identity(), `${JSON.stringify({ format: 1, id: randomUUID() })}\n`, true);
    const made = await readIdentity(layout);
    if (made !== null) return made;
  }
  throw missing(
    `there is no repository in ${layout.root}`,
    'is it mounted? The first checkpoint makes a repository where there is none',
  );
}

async function makeRoot(root: string): Promise<void> {
  try {
    const made = await makeDirectories(root);
    if (made === undefined) return;
    for (let at = root; at.length >= made.length; at = dirname(at)) await syncDirectory(dirname(at));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST' && code !== 'ENOTDIR') throw storageError(error, root);
    throw missing(`${root} is not a directory`, 'name the directory that holds the repository');
  }
}

/** A directory with something else in it was named by mistake. */
async function refuseForeignFiles(layout: Layout): Promise<void> {
  let names: string[];
  try {
    names = await readdir(layout.root);
  } catch (error) {
    throw readError(error, layout.root);
  }
  const foreign = names.find((name) => !name.startsWith('.') && name !== 'lost+found');
  // Another agent may have made the repository between our first look and now.
  if (foreign === undefined || (await readIdentity(layout)) !== null) return;
  throw missing(
    `there is no repository in ${layout.root}, and it is not empty: it holds ${foreign}`,
    'name an empty directory, or one that does not exist yet',
  );
}

async function readIdentity(layout: Layout): Promise<string | null> {
  const path = layout.identity();
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw readError(error, path);
  }
  try {
    return identitySchema.parse(JSON.parse(text)).id;
  } catch (error) {
    throw new StillpointError(
      {
        code: 'repository-format',
        message: `${path} does not describe a repository that this version knows`,
        hint: 'use the version of stillpoint that made it, or another directory',
      },
      EXIT.usage,
      { cause: error },
    );
  }
}

function missing(message: string, hint: string): StillpointError {
  return new StillpointError({ code: 'repository-missing', message, hint });
}

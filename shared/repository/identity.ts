import { randomUUID } from 'node:crypto';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import * as z from 'zod';
import { EXIT, StillpointError } from '../domain/errors.ts';
import { sha256 } from './digest.ts';
import { createExclusively, makeDirectories, syncDirectory, syncUpTo } from './durable-files.ts';
import type { Layout } from './layout.ts';
import type { Damage } from './repository.ts';
import { missingRepository, readError, storageError } from './storage-error.ts';
import { readStoredFile } from './stored-file.ts';

export const MOST_IDENTITY_BYTES = 4096;

/** The digest is of the id: a flipped bit of an id is an id too. One written by hand, by our own hint, has none. */
const identitySchema = z.strictObject({
  format: z.literal(1),
  id: z.uuid(),
  digest: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
});
const UNREADABLE = new Set(['repository-damaged', 'repository-format']);
const FOREIGN_HINT = 'name an empty directory, or one that does not exist yet';
const otherFormatSchema = z.object({ format: z.number() });

/** The id of the repository in this directory. Makes nothing: an empty directory may be where one is to be mounted. */
export async function readIdentity(layout: Layout): Promise<string> {
  const id = await storedId(layout);
  const names = await namesIn(layout.root);
  const hasGrids = names.includes(basename(layout.grids()));
  if (id !== null && hasGrids) return id;
  if (id !== null) throw unfinished(layout);
  if (hasGrids) throw damaged(layout, 'is missing');
  throw missingRepository(layout.root);
}

/**
 * Makes a repository where there is no directory or an empty one; resolves to the one that is there already.
 * Several may come at once: one file is created, and all read what it says. What a killed one had begun is ended.
 */
export async function makeIdentity(layout: Layout): Promise<{ id: string; made: boolean }> {
  const found = await storedId(layout);
  if (found === null) {
    await makeRoot(layout.root);
    await refuseForeignFiles(layout);
    const id = randomUUID();
    await createExclusively(layout.identity(), identityText({ format: 1, id, digest: sha256(id) }), true);
  }
  await makeGrids(layout);
  const id = await storedId(layout);
  if (id === null) throw damaged(layout, 'is missing');
  return { id, made: found === null };
}

/** Everything else is made below this directory, and this one here alone: so nothing is ever made in a mount point. */
async function makeGrids(layout: Layout): Promise<void> {
  try {
    await mkdir(layout.grids()).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    await syncUpTo(layout.root, [layout.grids()]);
  } catch (error) {
    throw storageError(error, layout.grids());
  }
}

async function makeRoot(root: string): Promise<void> {
  try {
    const made = await makeDirectories(root);
    if (made === undefined) return;
    for (let at = root; at.length >= made.length; at = dirname(at)) await syncDirectory(dirname(at));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST' && code !== 'ENOTDIR') throw storageError(error, root);
    throw new StillpointError(
      { code: 'repository-foreign', message: `${root} is not a directory`, hint: FOREIGN_HINT },
      EXIT.usage,
    );
  }
}

/** Null while the file still says what it said when the repository was opened. */
export async function identityDamage(layout: Layout, id: string): Promise<Damage | null> {
  const file = basename(layout.identity());
  try {
    const found = await storedId(layout);
    if (found === id) return null;
    const cause = found === null ? 'it is missing' : `it is of another repository: ${found}, and not ${id}`;
    return { member: null, file, cause };
  } catch (error) {
    if (!(error instanceof StillpointError) || !UNREADABLE.has(error.failure.code)) throw error;
    return { member: null, file, cause: error.message };
  }
}

/** Else what was named as a repository is a file, or lies below one. */
async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw readError(error, directory);
  }
}

/** A directory with something else in it was named by mistake. */
async function refuseForeignFiles(layout: Layout): Promise<void> {
  const names = await namesIn(layout.root);
  const grids = basename(layout.grids());
  const foreign = names.find((name) => !name.startsWith('.') && name !== 'lost+found' && name !== grids);
  // Another may have made the repository between our first look and now.
  if ((foreign === undefined && !names.includes(grids)) || (await storedId(layout)) !== null) return;
  if (foreign === undefined) throw damaged(layout, 'is missing');
  throw new StillpointError(
    {
      code: 'repository-foreign',
      message: `${layout.root} is no repository, and it is not empty: it holds ${foreign}`,
      hint: FOREIGN_HINT,
    },
    EXIT.usage,
  );
}

/** Null where there is none. */
async function storedId(layout: Layout): Promise<string | null> {
  const path = layout.identity();
  const stored = await readStoredFile(path, MOST_IDENTITY_BYTES);
  if (stored.type === 'missing') return null;
  if (stored.type === 'damaged') {
    if (!(await isDirectory(layout.root))) return null;
    throw damaged(layout, stored.cause);
  }
  const text = stored.bytes.toString();
  const value = parseJson(text);
  const parsed = identitySchema.safeParse(value);
  if (parsed.success) {
    const { id, digest } = parsed.data;
    if (identityText(parsed.data) === text && (digest === undefined || digest === sha256(id))) return id;
    throw damaged(layout, 'does not have its own digest');
  }
  const other = otherFormatSchema.safeParse(value);
  if (!other.success || other.data.format === 1) throw damaged(layout, 'does not name a repository');
  throw new StillpointError(
    {
      code: 'repository-format',
      message: `${path} is of format ${other.data.format}, which this version does not know`,
      hint: 'use the version of stillpoint that made it, or another directory',
    },
    EXIT.usage,
  );
}

function identityText(identity: z.infer<typeof identitySchema>): string {
  return `${JSON.stringify(identity)}\n`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function damaged(layout: Layout, cause: string): StillpointError {
  return new StillpointError(
    {
      code: 'repository-damaged',
      message: `${layout.identity()} ${cause}`,
      hint: `bring it back from a copy; without one, let this line be all that is in it: {"format":1,"id":"${randomUUID()}"} with the id that an agent has in repository.json of its state directory. No checkpoint is hurt by this`,
    },
    EXIT.invalid,
  );
}

function unfinished(layout: Layout): StillpointError {
  return new StillpointError(
    {
      code: 'repository-damaged',
      message: `${layout.grids()} is missing`,
      hint: `bring it back from a copy; where the repository never held a checkpoint: stillpoint repository init --repository ${layout.root}`,
    },
    EXIT.invalid,
  );
}

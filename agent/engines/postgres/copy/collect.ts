import type { Stats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Client } from 'pg';
import { EXIT, failureOf, StillpointError, type Failure } from '../../../../shared/domain/errors.ts';
import { AnchoredDirectory, closing } from '../../../anchored-directory.ts';
import type { Owner } from '../../../foreign-files.ts';
import { beside, within } from '../../../safe-files.ts';
import { ownerOf } from '../../restore/owner.ts';
import type { ArtifactSink } from '../../engine.ts';
import { includedFiles, readBelow } from './included-files.ts';
import type { JournalReceiver } from '../journal/journal-receiver.ts';
import type { PostgresSettings } from '../settings.ts';
import { once } from '../../once.ts';

const HEAD_BYTES = 4096;

/** Reads nothing and keeps nothing of what it is given. */
export const NOWHERE: ArtifactSink = {
  file: () => Promise.resolve({ sizeBytes: 0, digest: '' }),
  directory: () => undefined,
  symlink: () => undefined,
};

/** History files of earlier timelines, as the receiver was given them. */
export async function storeHistories(
  artifacts: ArtifactSink,
  histories: JournalReceiver['histories'],
): Promise<void> {
  for (const { name, content } of histories) {
    await artifacts.file(
      { path: `journal/${name}`, mode: 0o600, mtimeMs: Date.now() },
      once(Buffer.from(content)),
    );
  }
}

/**
 * A file of another user's, such as a key of root's that the server reads as a member of a group, is the server's own
 * after a restore: with the group's right to it PostgreSQL would refuse the key. What all may read stays so.
 */
export function modeAsOwners(mode: number): number {
  if ((mode & 0o004) !== 0) return mode & 0o7777;
  return (mode & 0o7700) | ((mode & 0o040) === 0 ? 0 : 0o400);
}

/** As PEM, which is what a server reads. */
async function isPrivateKey(file: FileHandle): Promise<boolean> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
  return buffer.toString('latin1', 0, bytesRead).includes('PRIVATE KEY-----');
}

/** Configuration outside of the data directory: the n-th directory as `also/<n>/…`. `owner`: the server's user. */
export async function storeDirectories(
  artifacts: ArtifactSink,
  directories: readonly string[],
  owner: Owner | null,
): Promise<void> {
  for (const [index, path] of directories.entries()) {
    const judge = await AnchoredDirectory.open(dirname(path));
    await closing(judge, () =>
      within(path, async (directory) => {
        if (!judge.mayRead(directory.stats, owner)) throw unreadable(path);
        artifacts.directory({ path: `also/${index}`, mode: directory.stats.mode & 0o7777 });
        await storeTree(artifacts, directory, `also/${index}`, { owner, judge });
      }),
    );
  }
}

/** Whose a tree is: what its user could not read itself is no configuration, and a restore would give it to that user. */
interface Reader {
  readonly owner: Owner | null;
  /** The first directory on the way down that its user can write, where there is one. */
  readonly judge: AnchoredDirectory;
}

async function storeTree(
  artifacts: ArtifactSink,
  directory: AnchoredDirectory,
  room: string,
  reader: Reader,
): Promise<void> {
  const judge = reader.judge.isForeign ? reader.judge : directory;
  const mustBeReadable = (stats: Stats, path: string): void => {
    if (!judge.mayRead(stats, reader.owner)) throw unreadable(path);
  };
  for (const entry of await directory.entries()) {
    const path = `${room}/${entry.name}`;
    if (entry.isSymbolicLink()) {
      const target = await directory.readLink(entry.name);
      if (target !== null) artifacts.symlink({ path, target });
    } else if (entry.isDirectory()) {
      const inner = await directory.enter(entry.name).catch(nullIfGone);
      if (inner === null) continue;
      try {
        mustBeReadable(inner.stats, inner.path);
        artifacts.directory({ path, mode: inner.stats.mode & 0o7777 });
        await storeTree(artifacts, inner, path, { owner: reader.owner, judge });
      } finally {
        await inner.close();
      }
    } else if (entry.isFile()) {
      const file = await directory.openFile(entry.name, reader.owner).catch(nullIfGone);
      if (file === null) continue;
      try {
        const stats = await file.stat();
        mustBeReadable(stats, join(directory.path, entry.name));
        const { mtimeMs } = stats;
        const isOthers = reader.owner !== null && stats.uid !== reader.owner.uid;
        const isOthersKey = isOthers && (await isPrivateKey(file));
        const mode = isOthersKey ? modeAsOwners(stats.mode) : stats.mode;
        await artifacts.file({ path, mode: mode & 0o7777, mtimeMs }, file.createReadStream());
      } finally {
        await file.close();
      }
    }
  }
}

/** Files of an editor or a renewed certificate come and go: what is gone before it is read was none of the mark. */
function nullIfGone(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
  throw error;
}

const CONFIGURATION_FILES = ['postgresql.conf', 'postgresql.auto.conf', 'pg_hba.conf', 'pg_ident.conf'];

/**
 * A standby's own configuration, with what it includes, where it lies in its data directory and the agent may read it.
 * A link stays one.
 */
export async function storeConfiguration(
  artifacts: ArtifactSink,
  data: string,
  owner: Owner | null,
): Promise<void> {
  const directory = await AnchoredDirectory.openIfThere(data);
  if (directory === null) return;
  try {
    const isTrap = await beside(data, async (parent) => parent.isTrap(directory.stats));
    if (isTrap === true) throw unreadable(data);
    for (const name of CONFIGURATION_FILES) {
      const path = `config/${name}`;
      const found = await directory.stat(name);
      const target = found?.isSymbolicLink() === true ? await directory.readLink(name) : null;
      if (target !== null) artifacts.symlink({ path, target });
      const bytes = target === null ? await directory.read(name, owner) : null;
      if (bytes !== null) await artifacts.file({ path, mode: 0o600, mtimeMs: Date.now() }, once(bytes));
    }
    const { files, directories } = await includedFiles(directory, CONFIGURATION_FILES, owner);
    for (const path of directories) artifacts.directory({ path: `config/${path}`, mode: 0o700 });
    for (const path of files) {
      const bytes = await readBelow(directory, path, owner);
      if (bytes !== null)
        await artifacts.file({ path: `config/${path}`, mode: 0o600, mtimeMs: Date.now() }, once(bytes));
    }
  } finally {
    await directory.close();
  }
}

/** What is in the way of storing these files, found without storing them. */
export async function findUnstorable(settings: PostgresSettings, isStandby: boolean): Promise<Failure[]> {
  try {
    const owner = await ownerOf(settings);
    if (isStandby) await storeConfiguration(NOWHERE, settings.data, owner);
    await storeDirectories(NOWHERE, settings.also, owner);
    return [];
  } catch (error) {
    return [
      failureOf(error, {
        code: 'also-unreadable',
        hint: 'let the agent read it: it goes with the checkpoint',
      }),
    ];
  }
}

function unreadable(path: string): StillpointError {
  return new StillpointError(
    {
      code: 'unsafe-path',
      message: `${path} cannot be read by the server's user, and would be given to it by a restore`,
      hint: 'let its user or group read it, or move it out of the directories of also',
    },
    EXIT.aborted,
  );
}

export async function readSubscriptions(
  client: Client,
): Promise<{ database: string; name: string; enabled: boolean }[]> {
  const { rows } = await client.query<{ database: string; name: string; enabled: boolean }>(
    `SELECT datname AS database, subname AS name, subenabled AS enabled
       FROM pg_subscription JOIN pg_database ON pg_database.oid = subdbid ORDER BY 1, 2`,
  );
  return rows;
}

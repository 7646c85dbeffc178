import { createReadStream } from 'node:fs';
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';
import type { ArtifactSink } from '../engine.ts';
import type { JournalReceiver } from './journal-receiver.ts';

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

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  if (bytes.byteLength > 0) yield bytes;
}

/** Configuration outside of the data directory: the n-th directory as `also/<n>/…`. */
export async function storeDirectories(
  artifacts: ArtifactSink,
  directories: readonly string[],
): Promise<void> {
  for (const [index, directory] of directories.entries()) {
    const { mode } = await stat(directory);
    artifacts.directory({ path: `also/${index}`, mode: mode & 0o7777 });
    await storeTree(artifacts, directory, `also/${index}`);
  }
}

async function storeTree(artifacts: ArtifactSink, directory: string, room: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const from = join(directory, entry.name);
    const path = `${room}/${entry.name}`;
    if (entry.isSymbolicLink()) {
      artifacts.symlink({ path, target: await readlink(from) });
    } else if (entry.isDirectory()) {
      artifacts.directory({ path, mode: (await stat(from)).mode & 0o7777 });
      await storeTree(artifacts, from, path);
    } else if (entry.isFile()) {
      const { mode, mtimeMs } = await stat(from);
      await artifacts.file({ path, mode: mode & 0o7777, mtimeMs }, createReadStream(from));
    }
  }
}

const CONFIGURATION_FILES = ['postgresql.conf', 'postgresql.auto.conf', 'pg_hba.conf', 'pg_ident.conf'];

/** A standby's own configuration, where it lies in its data directory and the agent may read it. */
export async function storeConfiguration(artifacts: ArtifactSink, data: string): Promise<void> {
  for (const name of CONFIGURATION_FILES) {
    let bytes: Buffer;
    try {
      bytes = await readFile(join(data, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw error;
    }
    await artifacts.file({ path: `config/${name}`, mode: 0o600, mtimeMs: Date.now() }, once(bytes));
  }
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

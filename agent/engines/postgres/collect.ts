import { createReadStream } from 'node:fs';
import { open, readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';
import type { ArtifactSink } from '../engine.ts';
import type { JournalReceiver } from './journal-receiver.ts';
import { segmentName, segmentOf, segmentStart, type Lsn } from './lsn.ts';

const READ_BYTES = 1024 * 1024;

/**
 * Stores every journal file from the start of the base copy to the mark, whole files, with zeros from the
 * mark on: nothing that restores this checkpoint can replay past its mark.
 */
export async function storeJournal(
  artifacts: ArtifactSink,
  receiver: JournalReceiver,
  start: Lsn,
  mark: Lsn,
): Promise<void> {
  const { segmentBytes, timeline, directory } = receiver;
  const last = segmentOf(mark - 1n, segmentBytes);
  for (let segment = segmentOf(start, segmentBytes); segment <= last; segment += 1n) {
    const name = segmentName(segment, timeline, segmentBytes);
    const upTo = Number(mark - segmentStart(segment, segmentBytes));
    const content = cutFile(join(directory, name), Math.min(segmentBytes, upTo), segmentBytes);
    await artifacts.file({ path: `journal/${name}`, mode: 0o600, mtimeMs: Date.now() }, content);
  }
  for (const { name, content } of receiver.histories) {
    await artifacts.file(
      { path: `journal/${name}`, mode: 0o600, mtimeMs: Date.now() },
      once(Buffer.from(content)),
    );
  }
}

/** The first `keep` bytes of the file, then zeros up to `length`. */
async function* cutFile(path: string, keep: number, length: number): AsyncIterable<Uint8Array> {
  const file = await open(path, 'r');
  try {
    for (let at = 0; at < length; at += READ_BYTES) {
      const block = Buffer.alloc(Math.min(READ_BYTES, length - at));
      const wanted = Math.max(0, Math.min(block.length, keep - at));
      let done = 0;
      while (done < wanted) {
        const { bytesRead } = await file.read(block, done, wanted - done, at + done);
        if (bytesRead === 0) throw new Error(`${path} ends at ${at + done}, before the mark at ${keep}`);
        done += bytesRead;
      }
      yield block;
    }
  } finally {
    await file.close();
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

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { fromBufferPromise } from 'yauzl';
import { restoreFrom, saveAll } from '../../../agent/engines/infinispan/restore/jobs.ts';
import { InfinispanServer } from '../../../agent/engines/infinispan/server/infinispan-server.ts';

/** Many entries are had by a restore in less time than by writing each. */

/** `entries` entries in each of these caches of a cluster, which have none; what is written for it lies in `folder`. */
export async function load(
  url: string,
  folder: string,
  caches: readonly string[],
  entries: number,
): Promise<void> {
  const server = new InfinispanServer({ url, container: 'default' });
  const { signal } = new AbortController();
  const [empty, loaded] = [join(folder, 'empty.zip'), join(folder, 'loaded.zip')];
  try {
    await saveAll(server, empty, signal);
    await writeLoaded(await readFile(empty), loaded, caches, entries);
    await restoreFrom(server, loaded, { caches }, signal);
  } finally {
    server.close();
  }
}

/**
 * An archive as the server's own, with `entries` entries in each of these caches, which it has with none. Keys are
 * `key 0`, `key 1`…, of text.
 */
async function writeLoaded(
  archive: Buffer,
  file: string,
  caches: readonly string[],
  entries: number,
): Promise<void> {
  const zip = await fromBufferPromise(archive, {});
  const data = Buffer.concat(Array.from({ length: entries }, (_, index) => entryOf(index)));
  const files: { name: string; bytes: Buffer }[] = [];
  for await (const entry of zip.eachEntry()) {
    if (entry.fileName.endsWith('/')) continue;
    const parts: Buffer[] = [];
    for await (const part of (await zip.openReadStreamPromise(entry)) as AsyncIterable<Buffer>)
      parts.push(part);
    const isLoaded = caches.some((cache) => entry.fileName.endsWith(`/${cache}.dat`));
    files.push({ name: entry.fileName, bytes: isLoaded ? data : Buffer.concat(parts) });
  }
  await writeFile(file, storedZip(files));
}

const IMMORTAL = '1a069801048a0100';

function entryOf(index: number): Buffer {
  return recordOf(`key ${index}`, `value ${index}`);
}

/** An entry as archives have it. `ending`: metadata and times as bytes; else one that lives for ever. */
export function recordOf(key: string, value: string, ending = IMMORTAL): Buffer {
  const text = (tag: number, words: string): Buffer => {
    const bytes = Buffer.from(words);
    return Buffer.concat([Buffer.from([tag, bytes.length]), bytes]);
  };
  const record = Buffer.concat([text(0x0a, key), text(0x12, value), Buffer.from(ending, 'hex')]);
  const length = Buffer.alloc(4);
  length.writeInt32BE(record.length);
  return Buffer.concat([length, record]);
}

/** A zip of files as they are, none compressed. */
export function storedZip(files: readonly { readonly name: string; readonly bytes: Buffer }[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, bytes } of files) {
    const path = Buffer.from(name);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x0800, 2);
    common.writeUInt32LE(crc32(bytes), 10);
    common.writeUInt32LE(bytes.length, 14);
    common.writeUInt32LE(bytes.length, 18);
    common.writeUInt16LE(path.length, 22);
    const head = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, path]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(at, 10);
    const made = Buffer.from([20, 0]);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02', 'latin1'), made, common, rest, path]));
    parts.push(head, bytes);
    at += head.length + bytes.length;
  }
  const entries = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(entries.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, entries, end]);
}

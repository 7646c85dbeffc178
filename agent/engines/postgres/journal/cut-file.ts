import type { FileHandle } from 'node:fs/promises';

const READ_BYTES = 1 << 20;

/**
 * The first `keep` bytes of a file of the journal, then zeros up to `length`: nobody who replays it gets any further.
 * Rejects where the file ends before; `path` is for that message.
 */
export async function* cutFile(
  file: FileHandle,
  { path, keep, length }: { readonly path: string; readonly keep: number; readonly length: number },
): AsyncIterable<Uint8Array> {
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
}

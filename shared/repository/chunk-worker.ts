import { createHash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { ChunkTask, ChunkTaskResult } from './chunk-pool.ts';

/** Hashes and compresses in a thread of its own, so that the event loop is free for the grid. */
const LEVEL = 1;

function perform(task: ChunkTask): { result: ChunkTaskResult; transfer: ArrayBuffer[] } {
  const bytes = Buffer.from(task.bytes.buffer, task.bytes.byteOffset, task.bytes.byteLength);
  if (task.type === 'encode') {
    const digest = sha256(bytes);
    const packed = zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: LEVEL } });
    const smaller = packed.byteLength < bytes.byteLength;
    const stored = smaller ? packed : bytes;
    const storedDigest = smaller ? sha256(packed) : digest;
    // A buffer of its own: pooled memory cannot be transferred.
    const out = new Uint8Array(stored);
    return {
      result: { type: 'encoded', digest, stored: out, storedDigest, codec: smaller ? 'zstd' : 'none' },
      transfer: [out.buffer],
    };
  }
  const { reference } = task;
  if (bytes.byteLength !== reference.storedBytes)
    return damaged(`is ${bytes.byteLength} bytes long, not ${reference.storedBytes}`);
  if (sha256(bytes) !== reference.storedDigest)
    return damaged('does not have the digest of its stored bytes');
  let plain: Buffer;
  try {
    plain =
      reference.codec === 'zstd'
        ? zstdDecompressSync(bytes, { maxOutputLength: reference.sizeBytes })
        : bytes;
  } catch (error) {
    return damaged(`cannot be decompressed: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (plain.byteLength !== reference.sizeBytes || sha256(plain) !== reference.digest)
    return damaged('does not have the digest of its content');
  const out = new Uint8Array(plain);
  return { result: { type: 'decoded', plain: out }, transfer: [out.buffer] };
}

function damaged(cause: string): { result: ChunkTaskResult; transfer: ArrayBuffer[] } {
  return { result: { type: 'damaged', cause }, transfer: [] };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

parentPort?.on('message', ({ id, task }: { id: number; task: ChunkTask }) => {
  try {
    const { result, transfer } = perform(task);
    parentPort?.postMessage({ id, result }, transfer);
  } catch (error) {
    parentPort?.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
  }
});

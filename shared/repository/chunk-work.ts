import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { assertNever } from '../domain/assert-never.ts';
import type { ChunkTask, ChunkTaskResult } from './chunk-tasks.ts';
import { sha256 } from './digest.ts';

const LEVEL = 1;
/** The default is a quarter of this, and costs a quarter more for what does not compress. */
const OUTPUT_STEP_BYTES = 256 * 1024;

export interface Performed {
  readonly result: ChunkTaskResult;
  readonly transfer: readonly Uint8Array<ArrayBuffer>[];
}

/** Does what is asked, in whatever thread calls. `transfer` is what can be moved to another one with the result. */
export function performTask(task: ChunkTask): Performed {
  switch (task.type) {
    case 'digest':
      return moved({ type: 'digested', digest: sha256(task.plain), plain: task.plain }, task.plain);
    case 'compress':
      return compress(task);
    case 'examine':
      return examine(task);
    case 'decode':
      return decode(task);
    default:
      return assertNever(task);
  }
}

function compress({ plain, digest }: Extract<ChunkTask, { type: 'compress' }>): Performed {
  const packed = smallerOrNull(plain);
  if (packed === null) return moved({ type: 'compressed', plain, packed, storedDigest: digest }, plain);
  return moved({ type: 'compressed', plain, packed, storedDigest: sha256(packed) }, plain, packed);
}

function smallerOrNull(plain: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | null {
  try {
    const packed = zstdCompressSync(plain, {
      params: { [constants.ZSTD_c_compressionLevel]: LEVEL },
      chunkSize: Math.min(OUTPUT_STEP_BYTES, Math.max(1024, plain.byteLength)),
      // As soon as it would not be smaller there is no use in going on.
      maxOutputLength: Math.max(1, plain.byteLength - 1),
    });
    return ownBuffer(packed);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return null;
    throw error;
  }
}

/** What is stored may come from another version that compressed it differently: what counts is the content. */
function examine({ stored, digest, sizeBytes }: Extract<ChunkTask, { type: 'examine' }>): Performed {
  const storedDigest = sha256(stored);
  if (storedDigest === digest && stored.byteLength === sizeBytes) {
    return moved({ type: 'examined', storedDigest, codec: 'none' });
  }
  const plain = decompress(stored, sizeBytes);
  if (typeof plain === 'string') return damaged(plain);
  if (plain.byteLength !== sizeBytes || sha256(plain) !== digest) return damaged('holds other content');
  return moved({ type: 'examined', storedDigest, codec: 'zstd' });
}

function decode({ stored, reference }: Extract<ChunkTask, { type: 'decode' }>): Performed {
  if (stored.byteLength !== reference.storedBytes) {
    return damaged(`is ${stored.byteLength} bytes long, not ${reference.storedBytes}`);
  }
  const storedDigest = sha256(stored);
  if (storedDigest !== reference.storedDigest) return damaged('does not have the digest of its stored bytes');
  const plain = reference.codec === 'zstd' ? decompress(stored, reference.sizeBytes) : stored;
  if (typeof plain === 'string') return damaged(plain);
  const digest = plain === stored ? storedDigest : sha256(plain);
  if (plain.byteLength !== reference.sizeBytes || digest !== reference.digest) {
    return damaged('does not have the digest of its content');
  }
  const own = ownBuffer(plain);
  return moved({ type: 'decoded', plain: own }, own);
}

/** A text says what is wrong. */
function decompress(stored: Uint8Array, sizeBytes: number): Uint8Array<ArrayBuffer> | string {
  try {
    // The limit keeps a damaged frame from filling the memory; zlib takes no limit of zero.
    return zstdDecompressSync(stored, { maxOutputLength: Math.max(1, sizeBytes) });
  } catch (error) {
    return `cannot be decompressed: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function moved(result: ChunkTaskResult, ...transfer: Uint8Array<ArrayBuffer>[]): Performed {
  return { result, transfer };
}

function damaged(cause: string): Performed {
  return { result: { type: 'damaged', cause }, transfer: [] };
}

/** Memory that is shared with other buffers (Node's pool) cannot be handed to another thread. */
function ownBuffer(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const whole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength;
  return whole ? bytes : new Uint8Array(bytes);
}

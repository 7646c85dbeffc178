import type { ChunkReference } from '../domain/manifest.ts';

/** What the chunk threads are asked to do. Bytes are handed over: the sender does not have them any more. */
export type ChunkTask =
  /** Gives the bytes back with their digest. */
  | { readonly type: 'digest'; readonly plain: Uint8Array<ArrayBuffer> }
  /** Compresses, where that makes it smaller, and gives the plain bytes back. */
  | { readonly type: 'compress'; readonly plain: Uint8Array<ArrayBuffer>; readonly digest: string }
  /** Do these stored bytes, whatever their codec, hold the content with this digest? */
  | {
      readonly type: 'examine';
      readonly stored: Uint8Array<ArrayBuffer>;
      readonly digest: string;
      readonly sizeBytes: number;
    }
  /** The content, if every digest of the reference fits. */
  | {
      readonly type: 'decode';
      readonly stored: Uint8Array<ArrayBuffer>;
      readonly reference: ChunkReference;
    };

export type ChunkTaskResult =
  | { readonly type: 'digested'; readonly digest: string; readonly plain: Uint8Array<ArrayBuffer> }
  | {
      readonly type: 'compressed';
      readonly plain: Uint8Array<ArrayBuffer>;
      /** Null where it is not smaller: then the plain bytes are what to store. */
      readonly packed: Uint8Array<ArrayBuffer> | null;
      readonly storedDigest: string;
    }
  | { readonly type: 'examined'; readonly storedDigest: string; readonly codec: 'zstd' | 'none' }
  | { readonly type: 'decoded'; readonly plain: Uint8Array<ArrayBuffer> }
  /** Reads on after the name of the chunk: `is 7 bytes long, not 9`. */
  | { readonly type: 'damaged'; readonly cause: string };

/** Which results a task can have. */
export interface ResultsOf {
  readonly digest: Extract<ChunkTaskResult, { type: 'digested' }>;
  readonly compress: Extract<ChunkTaskResult, { type: 'compressed' }>;
  readonly examine: Extract<ChunkTaskResult, { type: 'examined' | 'damaged' }>;
  readonly decode: Extract<ChunkTaskResult, { type: 'decoded' | 'damaged' }>;
}

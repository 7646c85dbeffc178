import type { BlockBuffers } from './block-buffers.ts';

export interface Block {
  /** In a buffer of its own, so that it can be handed to another thread. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly isLast: boolean;
}

/**
 * Cuts a stream into blocks of one size; only the last may be smaller. No block when there are no bytes. A
 * full block is given out when it is known whether more follows, that is, with the next byte or the end.
 */
export async function* blocksOf(
  content: AsyncIterable<Uint8Array>,
  buffers: BlockBuffers,
): AsyncGenerator<Block, void, void> {
  const { blockBytes } = buffers;
  let parts: Uint8Array[] = [];
  let heldBytes = 0;
  for await (const piece of content) {
    let rest = piece;
    while (rest.byteLength > 0) {
      if (heldBytes === blockBytes) {
        yield { bytes: joined(parts, heldBytes, buffers), isLast: false };
        parts = [];
        heldBytes = 0;
      }
      const taken = rest.subarray(0, blockBytes - heldBytes);
      parts.push(taken);
      heldBytes += taken.byteLength;
      rest = rest.subarray(taken.byteLength);
    }
  }
  if (heldBytes > 0) yield { bytes: joined(parts, heldBytes, buffers), isLast: true };
}

function joined(
  parts: readonly Uint8Array[],
  length: number,
  buffers: BlockBuffers,
): Uint8Array<ArrayBuffer> {
  const block = length === buffers.blockBytes ? buffers.take() : new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    block.set(part, at);
    at += part.byteLength;
  }
  return block;
}

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

/**
 * Buffers of one size, used again and again. New ones for every block would be paid for twice: the kernel
 * clears their pages, and memory outside the heap drives the garbage collector of every thread.
 */
export class BlockBuffers {
  readonly blockBytes: number;
  readonly #most: number;
  #free: Uint8Array<ArrayBuffer>[] = [];

  constructor(blockBytes: number, most: number) {
    this.blockBytes = blockBytes;
    this.#most = most;
  }

  /** Its content is whatever the last user left. */
  take(): Uint8Array<ArrayBuffer> {
    return this.#free.pop() ?? new Uint8Array(this.blockBytes);
  }

  /** Only by who will not touch it again. Buffers of another size are let go. */
  giveBack(bytes: Uint8Array<ArrayBuffer>): void {
    const isBlock = bytes.byteLength === this.blockBytes && bytes.buffer.byteLength === this.blockBytes;
    if (isBlock && this.#free.length < this.#most) this.#free.push(bytes);
  }

  clear(): void {
    this.#free = [];
  }
}

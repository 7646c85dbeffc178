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

import { constants, fstatSync, openSync } from 'node:fs';
import { Socket } from 'node:net';

export type OutputDescriptor = 1 | 2;

/**
 * stdout or stderr for a process that must never wait for who reads it: a pipe that is full and that nobody reads (a
 * logging driver that hangs, a pager) would stop it in the middle of a freeze, and one that was closed (`| head -1`)
 * would end it. What can be written is written at once, before `write` returns; the rest waits in memory.
 */
export class UnblockedStream {
  static readonly #known = new Map<OutputDescriptor, UnblockedStream | null>();
  readonly #socket: Socket;
  readonly #mostWaitingBytes: number;
  #dropped = 0;

  private constructor(fd: number, mostWaitingBytes: number) {
    this.#mostWaitingBytes = mostWaitingBytes;
    this.#socket = new Socket({ fd, readable: false, writable: true });
    // Whoever read it is gone: there is nobody to tell.
    this.#socket.on('error', () => undefined);
    this.#socket.unref();
  }

  /**
   * The same one for all of this process that write there; null where it is a file or a terminal, which do not fill up
   * like that. Beyond `mostWaitingBytes` that nobody has read new lines are dropped, and counted.
   */
  static of(fd: OutputDescriptor, mostWaitingBytes: number): UnblockedStream | null {
    const known = UnblockedStream.#known.get(fd);
    if (known !== undefined) return known;
    const writer = ownWriter(fd);
    const stream = writer === null ? null : new UnblockedStream(writer, mostWaitingBytes);
    UnblockedStream.#known.set(fd, stream);
    return stream;
  }

  write(text: string): void {
    if (this.#socket.writableLength + text.length > this.#mostWaitingBytes) {
      this.#dropped += 1;
      return;
    }
    if (this.#dropped > 0)
      this.#socket.write(
        `{"level":40,"msg":"${this.#dropped} lines of the log were dropped: nobody read them"}\n`,
      );
    this.#dropped = 0;
    if (!this.#socket.destroyed) this.#socket.write(text);
  }

  /** Resolves when all of it was taken, or who read it is gone; never where it is kept open and not read. */
  taken(): Promise<void> {
    if (this.#socket.destroyed || this.#socket.writableLength === 0) return Promise.resolve();
    this.#socket.ref();
    return new Promise((resolve) => {
      this.#socket.once('close', () => resolve());
      this.#socket.write('', () => resolve());
    });
  }
}

/** A pipe is opened once more, so that not waiting is our affair alone and not that of others that write to it. */
function ownWriter(fd: OutputDescriptor): number | null {
  try {
    const stat = fstatSync(fd);
    if (stat.isFIFO()) return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
    return stat.isSocket() ? fd : null;
  } catch {
    return null;
  }
}

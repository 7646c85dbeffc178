import { constants, fstatSync, openSync } from 'node:fs';
import { Socket } from 'node:net';

const STDERR = 2;
/** Lines that wait for somebody to read them; beyond it new ones are dropped, and counted. */
const MOST_WAITING_BYTES = 4 * 1024 * 1024;

/** Where a log writes its lines, as pino has it. */
export interface LineStream {
  write(line: string): void;
}

/**
 * stderr for a process that must never wait for who reads its log: a pipe that is full and that nobody reads (a
 * logging driver that hangs) would stop it in the middle of a freeze. What can be written is written at once, before
 * `write` returns; the rest waits in memory. Null where stderr is a file or a terminal, which do not fill up like that.
 */
export function unblockedStderr(): LineStream | null {
  const fd = ownWriter();
  if (fd === null) return null;
  const socket = new Socket({ fd, readable: false, writable: true });
  // Whoever read it is gone: there is nobody to tell.
  socket.on('error', () => undefined);
  socket.unref();
  let dropped = 0;
  return {
    write(line) {
      if (socket.writableLength + line.length > MOST_WAITING_BYTES) {
        dropped += 1;
        return;
      }
      if (dropped > 0)
        socket.write(`{"level":40,"msg":"${dropped} lines of the log were dropped: nobody read them"}\n`);
      dropped = 0;
      if (!socket.destroyed) socket.write(line);
    },
  };
}

/** A pipe is opened once more, so that not waiting is our affair alone and not that of others that write to it. */
function ownWriter(): number | null {
  try {
    const stat = fstatSync(STDERR);
    if (stat.isFIFO()) return openSync(`/proc/self/fd/${STDERR}`, constants.O_WRONLY | constants.O_NONBLOCK);
    return stat.isSocket() ? STDERR : null;
  } catch {
    return null;
  }
}

import { UnblockedStream, type OutputDescriptor } from '../shared/runtime/unblocked-stream.ts';

/** Of progress and errors: more than that is not read by anybody any more. */
const MOST_STDERR_BYTES = 4 * 1024 * 1024;
const STDERR_MS = 2000;

export interface Words {
  write(text: string): void;
  /** Resolves when all of it was taken, or nobody is there to take it. */
  taken(): Promise<void>;
}

/** The result of a command. All of it comes, however large, at the pace of who reads it. */
export const stdout: Words = wordsTo(1, Infinity, () => process.stdout);
/** Progress and errors. The operation goes on, whoever reads them and for how long. */
export const stderr: Words = wordsTo(2, MOST_STDERR_BYTES, () => process.stderr);

/** Resolves when the result was taken; who does not read stderr is not waited for. */
export async function wordsAreTaken(): Promise<void> {
  await stdout.taken();
  const late = new Promise<void>((resolve) => setTimeout(resolve, STDERR_MS).unref());
  await Promise.race([stderr.taken(), late]);
}

function wordsTo(
  fd: OutputDescriptor,
  mostWaitingBytes: number,
  otherwise: () => NodeJS.WriteStream & { fd: number },
): Words {
  const unblocked = UnblockedStream.of(fd, mostWaitingBytes);
  if (unblocked !== null) return unblocked;
  const stream = otherwise();
  // A terminal that was closed, a disk that is full: the exit code is what is left to tell.
  stream.on('error', () => undefined);
  return {
    write: (text) => void stream.write(text),
    taken: () => new Promise((resolve) => stream.write('', () => resolve())),
  };
}

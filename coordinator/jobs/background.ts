import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { EXIT, failureOf, StillpointError, type ExitCode, type Failure } from '../../shared/domain/errors.ts';
import type { HeldGrid } from './hold-report.ts';

/** Set in the environment of the process that goes on. */
export const IN_BACKGROUND = 'STILLPOINT_IN_BACKGROUND';

type Message =
  | { readonly type: 'held'; readonly held: HeldGrid }
  | { readonly type: 'failed'; readonly failure: Failure; readonly exitCode: ExitCode };

export function isInBackground(): boolean {
  return process.env[IN_BACKGROUND] !== undefined && process.send !== undefined;
}

/**
 * The same command line, in a process of its own that goes on when this one has ended. Resolves when that holds the grid;
 * rejects with its failure where it never does. All that it says goes to the file.
 */
export async function goOnInBackground(
  log: string,
  words: { readonly signal: AbortSignal; readonly letGo: AbortSignal },
): Promise<HeldGrid & { readonly pid: number; readonly log: string }> {
  const file = await open(log, 'a', 0o600).catch((error: unknown) => {
    throw notWritable(log, error);
  });
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    detached: true,
    stdio: ['ignore', file.fd, file.fd, 'ipc'],
    env: { ...process.env, [IN_BACKGROUND]: '1' },
  });
  await file.close();
  const stop = (): void => void child.kill('SIGINT');
  for (const word of [words.signal, words.letGo]) word.addEventListener('abort', stop, { once: true });
  const { promise, resolve, reject } = Promise.withResolvers<HeldGrid>();
  let failed: Extract<Message, { type: 'failed' }> | null = null;
  child.on('message', (message: Message) => {
    if (message.type === 'held') resolve(message.held);
    else failed = message;
  });
  child.once('error', reject);
  // Not at its exit: its last word may be on the way then.
  child.once('close', (code) =>
    reject(failed === null ? endedUnheld(log, code) : new StillpointError(failed.failure, failed.exitCode)),
  );
  const held = await promise;
  child.disconnect();
  child.unref();
  return { ...held, pid: child.pid ?? 0, log };
}

let isToldHeld = false;

/** In that process: whoever began it and is gone before it holds knows of no job. Then nobody is to be held. */
export function endWithForeground(): void {
  if (!isInBackground()) return;
  process.once('disconnect', () => {
    if (!isToldHeld) process.kill(process.pid, 'SIGINT');
  });
}

/** In that process: what it was begun for is there, or will not be. */
export function tellForeground(message: Message): void {
  if (!isInBackground() || !process.connected) return;
  isToldHeld = message.type === 'held';
  process.send?.(message);
}

export function tellFailed(error: unknown): void {
  const failure = failureOf(error, { code: 'internal', hint: 'see the file of --background' });
  tellForeground({
    type: 'failed',
    failure,
    exitCode: error instanceof StillpointError ? error.exitCode : EXIT.usage,
  });
}

function endedUnheld(log: string, code: number | null): StillpointError {
  return new StillpointError(
    {
      code: 'job-failed',
      message: `the process in the background ended before the grid was held (exit code ${code ?? 'unknown'})`,
      hint: `see ${log}; agents let go of what it had begun`,
    },
    EXIT.aborted,
  );
}

function notWritable(log: string, error: unknown): StillpointError {
  return new StillpointError({
    code: 'log-unwritable',
    message: `${log} cannot be written: ${error instanceof Error ? error.message : String(error)}`,
    hint: 'name a file in a directory that is there and can be written to: --background FILE',
  });
}

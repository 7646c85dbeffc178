import { spawn } from 'node:child_process';
import type { Answer } from '../../shared/domain/wire.ts';

const MOST_BYTES = 64 * 1024;
const LAST_WORDS_MS = 1000;

/**
 * Runs a check of the operator's on this host: an argument list and no shell. Resolves with what it wrote to stdout, and
 * with why it failed; it and all that it started are ended when its time is over, or the drill is.
 */
export function runCommand(input: {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly limitMs: number;
  readonly signal: AbortSignal;
}): Promise<Omit<Answer, 'name'>> {
  const [program = '', ...given] = input.command;
  const startedAt = performance.now();
  return new Promise((resolve) => {
    const child = spawn(program, given, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...input.env },
      detached: true,
    });
    const said = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const)
      child[name].on('data', (bytes: Buffer) => {
        said[name] = (said[name] + bytes.toString()).slice(0, MOST_BYTES);
      });
    let why = '';
    const stop = (cause: string): void => {
      why ||= cause;
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    };
    const timer = setTimeout(() => stop(`it did not end in ${input.limitMs / 1000} s`), input.limitMs);
    const interrupted = (): void => stop('the drill was interrupted');
    if (input.signal.aborted) interrupted();
    input.signal.addEventListener('abort', interrupted, { once: true });
    const end = (error: string): void => {
      clearTimeout(timer);
      input.signal.removeEventListener('abort', interrupted);
      // What it started may live on, and hold its output open.
      stop('');
      for (const stream of [child.stdout, child.stderr]) stream.destroy();
      resolve({ text: said.stdout, error: why || error, durationMs: performance.now() - startedAt });
    };
    child.once('error', (error) => end(error.message));
    child.once('exit', (code, signal) => {
      const tell = (): void => {
        clearTimeout(late);
        child.off('close', tell);
        const words = said.stderr.trim().split('\n').at(-1) ?? '';
        const ended = signal === null ? `exit code ${code ?? 'unknown'}` : signal;
        end(code === 0 ? '' : `${ended}${words === '' ? '' : `: ${words}`}`);
      };
      // Its last words may still be in the pipe, which what it started may hold open.
      const late = setTimeout(tell, LAST_WORDS_MS);
      child.once('close', tell);
    });
  });
}

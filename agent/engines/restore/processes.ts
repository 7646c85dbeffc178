import { spawn, type ChildProcess } from 'node:child_process';
import { connect } from 'node:net';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { hostPort } from '../../address.ts';
import type { Owner } from '../../anchored-directory.ts';
import { commandAs } from './run-as.ts';

const PROBE_MS = 1000;
/** An operator's command starts or stops a process, and ends. */
const COMMAND_MS = 90_000;
/** After a cancellation: a half-done start or stop is worse than a finished one. */
const GRACE_MS = 10_000;
const KILL_MS = 5000;

/**
 * Runs an operator's command, or a program of the engine: as the agent's own user, or as another (run-as.ts).
 * Resolves when it ended well. A command that does not end, because it runs the process itself in its foreground, is
 * ended with all that it has begun: `command-hangs`.
 */
export async function runCommand(
  member: string,
  command: readonly string[],
  user: Owner | null,
  signal: AbortSignal,
  limitMs = COMMAND_MS,
): Promise<void> {
  const [asked = ''] = command;
  const { program, args, env } = await commandAs(user, command);
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    // In a group of its own, so that what it has begun can be ended with it.
    const child = spawn(program, args, {
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe'],
      env,
      detached: true,
    });
    let said = '';
    child.stderr.on('data', (bytes: Buffer) => {
      said = (said + bytes.toString()).slice(-1000);
    });
    let outOfTime = false;
    const end = (): void => {
      outOfTime = true;
      endGroup(child, 'SIGTERM');
      kill = setTimeout(() => endGroup(child, 'SIGKILL'), KILL_MS);
    };
    let kill: NodeJS.Timeout | undefined;
    let limit = setTimeout(end, limitMs);
    const hurry = (): void => {
      clearTimeout(limit);
      limit = setTimeout(end, Math.min(GRACE_MS, limitMs));
    };
    signal.addEventListener('abort', hurry, { once: true });
    const settle = (): void => {
      clearTimeout(limit);
      clearTimeout(kill);
      signal.removeEventListener('abort', hurry);
    };
    child.once('error', (error) => {
      settle();
      reject(commandFailed(member, asked, error.message));
    });
    child.once('exit', (code) => {
      settle();
      // A server that inherited our pipe would keep it open.
      child.stderr.destroy();
      if (outOfTime) reject(signal.aborted ? (signal.reason as Error) : commandHangs(member, asked, limitMs));
      else if (code === 0) resolve();
      else reject(commandFailed(member, asked, `it ended with ${code ?? 'a signal'}: ${said.trim()}`));
    });
  });
}

function endGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It is gone.
  }
}

function commandFailed(member: string, program: string, why: string): StillpointError {
  return new StillpointError({
    code: 'command-failed',
    message: `${program} of ${member} failed: ${why}`,
    hint: 'try the command by hand, as the user that the agent file names',
  });
}

function commandHangs(member: string, program: string, limitMs: number): StillpointError {
  return new StillpointError({
    code: 'command-hangs',
    message: `${program} of ${member} did not return in ${limitMs / 1000} s, and was ended`,
    hint: 'a command of `run` starts or stops the process and ends; let a service manager run it in the foreground',
  });
}

/** Whether anything takes a connection at `host:port`. */
export function answers(address: string): Promise<boolean> {
  const { host, port } = hostPort(address);
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: PROBE_MS });
    const settle = (result: boolean) => (): void => {
      socket.destroy();
      resolve(result);
    };
    socket.once('connect', settle(true));
    socket.once('error', settle(false));
    socket.once('timeout', settle(false));
  });
}

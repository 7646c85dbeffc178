import { spawn, type ChildProcess } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { hostPort } from '../../address.ts';
import type { Owner } from '../../foreign-files.ts';
import { commandAs } from './run-as.ts';

const PROBE_MS = 1000;
/** An operator's command starts or stops a process, and ends. */
const COMMAND_MS = 90_000;
/** After a cancellation: a half-done start or stop is worse than a finished one. */
const GRACE_MS = 10_000;
const KILL_MS = 5000;
const LOOK_EVERY_MS = 200;

interface Running {
  /** As whom; null: as the agent. */
  readonly user: Owner | null;
  readonly signal: AbortSignal;
  readonly limitMs?: number;
  /** What the command is for. When it is reached nobody waits for the command, which may never end. */
  readonly goal?: {
    isReached(): Promise<boolean>;
    /** What then becomes of the command: a start may be the process itself. */
    readonly afterwards: 'leave' | 'endAtLimit';
  };
  /** To the environment of the command, and of all that it begins. */
  readonly env?: Readonly<Record<string, string>>;
}

/** The end of what the command, and what it has begun, wrote to stderr until now. */
export type Said = () => string;

/**
 * Runs an operator's command, or a program of the engine: as the agent's own user, or as another (run-as.ts).
 * Resolves when it ended well, or has reached its goal. One that does neither is ended with all that it has begun:
 * `command-hangs`.
 */
export async function runCommand(
  member: string,
  command: readonly string[],
  { user, signal, limitMs = COMMAND_MS, goal, env: added }: Running,
): Promise<Said> {
  const [asked = ''] = command;
  const { program, args, env } = await commandAs(user, command);
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    // In a group of its own, so that what it has begun can be ended with it.
    const child = spawn(program, args, {
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...env, ...added },
      detached: true,
    });
    let said = '';
    // Read for as long as anybody writes: who writes to a pipe that nobody has open is killed by it.
    child.stderr.on('data', (bytes: Buffer) => {
      said = (said + bytes.toString()).slice(-1000);
    });
    const tail: Said = () => said.trim();
    let outOfTime = false;
    let kill: NodeJS.Timeout | undefined;
    const end = (): void => {
      outOfTime = true;
      endGroup(child, 'SIGTERM');
      kill = setTimeout(() => endGroup(child, 'SIGKILL'), KILL_MS);
    };
    let limit = setTimeout(end, limitMs);
    const hurry = (): void => {
      clearTimeout(limit);
      limit = setTimeout(end, Math.min(GRACE_MS, limitMs));
    };
    signal.addEventListener('abort', hurry, { once: true });
    const settle = (): void => {
      goalWatch.stop();
      clearTimeout(limit);
      clearTimeout(kill);
      signal.removeEventListener('abort', hurry);
      unref(child);
    };
    const goalWatch = watch(goal, () => {
      signal.removeEventListener('abort', hurry);
      if (goal?.afterwards === 'leave') clearTimeout(limit);
      else limit.unref();
      unref(child);
      resolve(tail);
    });
    child.once('error', (error) => {
      settle();
      reject(commandFailed(member, asked, error.message));
    });
    child.once('exit', (code) => {
      settle();
      if (outOfTime)
        reject(signal.aborted ? (signal.reason as Error) : commandHangs(member, asked, limitMs, tail()));
      else if (code === 0) resolve(tail);
      else reject(commandFailed(member, asked, `it ended with ${code ?? 'a signal'}: ${tail()}`));
    });
  });
}

/** Looks again and again, one look at a time; a look that fails says nothing. */
function watch(goal: Running['goal'], reached: () => void): { stop(): void } {
  let stopped = goal === undefined;
  const look = async (): Promise<void> => {
    const isReached = (await goal?.isReached().catch(() => false)) === true;
    if (stopped) return;
    if (isReached) {
      stopped = true;
      reached();
    } else timer = setTimeout(() => void look(), LOOK_EVERY_MS);
  };
  let timer = stopped ? undefined : setTimeout(() => void look(), LOOK_EVERY_MS);
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/** The agent may end before it does. */
function unref(child: ChildProcess): void {
  child.unref();
  (child.stderr as Socket | null)?.unref();
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

function commandHangs(member: string, program: string, limitMs: number, said: string): StillpointError {
  return new StillpointError({
    code: 'command-hangs',
    message: `${program} of ${member} did not return in ${limitMs / 1000} s, and was ended${said === '' ? '' : `; it said: ${said}`}`,
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

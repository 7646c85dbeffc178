import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { hostPort } from '../member-schema.ts';
import type { Owner } from '../../anchored-directory.ts';
import { commandAs } from './run-as.ts';

const PROBE_MS = 1000;

/**
 * Runs an operator's command, or a program of the engine: as the agent's own user, or as another (run-as.ts).
 * Resolves when it ended well.
 */
export async function runCommand(
  member: string,
  command: readonly string[],
  user: Owner | null,
  signal: AbortSignal,
): Promise<void> {
  const [asked = ''] = command;
  const { program, args, env } = await commandAs(user, command);
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    // Not killed by the signal: a half-done start or stop is worse than a finished one.
    const child = spawn(program, args, { cwd: '/', stdio: ['ignore', 'ignore', 'pipe'], env });
    let said = '';
    child.stderr.on('data', (bytes: Buffer) => {
      said = (said + bytes.toString()).slice(-1000);
    });
    child.once('error', (error) => reject(commandFailed(member, asked, error.message)));
    child.once('exit', (code) => {
      // A server that inherited our pipe would keep it open.
      child.stderr.destroy();
      if (code === 0) resolve();
      else reject(commandFailed(member, asked, `it ended with ${code ?? 'a signal'}: ${said.trim()}`));
    });
  });
}

function commandFailed(member: string, program: string, why: string): StillpointError {
  return new StillpointError({
    code: 'command-failed',
    message: `${program} of ${member} failed: ${why}`,
    hint: 'try the command by hand, as the user that the agent file names',
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

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { jsonLines, type FromGuard, type ToGuard } from './messages.ts';

/** A guard as its agent has it: what is said to it, and what becomes of it. */
export interface GuardProcess {
  /** Without effect once it is gone, or has been left. */
  say(message: ToGuard): void;
  /** Closes its pipe: it undoes what it still watches, for as long as that takes, and goes. */
  hangUp(): void;
  kill(): void;
  /** Resolves when it is gone, or could not be started. */
  readonly gone: Promise<void>;
}

/** Starts one; `heard` is given what it says. */
export type StartGuard = (operation: string, heard: (message: FromGuard) => void) => GuardProcess;

/** A process of its own, with the agent's file. */
export function guardStarter(configuration: string): StartGuard {
  return (operation, heard) => {
    const program = fileURLToPath(
      new URL(`./main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
    );
    // Detached: a signal to the agent's process group must not take the guard with it.
    const child = spawn(process.execPath, [program, configuration, operation], {
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
    });
    child.stdin.on('error', () => undefined);
    const listen = async (): Promise<void> => {
      for await (const message of jsonLines<FromGuard>(child.stdout)) heard(message);
    };
    void listen();
    return {
      say: (message) => {
        if (child.stdin.writable) child.stdin.write(`${JSON.stringify(message)}\n`);
      },
      hangUp: () => void child.stdin.end(),
      kill: () => void child.kill('SIGKILL'),
      gone: new Promise((resolve) => {
        child.once('error', () => resolve());
        child.once('exit', () => resolve());
      }),
    };
  };
}

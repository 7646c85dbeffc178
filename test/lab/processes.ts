import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { programFile, ROOT } from './programs.ts';

/** Every process that the lab started and that may still live; ended when this process ends. */
const alive = new Set<ChildProcess>();

process.once('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout as JSON; throws where it is none. */
  readonly json: unknown;
}

export interface RunningCommand {
  readonly pid: number;
  readonly finished: Promise<Finished>;
  signal(signal: NodeJS.Signals): void;
  /** What it wrote so far. */
  stdout(): string;
  stderr(): string;
  /** Called with all of stderr whenever there is more of it. */
  onStderr(listener: (all: string) => void): void;
}

export { ROOT };

/** Where each program lies: in the sources, where they were built, or where a package was installed. */
export type Programs = Readonly<Record<'coordinator/main.ts' | 'agent/main.ts', string>>;

const OURS: Programs = {
  'coordinator/main.ts': programFile('coordinator/main.ts'),
  'agent/main.ts': programFile('agent/main.ts'),
};
const SOURCES: Programs = {
  'coordinator/main.ts': join(ROOT, 'coordinator/main.ts'),
  'agent/main.ts': join(ROOT, 'agent/main.ts'),
};

/** A module that is loaded beside a program (NODE_OPTIONS) knows the sources, and changes what they do. */
function fileOf(program: keyof Programs, env: NodeJS.ProcessEnv, programs: Programs): string {
  return (programs === OURS && env['NODE_OPTIONS'] !== undefined ? SOURCES : programs)[program];
}

/** Starts a program of the project with the Node that runs us. */
export function startProgram(
  program: keyof Programs,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  programs: Programs = OURS,
): RunningCommand {
  const child = spawn(process.execPath, [fileOf(program, env, programs), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  alive.add(child);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()));
  const listeners: ((all: string) => void)[] = [];
  child.stderr.on('data', (bytes: Buffer) => {
    stderr += bytes.toString();
    for (const listener of listeners) listener(stderr);
  });
  const finished = new Promise<Finished>((resolve) => {
    child.once('close', (code) => {
      alive.delete(child);
      resolve({
        code,
        stdout,
        stderr,
        get json() {
          return JSON.parse(stdout) as unknown;
        },
      });
    });
  });
  return {
    pid: child.pid ?? 0,
    finished,
    signal: (signal) => void child.kill(signal),
    stdout: () => stdout,
    stderr: () => stderr,
    onStderr: (listener) => void listeners.push(listener),
  };
}

/** Runs the `stillpoint` command to its end. */
export function stillpoint(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  programs: Programs = OURS,
): Promise<Finished> {
  return startProgram('coordinator/main.ts', args, env, programs).finished;
}

export interface Daemon {
  readonly pid: number;
  readonly log: string;
  signal(signal: NodeJS.Signals): void;
  /** Resolves when the process is gone. */
  readonly gone: Promise<void>;
}

/** Starts an agent; resolves when it listens. Its log goes to a file. */
export async function startAgent(
  configuration: string,
  log: string,
  env: NodeJS.ProcessEnv = {},
  programs: Programs = OURS,
): Promise<Daemon> {
  const out = openSync(log, 'a');
  const from = readFileSync(log, 'utf8').length;
  const child = spawn(process.execPath, [fileOf('agent/main.ts', env, programs), '--config', configuration], {
    stdio: ['ignore', out, out],
    env: { ...process.env, ...env },
  });
  closeSync(out);
  alive.add(child);
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => {
      alive.delete(child);
      resolve();
    });
  });
  let ended = false;
  void gone.then(() => (ended = true));
  await until('the agent to listen', () => {
    const said = readFileSync(log, 'utf8').slice(from);
    if (ended) throw new Error(`the agent ended:\n${said}`);
    return said.includes('"event":"listening"');
  });
  return { pid: child.pid ?? 0, log, signal: (signal) => void child.kill(signal), gone };
}

/** Waits for a condition, by asking again. Fails with what was waited for. */
export async function until(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
  limitMs = 30_000,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await isTrue())) {
    if (performance.now() > deadline) throw new Error(`waited ${limitMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

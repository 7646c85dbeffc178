import { spawn, type ChildProcess } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

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
  /** What it wrote to stderr so far. */
  stderr(): string;
  /** Called with all of stderr whenever there is more of it. */
  onStderr(listener: (all: string) => void): void;
}

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

// Tests start the same programs many times: what was compiled once is not compiled again. Node keeps it when a process
// ends by itself; ours are killed, so it is told to keep it soon after the start.
process.env['NODE_COMPILE_CACHE'] ??= `${ROOT}node_modules/.cache/stillpoint`;
process.env['NODE_OPTIONS'] ??=
  "--import=data:text/javascript,import{flushCompileCache}from'node:module';setTimeout(flushCompileCache,2000).unref()";

/** Where each program lies: in the sources, or where a package was installed. */
export type Programs = Readonly<Record<'coordinator/main.ts' | 'agent/main.ts', string>>;

const SOURCES: Programs = {
  'coordinator/main.ts': `${ROOT}coordinator/main.ts`,
  'agent/main.ts': `${ROOT}agent/main.ts`,
};

/** Starts a program of the project with the Node that runs us. */
export function startProgram(
  program: keyof Programs,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  programs: Programs = SOURCES,
): RunningCommand {
  const child = spawn(process.execPath, [programs[program], ...args], {
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
    stderr: () => stderr,
    onStderr: (listener) => void listeners.push(listener),
  };
}

/** Runs the `stillpoint` command to its end. */
export function stillpoint(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  programs: Programs = SOURCES,
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
  programs: Programs = SOURCES,
): Promise<Daemon> {
  const out = openSync(log, 'a');
  const from = readFileSync(log, 'utf8').length;
  const child = spawn(process.execPath, [programs['agent/main.ts'], '--config', configuration], {
    stdio: ['ignore', out, out],
    env: { ...process.env, ...env },
  });
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

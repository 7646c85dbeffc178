import { spawn } from 'node:child_process';
import { openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Starts and stops a process of the grid as an operator's own scripts would:
 *
 *   control.ts start BASE ROLE --name …   in the background; ends when it listens
 *   control.ts stop BASE                  ends when it is gone
 *
 * BASE.pid names the process, BASE.log has what it says.
 */
const MAIN = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? 'main.ts' : 'main.js', import.meta.url));
/** Whichever started it: the sources, or what was built of them. */
const ANY_MAIN = /\/reference-grid\/main\.[jt]s\0/;
const LOOK_EVERY_MS = 10;
const START_MS = 20_000;
const STOP_MS = 20_000;

/** Null where no process of that base runs; a number that was given to another process is none. */
export function pidOf(base: string): number | null {
  try {
    const pid = Number(readFileSync(`${base}.pid`, 'utf8'));
    const [, state] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
    const isOurs = ANY_MAIN.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
    return isOurs && state?.startsWith('Z') === false ? pid : null;
  } catch {
    return null;
  }
}

async function start(base: string, args: readonly string[]): Promise<void> {
  const log = `${base}.log`;
  const out = openSync(log, 'a');
  const from = readFileSync(log, 'utf8').length;
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', out, out], detached: true });
  writeFileSync(`${base}.pid`, String(child.pid));
  let ended = false;
  child.once('exit', () => (ended = true));
  const said = (): string => readFileSync(log, 'utf8').slice(from);
  await until(START_MS, () => ended || / listens$/m.test(said()));
  if (ended || !/ listens$/m.test(said())) throw new Error(`it did not start:\n${said()}`);
  child.unref();
}

async function stop(base: string): Promise<void> {
  const pid = pidOf(base);
  if (pid !== null) {
    process.kill(pid, 'SIGTERM');
    await until(STOP_MS, () => pidOf(base) === null);
    if (pidOf(base) !== null) throw new Error(`${pid} does not end`);
  }
  rmSync(`${base}.pid`, { force: true });
}

async function until(limitMs: number, isTrue: () => boolean): Promise<void> {
  for (const end = performance.now() + limitMs; !isTrue() && performance.now() < end;)
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
}

if (import.meta.main) {
  const [what, base = '', ...args] = process.argv.slice(2);
  await (what === 'start' ? start(base, args) : stop(base));
  process.exit(0);
}

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { NativeSettings } from './settings.ts';

/** In the environment of a start command: whose process it is to become. What it begins inherits it. */
const MARK = 'STILLPOINT_STARTED';
const END_MS = { SIGTERM: 5000, SIGKILL: 5000 } as const;
const LOOK_EVERY_MS = 50;

type Started = Pick<NativeSettings, 'data'>;

export function startMark({ data }: Started): Record<string, string> {
  return { [MARK]: data };
}

/**
 * Ends what a start command of this member has begun and `run.stop` did not end: the command itself, and what never
 * came so far that it could be stopped. Resolves when it is gone, or could not be ended by SIGKILL either. Of what was
 * started by others nothing is touched. Idempotent, also by another process.
 */
export async function endStarted(settings: Started): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const until = performance.now() + END_MS[signal];
    for (let left = await startedFor(settings); left.length > 0; left = await startedFor(settings)) {
      if (performance.now() > until) break;
      for (const pid of left) end(pid, signal);
      await pause(LOOK_EVERY_MS);
    }
  }
}

/** Processes that we may look into. */
async function startedFor({ data }: Started): Promise<number[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const environment = await readFile(join('/proc', pid, 'environ'), 'utf8').catch(() => '');
      return environment.split('\0').includes(`${MARK}=${data}`) ? [Number(pid)] : [];
    }),
  );
  return found.flat().filter((pid) => pid !== process.pid);
}

function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone.
  }
}

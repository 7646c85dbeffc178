import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { processNumbers } from '../host-processes.ts';
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
 * came so far that it could be stopped. Resolves to whether all of it is gone: SIGKILL ends nothing that waits for a disk.
 * Each process is told once by each signal. Of what was started by others nothing is touched. Idempotent, also by another
 * process.
 */
export async function endStarted(settings: Started): Promise<boolean> {
  let left = await startedFor(settings);
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const told = new Set<number>();
    const until = performance.now() + END_MS[signal];
    while (left.length > 0 && performance.now() <= until) {
      for (const pid of left.filter((one) => !told.has(one))) end(pid, signal);
      for (const pid of left) told.add(pid);
      await pause(LOOK_EVERY_MS);
      left = await startedFor(settings);
    }
  }
  return left.length === 0;
}

/** Processes that we may look into. */
async function startedFor({ data }: Started): Promise<number[]> {
  const found = await Promise.all(
    (await processNumbers()).map(async (pid) => {
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
      return environment.split('\0').includes(`${MARK}=${data}`) ? [pid] : [];
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

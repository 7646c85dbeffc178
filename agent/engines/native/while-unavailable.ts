import { setTimeout as pause } from 'node:timers/promises';
import { StillpointError } from '../../../shared/domain/errors.ts';

const LIMIT_MS = 15_000;
const PAUSE_MS = { least: 100, most: 1000 };

/**
 * What a process cannot do now, it is asked again, for a while: the realm services of a cluster are all asked to back
 * up at once, and change what they share one at a time. Pauses are random, so that they do not meet again.
 */
export async function whileUnavailable<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const until = performance.now() + LIMIT_MS;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const isUnavailable =
        error instanceof StillpointError && error.failure.code === 'participant-unavailable';
      if (!isUnavailable || performance.now() > until) throw error;
    }
    const ms = PAUSE_MS.least + Math.random() * (PAUSE_MS.most - PAUSE_MS.least);
    await pause(ms, undefined, { signal });
  }
}

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Job, PlantedDone, SeedsDone } from './jobs.ts';

/**
 * Jobs over as many threads as there are cores. Which thread does which job, and when, changes nothing in it.
 * `next` gives the next job, null when there is none; `done` may be called in any order.
 */
export async function runFleet(
  next: () => Job | null,
  done: (result: SeedsDone | PlantedDone) => void,
): Promise<void> {
  const threads = Array.from({ length: availableParallelism() }, () => runThread(next, done));
  await Promise.all(threads);
}

function runThread(next: () => Job | null, done: (result: SeedsDone | PlantedDone) => void): Promise<void> {
  const worker = new Worker(new URL('./fleet-worker.ts', import.meta.url), {
    // A run leaves nothing behind: with room for many of them, most of what they made is dead when it is looked at.
    resourceLimits: { maxYoungGenerationSizeMb: 96 },
  });
  return new Promise<void>((resolve, reject) => {
    const give = (): void => {
      const job = next();
      if (job === null) resolve();
      else worker.postMessage(job);
    };
    worker.on('message', (result: SeedsDone | PlantedDone) => {
      done(result);
      give();
    });
    worker.once('error', reject);
    give();
  }).finally(() => void worker.terminate());
}

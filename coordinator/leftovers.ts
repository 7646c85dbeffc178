import type { Repository } from '../shared/repository/repository.ts';
import type { Logger } from '../shared/runtime/log.ts';

/** What a killed command left. The caller holds the grid, so nobody else is making a checkpoint of it. */
export async function sweepUncommitted(
  repository: Repository,
  grid: string,
  log: Pick<Logger, 'warn'>,
): Promise<void> {
  for (const entry of await repository.list(grid)) {
    if (entry.state === 'uncommitted')
      await bestEffort(() => repository.discard(grid, entry.checkpoint), log);
  }
}

/** Sweeping must not turn an outcome into another: what stays is listed, and the next run sweeps it. */
export async function bestEffort(sweep: () => Promise<unknown>, log: Pick<Logger, 'warn'>): Promise<void> {
  try {
    await sweep();
  } catch (error) {
    log.warn({ event: 'leftoversStay', err: error }, 'leftovers stay until the next run');
  }
}

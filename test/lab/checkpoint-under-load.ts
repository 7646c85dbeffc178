import type { TestGrid } from './grid.ts';
import type { Finished } from './processes.ts';

/** A checkpoint as seen from outside, by performance.now() of this process. */
export interface LoadedCheckpoint {
  readonly finished: Finished;
  readonly beganAt: number;
  /** When it said that it freezes: before the first fence. */
  readonly frozenAt: number;
  /** When it said that it thaws: before the first thaw. Every write that a fence held is under way between the two. */
  readonly thawedAt: number;
  readonly endedAt: number;
}

/** Takes a checkpoint and notes when its progress says that it freezes and, for the last time, that it thaws. */
export async function checkpointUnderLoad(
  grid: TestGrid,
  name: string,
  options: readonly string[] = [],
): Promise<LoadedCheckpoint> {
  const beganAt = performance.now();
  const command = grid.begin(['checkpoint', 'create', name, '--output', 'json', ...options]);
  let frozenAt = 0;
  let thawedAt = 0;
  let thaws = 0;
  command.onStderr((text) => {
    if (frozenAt === 0 && /^freeze/m.test(text)) frozenAt = performance.now();
    const saidSoFar = text.match(/^thaw/gm)?.length ?? 0;
    if (saidSoFar > thaws) thawedAt = performance.now();
    thaws = saidSoFar;
  });
  const finished = await command.finished;
  return { finished, beganAt, frozenAt, thawedAt, endedAt: performance.now() };
}

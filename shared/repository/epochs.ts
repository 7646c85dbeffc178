import { dirname } from 'node:path';
import { namesIn } from './catalogue.ts';
import { createExclusively, ensureDirectory } from './durable-files.ts';
import type { Layout } from './layout.ts';

const NAME = /^(\d{8})\.json$/;

/** One file for each epoch, written once: its name says all, its content is for people. */
export async function raiseEpoch(layout: Layout, grid: string, epoch: number): Promise<void> {
  const path = layout.epoch(grid, epoch);
  await ensureDirectory(layout, dirname(path));
  await createExclusively(path, `${JSON.stringify({ epoch })}\n`, true);
}

export async function highestEpoch(layout: Layout, grid: string): Promise<number> {
  const raised = (await namesIn(layout.epochs(grid))).flatMap((name) => NAME.exec(name)?.[1] ?? []);
  return Math.max(0, ...raised.map(Number));
}

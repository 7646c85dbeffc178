import { spawnSync } from 'node:child_process';
import type { PruneReport } from '../../coordinator/reports.ts';
import type { TestGrid } from '../../test/lab/grid.ts';
import type { Finished } from '../../test/lab/processes.ts';

const JSON_OUTPUT = ['--output', 'json', '--quiet'];
const KEPT = 3;

/** Newest first. Rejects when the command fails. */
export async function listedCheckpoints(
  grid: TestGrid,
): Promise<readonly { readonly checkpoint: string; readonly name: string; readonly state: string }[]> {
  const { json } = expectDone(await grid.run(['checkpoint', 'list', ...JSON_OUTPUT]));
  return (json as { checkpoints: { checkpoint: string; name: string; state: string }[] }).checkpoints;
}

/** Why this checkpoint does not verify; null when every byte of it is as it was written. */
export async function verifyFailure(grid: TestGrid, checkpoint: string): Promise<string | null> {
  const { code, stdout, stderr } = await grid.run(['checkpoint', 'verify', checkpoint, ...JSON_OUTPUT]);
  return code === 0 ? null : stdout + stderr;
}

/** Deletes the oldest, as an operator does by hand. Rejects when the command fails. */
export async function deleteOldest(grid: TestGrid): Promise<void> {
  const oldest = (await listedCheckpoints(grid)).at(-1);
  if (oldest === undefined) return;
  expectDone(await grid.run(['checkpoint', 'delete', oldest.checkpoint, '--yes', ...JSON_OUTPUT]));
}

/** Keeps the newest few, as an operator's timer does. Returns what the repository holds then, in bytes. */
export async function prune(grid: TestGrid): Promise<number> {
  const done = expectDone(
    await grid.run(['checkpoint', 'prune', '--keep', `${KEPT}`, '--yes', ...JSON_OUTPUT]),
  );
  const { kept } = done.json as PruneReport;
  if (kept.length > KEPT) throw new Error(`prune kept ${kept.join(', ')}`);
  return Number(spawnSync('du', ['-sb', grid.repository], { encoding: 'utf8' }).stdout.split('\t')[0]);
}

/** Rejects with everything that was said when a command did not do what it should. */
export function expectDone(finished: Finished): Finished {
  const { code, stdout, stderr } = finished;
  if (code !== 0) throw new Error(`exit ${code ?? 'by signal'}: ${stdout}${stderr}`);
  return finished;
}

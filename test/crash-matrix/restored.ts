import { expect } from 'chai';
import { checkOrder, type Shard, type Write } from '../lab/causal-clients.ts';
import type { TestGrid } from '../lab/grid.ts';

/** A checkpoint brought back on other hosts. */
export interface RestoredGrid {
  readonly shards: readonly Shard[];
  close(): Promise<void>;
}

/** Restores to hosts of the same number; rejects with what the command says where it fails. */
export async function restoreTo(
  other: TestGrid,
  checkpoint: string,
  hosts: readonly string[],
  others: readonly string[],
): Promise<void> {
  const maps = hosts.flatMap((host, index) => ['--map', `${host}=${others[index] ?? ''}`]);
  const { code, stdout, stderr } = await other.run([
    'restore',
    checkpoint,
    '--yes',
    '--quiet',
    '--output',
    'json',
    ...maps,
  ]);
  expect(code, stdout + stderr).to.equal(0);
}

/**
 * Holds what was restored against what clients saw: nothing is missing that was acknowledged before the checkpoint
 * began, and nothing is there without its cause. Resolves to the number of rows found.
 */
export async function expectCausalOrder(
  { shards }: RestoredGrid,
  writes: readonly Write[],
  beganAt: number,
): Promise<number> {
  const order = await checkOrder(shards, writes, beganAt);
  expect(order).to.include({ missing: 0, withoutCause: 0 });
  expect(order.found).to.be.greaterThan(0);
  return order.found;
}

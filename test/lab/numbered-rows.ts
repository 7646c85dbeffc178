import type { Shard } from './causal-clients.ts';

/** Writes a row of this number to each shard; resolves when all are acknowledged. */
export async function writeRow(shards: readonly Shard[], number: number): Promise<void> {
  for (const shard of shards) {
    const connection = await shard.connect();
    try {
      await connection.write(1, number);
    } finally {
      connection.close();
    }
  }
}

/** The numbers that each shard shows. */
export async function numbersOf(shards: readonly Shard[]): Promise<number[][]> {
  const shown = await Promise.all(shards.map((shard) => shard.rows()));
  return shown.map((rows) => rows.map(({ sequence }) => sequence).toSorted((a, b) => a - b));
}

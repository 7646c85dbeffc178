import type { Client } from 'pg';
import type { TransactionRecord } from './wal-records.ts';

export interface Prepared {
  readonly gid: string;
  readonly database: string;
  readonly owner: string;
  /** Low 32 bits of its transaction; known where it was asked for. */
  readonly xid?: number;
}

export async function readPrepared(client: Client): Promise<Prepared[]> {
  const { rows } = await client.query<{ gid: string; database: string; owner: string; xid: string }>(
    'SELECT gid, database, owner::text, transaction::text AS xid FROM pg_prepared_xacts',
  );
  return rows.map(({ gid, database, owner, xid }) => ({
    gid,
    database,
    owner,
    xid: Number(BigInt(xid) & 0xffffffffn),
  }));
}

/**
 * How prepared transactions ended between the start of the base copy and the mark. The journal's records of
 * an end carry the transaction's number; its gid is known from the record that prepared it, or from the list
 * that was read before.
 */
export async function preparedEnded(input: {
  enabled: boolean;
  before: readonly Prepared[];
  atMark: readonly Prepared[];
  records: AsyncIterable<TransactionRecord>;
}): Promise<{
  atMark: Prepared[];
  ended: { gid: string; outcome: 'committed' | 'rolledBack' }[];
}> {
  if (!input.enabled) return { atMark: [], ended: [] };
  const gids = new Map<number, string>();
  for (const { gid, xid } of input.before) if (xid !== undefined) gids.set(xid, gid);
  const outcomes = new Map<string, 'committed' | 'rolledBack'>();
  for await (const record of input.records) {
    if (record.type === 'prepare' && record.gid !== null) {
      gids.set(record.xid, record.gid);
      outcomes.delete(record.gid);
    }
    if (record.type !== 'commitPrepared' && record.type !== 'abortPrepared') continue;
    const gid = gids.get(record.xid);
    if (gid !== undefined) outcomes.set(gid, record.type === 'commitPrepared' ? 'committed' : 'rolledBack');
  }
  return {
    // One that was being ended when the fence closed is still listed by the server, and ended in the cut.
    atMark: input.atMark.filter(({ gid }) => !outcomes.has(gid)),
    ended: [...outcomes].map(([gid, outcome]) => ({ gid, outcome })),
  };
}

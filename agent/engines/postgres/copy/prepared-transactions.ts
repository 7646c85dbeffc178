import type { Client } from 'pg';
import type { PostgresFacts } from './facts.ts';
import type { TransactionRecord } from '../journal/wal-records.ts';

export interface PreparedTransaction {
  readonly gid: string;
  readonly database: string;
  readonly owner: string;
  /** Low 32 bits of its transaction: so it is called in the journal. */
  readonly xid: number;
}

export async function readPrepared(client: Client): Promise<PreparedTransaction[]> {
  const { rows } = await client.query<{ gid: string; database: string; owner: string; xid: string }>(
    'SELECT gid, database, owner::text, transaction::text AS xid FROM pg_prepared_xacts',
  );
  return rows.map((row) => ({ ...row, xid: Number(row.xid) }));
}

/**
 * Which prepared transactions stand at the mark, and which ended since the base copy began. Asking the server
 * at the mark would be inexact: a PREPARE shows in its list a moment after it was logged, and the end of one
 * a moment after that. The journal from the start of the base copy to the mark is the cut itself. It calls a
 * prepared transaction by number; the gids of those that are older come from two lists, one taken before the
 * base copy (for those that ended in it) and one after (whatever is older and stands, stands in it).
 */
export async function preparedAtMark(input: {
  before: readonly PreparedTransaction[];
  after: readonly PreparedTransaction[];
  records: AsyncIterable<TransactionRecord>;
  names(): Promise<{ databases: ReadonlyMap<number, string>; owners: ReadonlyMap<number, string> }>;
}): Promise<Pick<PostgresFacts, 'preparedAtMark' | 'preparedEnded' | 'preparedReused'>> {
  const gids = new Map(input.before.map(({ xid, gid }) => [xid, gid]));
  const standing = new Map<number, { gid: string; database: string; owner: string }>();
  for (const { xid, gid, database, owner } of input.after) standing.set(xid, { gid, database, owner });
  const ended = new Map<string, 'committed' | 'rolledBack'>();
  const uses = new Map<string, Set<number>>();
  const used = (gid: string, xid: number): unknown => uses.set(gid, (uses.get(gid) ?? new Set()).add(xid));
  for (const { gid, xid } of [...input.before, ...input.after]) used(gid, xid);
  const { databases, owners } = await input.names();
  for await (const { type, xid, prepared } of input.records) {
    if (type === 'prepare' && prepared !== null) {
      const { gid, databaseOid, ownerOid } = prepared;
      const database = databases.get(databaseOid) ?? String(databaseOid);
      standing.set(xid, { gid, database, owner: owners.get(ownerOid) ?? String(ownerOid) });
      gids.set(xid, gid);
      used(gid, xid);
      // The gid is used anew: how an earlier transaction of that name ended decides nothing now.
      ended.delete(gid);
    } else if (type === 'commitPrepared' || type === 'abortPrepared') {
      const gid = standing.get(xid)?.gid ?? gids.get(xid);
      standing.delete(xid);
      if (gid !== undefined) ended.set(gid, type === 'commitPrepared' ? 'committed' : 'rolledBack');
    }
  }
  return {
    preparedAtMark: [...standing.values()],
    preparedEnded: [...ended].map(([gid, outcome]) => ({ gid, outcome })),
    preparedReused: [...uses].flatMap(([gid, transactions]) => (transactions.size > 1 ? [gid] : [])),
  };
}

/** The names of databases and roles by the numbers that the journal calls them. */
export async function readNames(
  client: Client,
): Promise<{ databases: Map<number, string>; owners: Map<number, string> }> {
  const named = async (statement: string): Promise<Map<number, string>> => {
    const { rows } = await client.query<{ oid: string; name: string }>(statement);
    return new Map(rows.map(({ oid, name }) => [Number(oid), name]));
  };
  return {
    databases: await named('SELECT oid::text, datname AS name FROM pg_database'),
    owners: await named('SELECT oid::text, rolname AS name FROM pg_roles'),
  };
}

import type { Client } from 'pg';
import type { JournalReceiver } from './journal-receiver.ts';
import type { Lsn } from './lsn.ts';
import { transactionRecords } from './wal-records.ts';

/**
 * Did anything that was logged after the mark become visible before the thaw came?
 *
 * Two snapshots stand around the freeze: one in the statement that marks, one when the thaw command arrives.
 * A transaction that was running in the first and is finished in the second, and committed, got past the
 * fence: it was committed with synchronous_commit off or local, or somebody cancelled its wait. (Snapshots
 * name top-level transactions only, so a subtransaction looks finished from the start. The journal sorts that
 * out: its commit records carry the number of the top-level transaction.)
 *
 * One kind of suspect is innocent: a commit that was acknowledged before the fence closed, whose process had
 * not yet woken up when the first snapshot was taken. Its record lies before the mark, so it is in the cut,
 * and it does no harm that it is seen. Therefore the suspects are compared with the commit records that the
 * journal holds after the mark: only those are leaks.
 */
export interface Snapshot {
  readonly xmin: bigint;
  readonly xmax: bigint;
  readonly running: ReadonlySet<bigint>;
}

/** `xmin:xmax:xip_list`, as pg_current_snapshot() prints it. */
export function parseSnapshot(text: string): Snapshot {
  const [xmin = '', xmax = '', list = ''] = text.split(':');
  return {
    xmin: BigInt(xmin),
    xmax: BigInt(xmax),
    running: new Set(list === '' ? [] : list.split(',').map(BigInt)),
  };
}

/** Transactions that were unfinished in the first snapshot and are finished in the second, in their order. */
export function finishedBetween(first: Snapshot, second: Snapshot): bigint[] {
  const finished: bigint[] = [];
  const isFinished = (xid: bigint): boolean => xid < second.xmax && !second.running.has(xid);
  for (const xid of first.running) if (isFinished(xid)) finished.push(xid);
  for (let xid = first.xmax; xid < second.xmax; xid += 1n) if (isFinished(xid)) finished.push(xid);
  return finished;
}

/** Journal records carry the low 32 bits of a transaction's number. */
function leaksAmong(suspects: readonly bigint[], committedAfterMark: ReadonlySet<number>): bigint[] {
  return suspects.filter((xid) => committedAfterMark.has(Number(xid & 0xffffffffn)));
}

/** What is seen of the server when the thaw comes, or when the mark is made. */
export interface Sight {
  readonly snapshot: Snapshot;
  readonly position: Lsn;
}

/**
 * Null where nothing leaked between the two, else what did. The journal is read only where there are suspects:
 * the common case costs one query.
 */
export async function findLeak(input: {
  control: Client;
  receiver: JournalReceiver;
  serverVersion: number;
  atMark: Sight;
  atThaw: Sight;
}): Promise<string | null> {
  const { control, receiver, serverVersion, atMark, atThaw } = input;
  const finished = finishedBetween(atMark.snapshot, atThaw.snapshot);
  if (finished.length === 0) return null;
  const { rows } = await control.query<{ xid: string }>(
    `SELECT xid FROM unnest($1::text[]) AS xid WHERE pg_xact_status(xid::xid8) = 'committed'`,
    [finished.map(String)],
  );
  const suspects = rows.map(({ xid }) => BigInt(xid));
  if (suspects.length === 0) return null;
  // Asynchronous commits are flushed when their turn comes; a switch makes it come now.
  await control.query('SELECT pg_switch_wal()');
  await receiver.reached(atThaw.position);
  const committed = new Set<number>();
  const { directory, timeline, segmentBytes } = receiver;
  const span = { from: atMark.position, to: atThaw.position };
  for await (const record of transactionRecords({
    directory,
    timeline,
    segmentBytes,
    serverVersion,
    ...span,
  })) {
    if (record.type === 'commit' || record.type === 'commitPrepared') committed.add(record.xid);
  }
  const leaks = leaksAmong(suspects, committed);
  if (leaks.length === 0) return null;
  const [one] = leaks;
  const others = leaks.length === 1 ? '' : ` and ${leaks.length - 1} more`;
  return `transaction ${one}${others} passed the fence: its synchronous_commit was off or local, or its wait was cancelled`;
}

import type { Client } from 'pg';
import type { JournalReceiver } from '../journal/journal-receiver.ts';
import type { Lsn } from '../journal/lsn.ts';
import {
  transactionRecords,
  transactionsThatWrote,
  type JournalSpan,
  type TransactionRecord,
} from '../journal/wal-records.ts';

/**
 * Did anything that was logged after the mark become visible before the thaw came?
 *
 * Two snapshots stand around the freeze: one in the statement that marks, one when the thaw command arrives.
 * A transaction that was running in the first and is finished in the second, and committed, got past the
 * fence: it was committed with synchronous_commit off or local, or somebody cancelled its wait. (Snapshots
 * name top-level transactions only, so a subtransaction looks finished from the start. The journal sorts that
 * out: its commit records carry the number of the top-level transaction.)
 *
 * Two kinds of suspects are innocent. One is a commit that was acknowledged before the fence closed, whose
 * process had not yet woken up when the first snapshot was taken. Its record lies before the mark, so it is in
 * the cut, and it does no harm that it is seen. Therefore the suspects are compared with the commit records
 * that the journal holds after the mark.
 *
 * The other is a transaction that has written nothing but the record of its commit. The server makes no such
 * commit wait, whatever synchronous_commit says: it changed unlogged or temporary tables, or sent a NOTIFY. It
 * leaves nothing that a restore could bring back or miss. What a client learns from it is what its writer
 * knew, and that was visible: a write that was not stays unacknowledged. To see that it wrote nothing, all of
 * the journal since its beginning is needed. A transaction that is younger than the arm has its journal in our
 * hands; an older one cannot be cleared.
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

/** What is seen of the server at one moment: when it is armed, with the mark, when the thaw comes. */
export interface Observation {
  readonly snapshot: Snapshot;
  readonly position: Lsn;
}

/** More journal than this between arm and thaw is not searched: the thaw's deadline is near by then. */
const MOST_BYTES_SEARCHED = 256n * 1024n * 1024n;

/**
 * Null where nothing leaked between mark and thaw, else what did. The journal is read only where there are
 * suspects: the common case costs one query.
 */
export async function findLeak(input: {
  control: Client;
  receiver: JournalReceiver;
  serverVersion: number;
  atArm: Observation;
  atMark: Observation;
  atThaw: Observation;
}): Promise<string | null> {
  const { control, receiver, serverVersion, atArm, atMark, atThaw } = input;
  const finished = finishedBetween(atMark.snapshot, atThaw.snapshot);
  if (finished.length === 0) return null;
  const { rows } = await control.query<{ xid: string }>(
    `SELECT xid FROM unnest($1::text[]) AS xid WHERE pg_xact_status(xid::xid8) = 'committed'`,
    [finished.map(String)],
  );
  const suspects = rows.map(({ xid }) => BigInt(xid));
  if (suspects.length === 0) return null;
  // Asynchronous commits are flushed when their turn comes; a commit that flushes makes it come now. (A switch would
  // fill a whole file of the owner's archive, attempt after attempt.)
  await control.query(
    "SET synchronous_commit = local; SELECT pg_logical_emit_message(true, 'stillpoint', '')",
  );
  await receiver.reached(atThaw.position);
  const { directory, timeline, segmentBytes } = receiver;
  const span = {
    directory,
    timeline,
    segmentBytes,
    serverVersion,
    from: atMark.position,
    to: atThaw.position,
  };
  const commits = new Map<number, TransactionRecord>();
  for await (const record of transactionRecords(span)) {
    if (record.type === 'commit' || record.type === 'commitPrepared') commits.set(record.xid, record);
  }
  const leaks = suspects.filter((xid) => commits.has(inJournal(xid)));
  const cleared = await silentAmong(leaks, commits, atArm, span);
  const [one, ...others] = leaks.filter((xid) => !cleared.has(xid));
  return one === undefined ? null : inWords(one, others.length, one < atArm.snapshot.xmax);
}

/** Those that wrote nothing but their commit, as far as that can be known. */
async function silentAmong(
  leaks: readonly bigint[],
  commits: ReadonlyMap<number, TransactionRecord>,
  atArm: Observation,
  span: JournalSpan,
): Promise<ReadonlySet<bigint>> {
  const parts = new Map<bigint, readonly number[]>();
  for (const xid of leaks) {
    const bare = commits.get(inJournal(xid))?.bareCommit ?? null;
    if (bare !== null && xid >= atArm.snapshot.xmax)
      parts.set(xid, [inJournal(xid), ...bare.subtransactions]);
  }
  if (parts.size === 0 || span.to - atArm.position > MOST_BYTES_SEARCHED) return new Set();
  const all = new Set([...parts.values()].flat());
  const wrote = await transactionsThatWrote({ ...span, from: atArm.position }, all);
  return new Set([...parts].flatMap(([xid, own]) => (own.some((part) => wrote.has(part)) ? [] : [xid])));
}

/** Journal records carry the low 32 bits of a transaction's number. */
function inJournal(xid: bigint): number {
  return Number(xid & 0xffffffffn);
}

function inWords(xid: bigint, others: number, isOlder: boolean): string {
  const more = others === 0 ? '' : ` and ${others} more`;
  const age = isOlder ? ', begun before the freeze was armed,' : '';
  return `transaction ${xid}${more}${age} passed the fence: synchronous_commit was off or local for it (its session, role or database; an autovacuum worker sets it so for itself), or its wait was cancelled`;
}

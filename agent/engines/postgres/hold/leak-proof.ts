import type { Client } from 'pg';
import type { JournalReceiver } from '../journal/journal-receiver.ts';
import type { Lsn } from '../journal/lsn.ts';
import { transactionRecords, type JournalSpan, type TransactionRecord } from '../journal/wal-records.ts';
import { writtenBy } from '../journal/written-records.ts';
import type { ConnectionSettings } from '../server/connection.ts';
import { Statistics } from './statistics.ts';

/**
 * Did anything that was logged after the mark become visible before the thaw came?
 *
 * Two snapshots stand around the freeze: one in the statement that marks, one when the thaw command arrives.
 * A transaction that was running in the first and is finished in the second, and committed, got past the
 * fence: it was committed with synchronous_commit off or local, or somebody cancelled its wait. (Snapshots
 * name top-level transactions only, so a subtransaction looks finished from the start. The journal sorts that
 * out: its commit records carry the number of the top-level transaction.)
 *
 * Three kinds of suspects are innocent. One is a commit that was acknowledged before the fence closed, whose
 * process had not yet woken up when the first snapshot was taken. Its record lies before the mark, so it is in
 * the cut, and it does no harm that it is seen. Therefore the suspects are compared with the commit records
 * that the journal holds after the mark.
 *
 * Another is a transaction that has written nothing but the record of its commit. The server makes no such
 * commit wait, whatever synchronous_commit says: it changed unlogged or temporary tables, or sent a NOTIFY. It
 * leaves nothing that a restore could bring back or miss. What a client learns from it is what its writer
 * knew, and that was visible: a write that was not stays unacknowledged.
 *
 * The third is an ANALYZE: an autovacuum worker sets synchronous_commit = local for itself, and begins one every now
 * and then, which a freeze that lasts will meet. It writes what the planner guesses by, and no client's data: a restore
 * that has it or has it not shows the same rows.
 *
 * To see what a transaction wrote, all of the journal since its beginning is needed. One that is younger than the arm has
 * its journal in our hands; an older one cannot be cleared.
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
  settings: ConnectionSettings;
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
  const cleared = await harmlessAmong(leaks, { commits, atArm, span, control, settings: input.settings });
  const [one, ...others] = leaks.filter((xid) => !cleared.has(xid));
  return one === undefined ? null : inWords(one, others.length, one < atArm.snapshot.xmax);
}

/** Those that wrote nothing but their commit, or nothing but statistics, as far as that can be known. */
async function harmlessAmong(
  leaks: readonly bigint[],
  known: {
    readonly commits: ReadonlyMap<number, TransactionRecord>;
    readonly atArm: Observation;
    readonly span: JournalSpan;
    readonly control: Client;
    readonly settings: ConnectionSettings;
  },
): Promise<ReadonlySet<bigint>> {
  const { commits, atArm, span, control, settings } = known;
  const young = leaks.flatMap((xid) => {
    const commit = commits.get(inJournal(xid))?.commit ?? null;
    return commit === null || commit.carries === 'more' || xid < atArm.snapshot.xmax ? [] : [{ xid, commit }];
  });
  const harmless = new Set<bigint>();
  if (young.length === 0 || span.to - atArm.position > MOST_BYTES_SEARCHED) return harmless;
  const partsOf = (one: (typeof young)[number]): number[] => [
    inJournal(one.xid),
    ...one.commit.subtransactions,
  ];
  const statistics = new Statistics(control, settings);
  const written = await writtenBy({ ...span, from: atArm.position }, new Set(young.flatMap(partsOf)));
  for (const one of young) {
    const found = partsOf(one).flatMap((part) => written.get(part) ?? []);
    const relations = new Set(found.flatMap((part) => [...part.relations]));
    const isSilent = found.length === 0 && one.commit.carries === 'nothing';
    const isUpkeep = found.length > 0 && !found.some(({ more }) => more);
    if (isSilent || (isUpkeep && (await statistics.areAll(relations)))) harmless.add(one.xid);
  }
  return harmless;
}

/** Journal records carry the low 32 bits of a transaction's number. */
function inJournal(xid: bigint): number {
  return Number(xid & 0xffffffffn);
}

function inWords(xid: bigint, others: number, isOlder: boolean): string {
  const more = others === 0 ? '' : ` and ${others} more`;
  const age = isOlder ? ', begun before the freeze was armed,' : '';
  return `transaction ${xid}${more}${age} passed the fence: synchronous_commit was off or local for it (its session, role or database), or its wait was cancelled`;
}

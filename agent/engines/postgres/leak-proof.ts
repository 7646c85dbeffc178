/**
 * Did anything that was logged after the mark become visible before the thaw came?
 *
 * Two snapshots stand around the freeze: one in the statement that marks, one when the thaw command arrives.
 * A transaction that was running in the first and is finished in the second, and committed, got past the
 * fence: it was committed with synchronous_commit off or local, or somebody cancelled its wait. (Snapshots
 * show top-level transactions only; a subtransaction of one that still waits is "in progress" to
 * pg_xact_status, so it is no suspect.)
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
export function leaksAmong(suspects: readonly bigint[], committedAfterMark: ReadonlySet<number>): bigint[] {
  return suspects.filter((xid) => committedAfterMark.has(Number(xid & 0xffffffffn)));
}

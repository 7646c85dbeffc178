import {
  readable,
  RECORD_HEADER,
  RecordWalk,
  XACT_RESOURCE_MANAGER,
  XLOG_RESOURCE_MANAGER,
  type JournalRecord,
  type JournalSpan,
} from './wal-records.ts';

/** What a transaction has written besides the record that it is committed. */
export interface Written {
  /** `<oid of the database>/<file number>`; the database of what all of them share is 0. */
  readonly relations: ReadonlySet<string>;
  /** Anything of which no page tells where it lies. */
  readonly more: boolean;
}

/** Of the server's src/include/access/rmgrlist.h, and the operations of each. */
const XLOG_FPI_FOR_HINT = 0xb0;
const SMGR = 2;
const SMGR_TRUNCATE = 0x20;
const STANDBY = 8;
const HEAP2 = 9;
/** Pruned, vacuumed, frozen, all visible; and, for those who decode the journal, whose command a change was. */
const HEAP2_UPKEEP = new Set([0x10, 0x20, 0x30, 0x40, 0x70]);
const HEAP = 10;
const HEAP_INPLACE = 0x70;
const XACT_ASSIGNMENT = 0x50;
const XACT_INVALIDATIONS = 0x60;

/** Bits of a block reference (access/xlogrecord.h). */
const HAS_IMAGE = 0x10;
const SAME_RELATION = 0x80;
const IMAGE_HAS_HOLE = 0x01;
const MOST_BLOCK_ID = 32;

/** Which of these transactions have written anything in [from, to), and where. Those that have not are not in it. */
export async function writtenBy(
  span: JournalSpan,
  among: ReadonlySet<number>,
): Promise<ReadonlyMap<number, Written>> {
  const written = new Map<number, { relations: Set<string>; more: boolean }>();
  const walk = new RecordWalk(span, span.from, ({ xid }) => among.has(xid));
  try {
    for await (const record of walk.through(span.to)) {
      if (isSilent(record)) continue;
      const one = written.get(record.xid) ?? { relations: new Set(), more: false };
      written.set(record.xid, one);
      if (isUpkeep(record)) continue;
      const relations = readable(record.start, record.bytes.length, () =>
        relationsOf(record.bytes, span.serverVersion),
      );
      if (relations.length === 0) one.more = true;
      for (const relation of relations) one.relations.add(relation);
    }
  } finally {
    await walk.close();
  }
  return written;
}

/** The commit itself, and the lists that a long transaction writes now and then: they change nothing either. */
function isSilent({ manager, info }: JournalRecord): boolean {
  const operation = info & 0x70;
  return manager === XACT_RESOURCE_MANAGER && (operation === 0x00 || operation === XACT_ASSIGNMENT);
}

/**
 * What no commit makes visible: locks for standbys, caches to be emptied, hints that a reader leaves on a page, and what
 * VACUUM does to a table. It overwrites figures in the catalogue where they stand, and cuts off empty pages.
 */
function isUpkeep({ manager, info }: JournalRecord): boolean {
  switch (manager) {
    case STANDBY:
      return true;
    case XACT_RESOURCE_MANAGER:
      return (info & 0x70) === XACT_INVALIDATIONS;
    case XLOG_RESOURCE_MANAGER:
      return (info & 0xf0) === XLOG_FPI_FOR_HINT;
    case HEAP:
      return (info & 0x70) === HEAP_INPLACE;
    case HEAP2:
      return HEAP2_UPKEEP.has(info & 0x70);
    default:
      return manager === SMGR && (info & 0xf0) === SMGR_TRUNCATE;
  }
}

/** Of the blocks that a record refers to: their headers come first, and what belongs to them last. */
function relationsOf(record: Buffer, serverVersion: number): string[] {
  const isCompressed = serverVersion >= 150_000 ? 0x1c : 0x02;
  const relations: string[] = [];
  let end = record.length;
  for (let at = RECORD_HEADER; at < end && record.readUInt8(at) <= MOST_BLOCK_ID;) {
    const flags = record.readUInt8(at + 1);
    end -= record.readUInt16LE(at + 2);
    at += 4;
    if ((flags & HAS_IMAGE) !== 0) {
      end -= record.readUInt16LE(at);
      const image = record.readUInt8(at + 4);
      at += (image & isCompressed) !== 0 && (image & IMAGE_HAS_HOLE) !== 0 ? 7 : 5;
    }
    if ((flags & SAME_RELATION) === 0) {
      relations.push(`${record.readUInt32LE(at + 4)}/${record.readUInt32LE(at + 8)}`);
      at += 12;
    }
    at += 4;
  }
  return relations;
}

import {
  readable,
  RECORD_HEADER,
  RecordWalk,
  XACT_RESOURCE_MANAGER,
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
const SMGR = 2;
const SMGR_TRUNCATE = 0x20;
const STANDBY = 8;
const HEAP2 = 9;
const HEAP2_NEW_CID = 0x70;
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
 * What no commit makes visible: locks for standbys, caches to be emptied, and what VACUUM does to a table. It overwrites
 * figures in the catalogue where they stand, which everybody sees at once, and cuts off empty pages.
 */
function isUpkeep({ manager, info }: JournalRecord): boolean {
  if (manager === STANDBY) return true;
  if (manager === XACT_RESOURCE_MANAGER) return (info & 0x70) === XACT_INVALIDATIONS;
  // For those who decode the journal; the change that it is about has a record of its own.
  if (manager === HEAP2) return (info & 0x70) === HEAP2_NEW_CID;
  if (manager === HEAP) return (info & 0x70) === HEAP_INPLACE;
  return manager === SMGR && (info & 0xf0) === SMGR_TRUNCATE;
}

/** Of the blocks that a record refers to. */
function relationsOf(record: Buffer, serverVersion: number): string[] {
  const isCompressed = serverVersion >= 150_000 ? 0x1c : 0x02;
  const relations: string[] = [];
  for (let at = RECORD_HEADER; at < record.length && record.readUInt8(at) <= MOST_BLOCK_ID;) {
    const flags = record.readUInt8(at + 1);
    at += 4;
    if ((flags & HAS_IMAGE) !== 0) {
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

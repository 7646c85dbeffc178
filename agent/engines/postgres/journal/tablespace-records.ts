import { RecordWalk, type JournalSpan } from './wal-records.ts';

/** Of the server's src/include/access/rmgrlist.h and commands/tablespace.h. */
const TABLESPACE_RESOURCE_MANAGER = 5;
const TABLESPACE_CREATE = 0x00;

/** Whether who replays [from, to) makes a tablespace: at the very path that CREATE TABLESPACE named. */
export async function makesTablespace(span: JournalSpan): Promise<boolean> {
  const walk = new RecordWalk(span, span.from, null);
  try {
    for await (const { manager, info } of walk.through(span.to))
      if (manager === TABLESPACE_RESOURCE_MANAGER && (info & 0xf0) === TABLESPACE_CREATE) return true;
    return false;
  } finally {
    await walk.close();
  }
}

import { StillpointError } from '../../../../shared/domain/errors.ts';
import { aligned, JournalBytes, type JournalFiles } from './journal-bytes.ts';
import { Crc32c } from './crc32c.ts';
import { segmentOf, segmentStart, type Lsn } from './lsn.ts';
import { isSwitch, MOST_RECORD_BYTES, RECORD_HEADER } from './wal-records.ts';

export interface ValidRecord {
  readonly start: Lsn;
  /** As the server counts: where the next one begins, but for the header of a page. */
  readonly end: Lsn;
  readonly manager: number;
  readonly info: number;
  readonly bytes: Buffer;
}

const AT_PREVIOUS = 8;
const AT_CHECKSUM = 20;

/**
 * Records from a position on, each whole, behind the one before, and with its own checksum. They end where the server
 * itself would find the end of its journal: nobody says beforehand where that is. `from` is where a record begins, or the
 * beginning of a file.
 */
export async function* validRecords(files: JournalFiles, from: Lsn): AsyncGenerator<ValidRecord> {
  const journal = new JournalBytes(files);
  try {
    let previous: Lsn | null = null;
    let at = await journal.firstRecord(aligned(from));
    for (;;) {
      const found = await readOne(journal, files.segmentBytes, at);
      if (found === null) return;
      if ('givenUp' in found) {
        at = found.givenUp;
        continue;
      }
      if (previous !== null && found.bytes.readBigUInt64LE(AT_PREVIOUS) !== previous) return;
      yield found;
      previous = found.start;
      at = journal.skipPageHeader(found.end);
    }
  } catch (error) {
    // There is no file any more: so far it goes.
    if (!(error instanceof StillpointError) || error.failure.code !== 'journal-damaged') throw error;
  } finally {
    await journal.close();
  }
}

async function readOne(
  journal: JournalBytes,
  segmentBytes: number,
  start: Lsn,
): Promise<ValidRecord | { readonly givenUp: Lsn } | null> {
  const { bytes: header } = await journal.read(start, RECORD_HEADER);
  const length = header.readUInt32LE(0);
  if (length < RECORD_HEADER || length > MOST_RECORD_BYTES) return null;
  const end = journal.advance(start, length);
  const givenUp = await journal.overwrittenAt(start, end);
  if (givenUp !== null) return { givenUp };
  const { bytes } = await journal.read(start, length);
  if (checksumOf(bytes) !== bytes.readUInt32LE(AT_CHECKSUM)) return null;
  const [info, manager] = [bytes.readUInt8(16), bytes.readUInt8(17)];
  // The rest of its file is empty.
  const isLast = isSwitch({ info, manager });
  const next = isLast ? segmentStart(segmentOf(start, segmentBytes) + 1n, segmentBytes) : aligned(end);
  return { start, end: next, manager, info, bytes };
}

/** The body first, then the header up to the checksum itself. */
function checksumOf(record: Buffer): number {
  return new Crc32c().update(record.subarray(RECORD_HEADER)).update(record.subarray(0, AT_CHECKSUM)).digest();
}

import type { FileHandle } from 'node:fs/promises';
import type { JournalFiles } from '../journal/journal-bytes.ts';
import { parseLsn, segmentName, segmentOf, type Lsn } from '../journal/lsn.ts';
import { validRecords, type ValidRecord } from '../journal/valid-records.ts';
import { RECORD_HEADER, XLOG_RESOURCE_MANAGER } from '../journal/wal-records.ts';

/** Of src/include/catalog/pg_control.h. */
const XLOG_BACKUP_END = 0x50;
const XLOG_RESTORE_POINT = 0x70;
/** After the header of a record: the kind of its main data, and how long that is. */
const MAIN_DATA = RECORD_HEADER + 2;

export interface JournalFileName {
  readonly timeline: number;
  readonly segment: bigint;
}

/** Null of what is no whole journal file by its name: `.partial`, `.history`, `.backup`, compressed ones. */
export function parseJournalFileName(name: string, segmentBytes: number): JournalFileName | null {
  if (!/^[0-9A-F]{24}$/.test(name)) return null;
  const perLog = 0x100000000n / BigInt(segmentBytes);
  const [timeline = 0, log = 0, number = 0] = [0, 8, 16].map((at) =>
    Number.parseInt(name.slice(at, at + 8), 16),
  );
  return BigInt(number) < perLog ? { timeline, segment: BigInt(log) * perLog + BigInt(number) } : null;
}

/** How far the journal goes from a position on, and whether a backup that began there ends in it. */
export async function readJournal(
  files: JournalFiles,
  start: Lsn,
  to: Lsn | null,
): Promise<{ readonly end: Lsn; readonly lastRecord: Lsn | null; readonly backupEnd: Lsn | null }> {
  let end = start;
  let lastRecord: Lsn | null = null;
  let backupEnd: Lsn | null = null;
  for await (const record of validRecords(files, start)) {
    end = record.end;
    lastRecord = record.start;
    if (backupEnd === null && isEndOfBackup(record, start)) backupEnd = record.end;
    if (to !== null && (end >= to || backupEnd !== null)) break;
  }
  return { end, lastRecord, backupEnd };
}

function isEndOfBackup({ manager, info, bytes }: ValidRecord, start: Lsn): boolean {
  if (manager !== XLOG_RESOURCE_MANAGER || (info & 0xf0) !== XLOG_BACKUP_END) return false;
  return bytes.length >= MAIN_DATA + 8 && bytes.readBigUInt64LE(MAIN_DATA) === start;
}

/** The name of the restore point that this record is; null where it is none. */
export function restorePointIn({ manager, info, bytes }: ValidRecord): string | null {
  if (manager !== XLOG_RESOURCE_MANAGER || (info & 0xf0) !== XLOG_RESTORE_POINT) return null;
  // A time comes first, then 64 bytes of name.
  const name = bytes.subarray(MAIN_DATA + 8);
  const end = name.indexOf(0);
  return name.toString('utf8', 0, end < 0 ? name.length : end);
}

/** What the first page of a journal file says of itself (XLogLongPageHeaderData); null where it begins with none. */
export async function readFileHeader(
  file: FileHandle,
): Promise<{ systemIdentifier: string; timeline: number; start: Lsn; segmentBytes: number } | null> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(40), 0, 40, 0);
  const isLong = bytesRead === 40 && (buffer.readUInt16LE(2) & 0x0002) !== 0;
  if (!isLong) return null;
  return {
    timeline: buffer.readUInt32LE(4),
    start: buffer.readBigUInt64LE(8),
    systemIdentifier: String(buffer.readBigUInt64LE(24)),
    segmentBytes: buffer.readUInt32LE(32),
  };
}

/** `<switched at>` of each timeline that led to this one, oldest first, as its history file says. */
export function parseHistory(text: string): { readonly timeline: number; readonly end: Lsn }[] {
  return text.split('\n').flatMap((line) => {
    const found = /^\s*(\d+)\s+([0-9A-F]{1,8}\/[0-9A-F]{1,8})\b/.exec(line);
    return found === null ? [] : [{ timeline: Number(found[1]), end: parseLsn(found[2] ?? '') }];
  });
}

export function historyName(timeline: number): string {
  return `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
}

export function fileNameAt(position: Lsn, timeline: number, segmentBytes: number): string {
  return segmentName(segmentOf(position, segmentBytes), timeline, segmentBytes);
}

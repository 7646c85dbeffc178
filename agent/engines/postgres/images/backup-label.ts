import { parseLsn, type Lsn } from '../journal/lsn.ts';

/** What pg_backup_start, or pg_basebackup, left with a copy (backup_label). */
export interface BackupLabel {
  readonly start: Lsn;
  readonly timeline: number;
  readonly fromStandby: boolean;
  /** It has only what changed since another: pg_combinebackup makes a whole one. */
  readonly isIncremental: boolean;
}

/** Null where it is none. */
export function parseBackupLabel(text: string): BackupLabel | null {
  const start =
    /^START WAL LOCATION: ([0-9A-F]{1,8}\/[0-9A-F]{1,8}) \(file ([0-9A-F]{8})[0-9A-F]{16}\)$/m.exec(text);
  if (start === null) return null;
  const timeline = /^START TIMELINE: (\d+)$/m.exec(text)?.[1];
  return {
    start: parseLsn(start[1] ?? ''),
    timeline: timeline === undefined ? Number.parseInt(start[2] ?? '', 16) : Number(timeline),
    fromStandby: /^BACKUP FROM: standby$/m.test(text),
    isIncremental: /^INCREMENTAL FROM LSN: /m.test(text),
  };
}

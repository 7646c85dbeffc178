/** PostgreSQL's positions in the journal (WAL): a 64-bit byte offset, written `A/B30F0188`. */
export type Lsn = bigint;

export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  if (match === null) throw new Error(`'${text}' is no LSN`);
  return (BigInt(`0x${match[1] ?? '0'}`) << 32n) | BigInt(`0x${match[2] ?? '0'}`);
}

export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
}

/**
 * The name of the file that holds the byte before this position: the file that ends here, or in which the
 * position lies. Computed here because pg_walfile_name() names the previous file at a boundary on 15 and the
 * current one on 18.
 */
export function fileEndingAt(lsn: Lsn, timeline: number, segmentBytes: number): string {
  return segmentName((lsn - 1n) / BigInt(segmentBytes), timeline, segmentBytes);
}

export function segmentOf(lsn: Lsn, segmentBytes: number): bigint {
  return lsn / BigInt(segmentBytes);
}

export function segmentStart(segment: bigint, segmentBytes: number): Lsn {
  return segment * BigInt(segmentBytes);
}

/** 24 hex digits: timeline, then the segment's number split as PostgreSQL splits it. */
export function segmentName(segment: bigint, timeline: number, segmentBytes: number): string {
  const perLog = 0x100000000n / BigInt(segmentBytes);
  return [BigInt(timeline), segment / perLog, segment % perLog]
    .map((part) => part.toString(16).toUpperCase().padStart(8, '0'))
    .join('');
}

import { Crc32c } from '../journal/crc32c.ts';
import type { Lsn } from '../journal/lsn.ts';

/**
 * The whole of a control file, as an image has it (src/include/catalog/pg_control.h of PostgreSQL 14 to 18, of a machine
 * of this one's byte order).
 */
export interface ControlData {
  readonly systemIdentifier: string;
  readonly state: ControlState;
  /** Where recovery begins, and on which timeline. */
  readonly redo: Lsn;
  readonly timeline: number;
  /** Of a standby: its files are consistent from there on; 0 of a primary. */
  readonly minRecoveryPoint: Lsn;
  readonly segmentBytes: number;
}

type ControlState = (typeof STATES)[number];

const STATES = [
  'starting up',
  'shut down',
  'shut down in recovery',
  'shutting down',
  'in crash recovery',
  'in recovery',
  'in production',
] as const;

/** Where the checksum stands, by the version of the file. */
const CHECKSUM_AT = new Map([
  [1300, 288],
  [1700, 288],
  [1800, 292],
]);
const AT = {
  version: 8,
  state: 16,
  redo: 40,
  timeline: 48,
  minRecoveryPoint: 136,
  minRecoveryTimeline: 144,
  segmentBytes: 228,
} as const;

/** Null where it is none that a server of these versions wrote as a whole. */
export function parseControlData(bytes: Buffer): ControlData | null {
  const at = bytes.length < AT.segmentBytes ? undefined : CHECKSUM_AT.get(bytes.readUInt32LE(AT.version));
  if (at === undefined || bytes.length < at + 4) return null;
  const state = STATES[bytes.readUInt32LE(AT.state)];
  if (checksumOf(bytes, at) !== bytes.readUInt32LE(at) || state === undefined) return null;
  return {
    systemIdentifier: String(bytes.readBigUInt64LE(0)),
    state,
    redo: bytes.readBigUInt64LE(AT.redo),
    timeline: bytes.readUInt32LE(AT.timeline),
    minRecoveryPoint: bytes.readBigUInt64LE(AT.minRecoveryPoint),
    segmentBytes: bytes.readUInt32LE(AT.segmentBytes),
  };
}

/**
 * The same, saying that the files are consistent from a position on and not before. The server then recovers them from its
 * journal as it does with a copy of a standby, and takes no earlier point for the end.
 */
export function withMinRecoveryPoint(control: Buffer, position: Lsn, timeline: number): Buffer {
  const bytes = Buffer.from(control);
  bytes.writeBigUInt64LE(position, AT.minRecoveryPoint);
  bytes.writeUInt32LE(timeline, AT.minRecoveryTimeline);
  const at = CHECKSUM_AT.get(bytes.readUInt32LE(AT.version)) ?? 0;
  bytes.writeUInt32LE(checksumOf(bytes, at), at);
  return bytes;
}

function checksumOf(bytes: Buffer, at: number): number {
  return new Crc32c().update(bytes.subarray(0, at)).digest();
}

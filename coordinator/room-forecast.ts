import type { MemberDescription } from '../shared/domain/grid.ts';
import type { Warning } from '../shared/domain/warning.ts';

/** How an earlier checkpoint of the grid went: it says how fast this one will be. */
export interface EarlierCheckpoint {
  readonly sizeBytes: number;
  readonly durationMs: number;
}

/** What a checkpoint will add, as far as it can be known before. */
export interface RoomForecast {
  readonly dataBytes: number;
  /** What members write while their data is copied: all of it belongs to the checkpoint. */
  readonly journalBytes: number;
  readonly copySeconds: number;
}

/** Where no checkpoint was measured yet: a disk and a network of today are faster, a busy server is not. */
const DEFAULT_BYTES_PER_SECOND = 50 * 1024 * 1024;
/** What a checkpoint is taken to add, as a share of the members' size, when an earlier one is there. */
const SHARE_ADDED = 0.25;
/** Journal that stays on an agent's disk from the arm to the end of the last attempt. */
const HELD_SECONDS = 30;
/** Room that every agent needs for files of journal on their way to the repository. */
const SPOOL_BYTES = 64 * 1024 * 1024;
/** Journal is worth a word when there is more of it than this, and more than half of the data. */
const NOTEWORTHY_BYTES = 1024 ** 3;

/** Of the members whose data is copied. */
export function forecastRoom(
  members: readonly MemberDescription[],
  earlier: EarlierCheckpoint | null,
): RoomForecast {
  const isKnown = members.every((member) => member.sizeBytes > 0);
  const described = sum(members, (member) => member.sizeBytes);
  // An agent that could not ask in time for the size of a large server says 0: what the last one held is nearer.
  const sizeBytes = isKnown ? described : Math.max(described, earlier?.sizeBytes ?? 0);
  const copySeconds = Math.max(
    measuredSeconds(sizeBytes, earlier) ?? longest(members, DEFAULT_BYTES_PER_SECOND),
    // However fast the last one was: this much is asked of it now.
    longest(members, Infinity),
  );
  return {
    dataBytes: sizeBytes * (earlier === null ? 1 : SHARE_ADDED),
    journalBytes: Math.round(copySeconds * sum(members, (member) => member.journalBytesPerSecond)),
    copySeconds: Math.ceil(copySeconds),
  };
}

/** What the agent of these members needs on its own disk. */
export function spoolBytes(members: readonly MemberDescription[]): number {
  return SPOOL_BYTES + HELD_SECONDS * sum(members, (member) => member.journalBytesPerSecond);
}

/** What to know of a checkpoint that is mostly journal; null where it is not. */
export function journalWarning({ dataBytes, journalBytes, copySeconds }: RoomForecast): Warning | null {
  if (journalBytes < NOTEWORTHY_BYTES || journalBytes < dataBytes / 2) return null;
  return {
    code: 'mostly-journal',
    about: null,
    text: `some ${megabytes(journalBytes)} of journal go into this checkpoint, which the members write in the ${inWords(copySeconds)} that the copy may take`,
    hint: 'take it at a quieter hour, or raise copy.maxRate',
  };
}

export function inWords(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 360) / 10} h`;
}

export function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 / 1024)} MB`;
}

function measuredSeconds(sizeBytes: number, earlier: EarlierCheckpoint | null): number | null {
  if (earlier === null || earlier.sizeBytes === 0) return null;
  return (earlier.durationMs / 1000) * Math.max(1, sizeBytes / earlier.sizeBytes);
}

/** Members are copied side by side: the slowest decides. */
function longest(members: readonly MemberDescription[], bytesPerSecond: number): number {
  return Math.max(
    0,
    ...members.map(({ sizeBytes, copyBytesPerSecond }) => {
      const rate = copyBytesPerSecond === 0 ? bytesPerSecond : Math.min(copyBytesPerSecond, bytesPerSecond);
      return sizeBytes / rate;
    }),
  );
}

function sum(members: readonly MemberDescription[], of: (member: MemberDescription) => number): number {
  return members.reduce((all, member) => all + of(member), 0);
}

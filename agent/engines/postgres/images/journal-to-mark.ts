import type { FileHandle } from 'node:fs/promises';
import type { ImageManifest } from '../../../../shared/domain/backup-set.ts';
import { closing } from '../../../anchored-directory.ts';
import type { PostgresFacts } from '../copy/facts.ts';
import type { JournalFiles } from '../journal/journal-bytes.ts';
import { formatLsn, parseLsn, segmentName, segmentOf, segmentStart, type Lsn } from '../journal/lsn.ts';
import { validRecords } from '../journal/valid-records.ts';
import { imageUnfit, journalForeign, journalMissing } from './image-failures.ts';
import type { ImageFacts } from './image-facts.ts';
import { JOURNAL_ROOM, type ImageFiles } from './image-files.ts';
import { historyName, readFileHeader, readJournal, restorePointIn } from './image-journal.ts';
import type { JournalArchive } from './journal-archive.ts';
import { Timelines } from './timelines.ts';

const MOST_NAMED = 3;
const SINCE =
  "put every journal file since the image, whole and as the server wrote it, into the member's directory for journals (journals: DIR in the agent file); where one is gone, restore from a later image to a later checkpoint";
const LATER = 'restore to a checkpoint that was made after this backup (stillpoint journal-checkpoint)';

/** A journal file that goes with an image, and where it lies. */
export interface TakenFile {
  readonly name: string;
  readonly segment: bigint;
  readonly from: 'archive' | 'image';
}

export interface MarkedImage {
  readonly member: string;
  readonly image: ImageManifest;
  readonly facts: ImageFacts;
  readonly files: ImageFiles;
  readonly root: string;
  readonly archive: JournalArchive | null;
  /** Of the operation to whose mark it is brought. */
  readonly mark: PostgresFacts;
  readonly signal: AbortSignal;
}

/**
 * The journal that brings an image to a mark: every file from the first that it needs to the one in which the mark lies,
 * without a gap, and the mark in it. Rejects where the image is not consistent by then.
 */
export async function journalToMark(
  input: MarkedImage,
): Promise<{ readonly timelines: Timelines; readonly taken: readonly TakenFile[] }> {
  const { facts, mark } = input;
  const markPosition = parseLsn(mark.markPosition ?? '0/0');
  const { start, consistentAt } = facts;
  if (start >= markPosition || (consistentAt !== null && consistentAt > markPosition))
    throw tooNew(input, consistentAt ?? start);
  const timelines = await timelinesTo(input);
  const taken = filesOf(input, timelines, markPosition);
  for (const file of taken) {
    input.signal.throwIfAborted();
    await mustBeWhole(input, file);
  }
  const files = opened(input, taken);
  await mustHaveMark(input, files, markPosition);
  for (const file of taken.filter(({ from }) => from === 'image'))
    await mustReachNext(input, files, file, markPosition);
  if (consistentAt === null) {
    const { backupEnd, end } = await readJournal(files, start, markPosition);
    if (backupEnd === null && end < markPosition) throw brokenOff(input, end);
    if (backupEnd === null || backupEnd > markPosition) throw tooNew(input, null);
  }
  return { timelines, taken };
}

/** A file that goes with an image, from wherever it lies. */
export function openTaken({ files, archive }: MarkedImage, { name, from }: TakenFile): Promise<FileHandle> {
  return from === 'archive' && archive !== null
    ? archive.openFile(name)
    : files.open(`${JOURNAL_ROOM}/${name}`);
}

/** History files, of the archive or of the image. */
export async function readHistory({ files, archive }: MarkedImage, name: string): Promise<Buffer | null> {
  const archived = archive === null ? null : await archive.read(name);
  return archived ?? files.read(`${JOURNAL_ROOM}/${name}`);
}

async function timelinesTo(input: MarkedImage): Promise<Timelines> {
  const { member, facts, mark, image, root } = input;
  const name = historyName(mark.timeline);
  const history = mark.timeline === 1 ? null : await readHistory(input, name);
  if (history === null && facts.timeline !== mark.timeline)
    throw journalMissing(
      member,
      `its image ${image.image} is of timeline ${facts.timeline}, the mark of ${mark.timeline}, and ${name} is not there`,
      "put it into the member's directory for journals: archive_command is given it when a standby is promoted",
    );
  const timelines = new Timelines(
    mark.timeline,
    history?.toString('utf8') ?? null,
    facts.walSegmentSizeBytes,
  );
  const position = facts.consistentAt ?? facts.start;
  if (timelines.has(facts.timeline, position)) return timelines;
  throw imageUnfit(
    image.image,
    root,
    `is of timeline ${facts.timeline} at ${formatLsn(position)}, which is not in the history of timeline ${mark.timeline}`,
    'name an image of what became of this very server: not of a copy that went another way, or was started',
  );
}

/** Of the archive before the image's own: what was being written when the image was made is whole only there. */
function filesOf(input: MarkedImage, timelines: Timelines, markPosition: Lsn): TakenFile[] {
  const { member, facts, archive, image } = input;
  const { walSegmentSizeBytes: segmentBytes, start } = facts;
  const own = new Map(
    image.entries.flatMap((entry) =>
      entry.kind === 'file' && entry.path.startsWith(`${JOURNAL_ROOM}/`)
        ? [[entry.path.slice(JOURNAL_ROOM.length + 1), entry.sizeBytes] as const]
        : [],
    ),
  );
  const taken: TakenFile[] = [];
  const missing: string[] = [];
  const last = segmentOf(markPosition - 1n, segmentBytes);
  for (let segment = segmentOf(start, segmentBytes); segment <= last; segment += 1n) {
    const name = segmentName(segment, timelines.of(segment), segmentBytes);
    if (archive?.sizeOf(name) === segmentBytes) taken.push({ name, segment, from: 'archive' });
    else if (own.get(name) === segmentBytes) taken.push({ name, segment, from: 'image' });
    else missing.push(name);
  }
  if (missing.length === 0) return taken;
  throw journalMissing(member, whatIsMissing(input, missing), SINCE);
}

function whatIsMissing({ image, archive }: MarkedImage, missing: readonly string[]): string {
  const named = missing.slice(0, MOST_NAMED).map((name) => {
    const size = archive?.sizeOf(name) ?? null;
    if (size !== null) return `${name} (it has ${size} bytes)`;
    const like = archive?.like(name) ?? null;
    return like === null ? name : `${name} (there is ${like})`;
  });
  const more = missing.length > MOST_NAMED ? ` and ${missing.length - MOST_NAMED} more` : '';
  const where =
    archive === null ? 'the agent file names no journals that are there' : `nor in ${archive.path}`;
  return `journal files from its image ${image.image} to the mark are not in the image, ${where}: ${named.join(', ')}${more}`;
}

/** By what its first page says. */
async function mustBeWhole(input: MarkedImage, file: TakenFile): Promise<void> {
  const { member, mark, facts, image } = input;
  const { walSegmentSizeBytes: segmentBytes } = facts;
  const header = await closing(await openTaken(input, file), readFileHeader);
  const where = whereIs(input, file);
  if (header === null || header.start !== segmentStart(file.segment, segmentBytes))
    throw journalMissing(
      member,
      `${where} is not the journal file of that name: it does not begin as one`,
      SINCE,
    );
  if (header.systemIdentifier !== mark.systemIdentifier)
    throw journalForeign(
      member,
      `${where} is of the server ${header.systemIdentifier}, and its image ${image.image} of ${mark.systemIdentifier}`,
      'name the journals of this member alone: journals: DIR in the agent file',
    );
}

function opened(input: MarkedImage, taken: readonly TakenFile[]): JournalFiles {
  const bySegment = new Map(taken.map((file) => [file.segment, file]));
  const { timeline, walSegmentSizeBytes: segmentBytes } = input.facts;
  return {
    directory: input.files.path,
    timeline,
    segmentBytes,
    openSegment: (segment) => {
      const file = bySegment.get(segment);
      if (file !== undefined) return openTaken(input, file);
      return Promise.reject(Object.assign(new Error('it is not taken'), { code: 'ENOENT' }));
    },
  };
}

/** The record of the restore point ends at the mark, and bears its name. */
async function mustHaveMark(input: MarkedImage, files: JournalFiles, markPosition: Lsn): Promise<void> {
  const { member, mark, facts } = input;
  const { walSegmentSizeBytes: segmentBytes } = facts;
  const segment = segmentOf(markPosition - 1n, segmentBytes);
  const begin = segmentStart(segment, segmentBytes);
  let end = facts.start > begin ? facts.start : begin;
  for await (const record of validRecords(files, end)) {
    end = record.end;
    if (record.end < markPosition) continue;
    if (record.end === markPosition && restorePointIn(record) === mark.restorePoint) return;
    throw journalForeign(
      member,
      `the journal has no restore point ${mark.restorePoint ?? ''} at ${mark.markPosition ?? ''}`,
      'name the journals of the server that was marked, and not of a copy of it that went another way',
    );
  }
  throw brokenOff(input, end);
}

/** What an image has of the file that was being written ends in the middle of it. */
async function mustReachNext(
  input: MarkedImage,
  files: JournalFiles,
  { segment }: TakenFile,
  markPosition: Lsn,
): Promise<void> {
  const { facts } = input;
  const { walSegmentSizeBytes: segmentBytes } = facts;
  const next = segmentStart(segment + 1n, segmentBytes);
  const to = next < markPosition ? next : markPosition;
  const begin = segmentStart(segment, segmentBytes);
  let end = facts.start > begin ? facts.start : begin;
  for await (const record of validRecords(files, end)) {
    end = record.end;
    if (end >= to) return;
  }
  throw brokenOff(input, end);
}

function brokenOff({ member, image, archive }: MarkedImage, at: Lsn): Error {
  const where = archive === null ? '' : ` and ${archive.path}`;
  return journalMissing(
    member,
    `the journal in its image ${image.image}${where} breaks off at ${formatLsn(at)}, before the mark`,
    SINCE,
  );
}

function tooNew({ image, root, mark }: MarkedImage, consistentAt: Lsn | null): Error {
  const fact =
    consistentAt === null ? 'is not consistent' : `is consistent from ${formatLsn(consistentAt)} on`;
  return imageUnfit(
    image.image,
    root,
    `${fact}: its backup had not ended at the mark, ${mark.markPosition ?? ''}`,
    LATER,
  );
}

function whereIs({ image, archive }: MarkedImage, { name, from }: TakenFile): string {
  return from === 'archive' && archive !== null
    ? archive.nameOf(name)
    : `${name} in its image ${image.image}`;
}

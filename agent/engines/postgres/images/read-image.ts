import type { ImageEntry, ImageManifest } from '../../../../shared/domain/backup-set.ts';
import type { JournalFiles } from '../journal/journal-bytes.ts';
import { segmentName, type Lsn } from '../journal/lsn.ts';
import { NEWEST_VERSION, OLDEST_VERSION } from '../server/server-facts.ts';
import { CONTROL_FILE } from '../restore/control-file.ts';
import { ListedFiles } from './backup-list.ts';
import { parseBackupLabel, type BackupLabel } from './backup-label.ts';
import { parseControlData, type ControlData } from './control-data.ts';
import { formatImageFacts, type ImageFacts } from './image-facts.ts';
import { imageUnfit } from './image-failures.ts';
import { JOURNAL_ROOM, type FoundEntry, type ImageFiles } from './image-files.ts';
import { fileNameAt, parseJournalFileName, readJournal } from './image-journal.ts';

const LABEL = 'backup_label';

interface Reading {
  readonly files: ImageFiles;
  /** For messages: its name, and the directory for images. */
  readonly name: string;
  readonly root: string;
  readonly entries: readonly FoundEntry[];
}

/** Reads every byte of an image, and finds out what it is. Rejects `image-unfit` where no server could be started from it. */
export async function readImage(
  input: Omit<Reading, 'entries'> & {
    readonly member: string;
    readonly signal: AbortSignal;
    readonly progress: (bytesDone: number) => void;
  },
): Promise<ImageManifest> {
  const { files, name, member, signal } = input;
  const found = await files.list(signal);
  const reading = { ...input, entries: found };
  const majorVersion = await versionOf(reading);
  const control = await controlOf(reading);
  const label = await labelOf(reading);
  const list = await ListedFiles.read(reading, control.redo);
  const entries: ImageEntry[] = [];
  let bytesDone = 0;
  for (const entry of found) {
    signal.throwIfAborted();
    if (entry.kind !== 'file') {
      entries.push(entry);
      continue;
    }
    const digest = await list.digest(entry, (bytes) => {
      signal.throwIfAborted();
      bytesDone += bytes.byteLength;
      input.progress(bytesDone);
    });
    entries.push({ ...entry, digest });
  }
  list.mustBeWhole();
  const facts = await factsOf(reading, { majorVersion, control, label, stop: list.stop });
  const { start, end, timeline, walSegmentSizeBytes } = facts;
  const last = end === null ? null : (end - 1n) / BigInt(walSegmentSizeBytes);
  return {
    member,
    image: name,
    engine: 'postgres',
    dataIdentity: control.systemIdentifier,
    entries,
    firstJournalFile: fileNameAt(start, timeline, walSegmentSizeBytes),
    // Those behind the end are old ones that the server was going to write anew.
    journalFiles: journalIn(found, walSegmentSizeBytes)
      .filter(({ segment }) => last === null || segment <= last)
      .map((file) => file.name),
    engineFacts: formatImageFacts(facts),
  };
}

/** The whole journal files in an image, in their order. */
function journalIn(
  entries: readonly FoundEntry[],
  segmentBytes: number,
): { readonly name: string; readonly timeline: number; readonly segment: bigint }[] {
  return entries
    .flatMap((entry) => {
      if (entry.kind !== 'file' || !entry.path.startsWith(`${JOURNAL_ROOM}/`)) return [];
      const name = entry.path.slice(JOURNAL_ROOM.length + 1);
      const parsed = parseJournalFileName(name, segmentBytes);
      return parsed === null || entry.sizeBytes !== segmentBytes ? [] : [{ name, ...parsed }];
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

async function factsOf(
  reading: Reading,
  known: {
    readonly majorVersion: number;
    readonly control: ControlData;
    readonly label: BackupLabel | null;
    readonly stop: Lsn | null;
  },
): Promise<ImageFacts> {
  const { control, label, majorVersion } = known;
  const { files, name, root } = reading;
  const kind = kindOf(control, label);
  const start = label?.start ?? control.redo;
  const timeline = label?.timeline ?? control.timeline;
  const { segmentBytes } = control;
  const inside: JournalFiles = {
    directory: files.path,
    timeline,
    segmentBytes,
    openSegment: (segment) => files.open(`${JOURNAL_ROOM}/${segmentName(segment, timeline, segmentBytes)}`),
  };
  const journal = await readJournal(inside, start, null);
  const hasJournal = journal.lastRecord !== null;
  if (kind === 'snapshot' && !hasJournal)
    throw imageUnfit(
      name,
      root,
      `is of a server that ran, has no backup_label, and has not the journal from ${fileNameAt(start, timeline, segmentBytes)} on`,
      'make it with pg_basebackup, or between pg_backup_start and pg_backup_stop; a snapshot must have pg_wal and all tablespaces of the same instant',
    );
  return {
    kind,
    majorVersion,
    timeline,
    walSegmentSizeBytes: segmentBytes,
    start,
    consistentAt: consistencyOf(kind, { ...known, journal }),
    end: hasJournal ? journal.end : null,
    lastRecord: kind === 'stopped' ? null : journal.lastRecord,
    tablespaces: files.tablespaces,
  };
}

function kindOf({ state }: ControlData, label: BackupLabel | null): ImageFacts['kind'] {
  if (label !== null) return 'backup';
  if (state === 'shut down') return 'stopped';
  return state === 'in recovery' || state === 'shut down in recovery' ? 'standby' : 'snapshot';
}

function consistencyOf(
  kind: ImageFacts['kind'],
  known: {
    readonly control: ControlData;
    readonly label: BackupLabel | null;
    readonly stop: Lsn | null;
    readonly journal: { readonly end: Lsn; readonly backupEnd: Lsn | null };
  },
): Lsn | null {
  const { control, label, stop, journal } = known;
  switch (kind) {
    case 'stopped':
      return control.redo;
    case 'standby':
      return control.minRecoveryPoint;
    // Whatever page it has, the journal for it was on disk before.
    case 'snapshot':
      return journal.end;
    default:
      return label?.fromStandby === true ? control.minRecoveryPoint : (stop ?? journal.backupEnd);
  }
}

async function versionOf({ files, name, root }: Reading): Promise<number> {
  const text = (await files.read('PG_VERSION'))?.toString('utf8').trim() ?? '';
  const version = Number(text);
  if (Number.isInteger(version) && version >= OLDEST_VERSION && version <= NEWEST_VERSION) return version;
  throw imageUnfit(
    name,
    root,
    text === ''
      ? 'is no data directory: it has no PG_VERSION'
      : `is of PostgreSQL ${text}, which is not supported`,
    'name the directory that holds the copy of the data directory itself',
  );
}

async function controlOf({ files, name, root }: Reading): Promise<ControlData> {
  const bytes = await files.read(CONTROL_FILE);
  const control = bytes === null ? null : parseControlData(bytes);
  if (control !== null && control.state !== 'starting up') return control;
  throw imageUnfit(
    name,
    root,
    bytes === null ? `has no ${CONTROL_FILE}` : `has a ${CONTROL_FILE} that cannot be read as one`,
    'the copy is not whole, or was made without pg_backup_start: make it anew',
  );
}

async function labelOf({ files, entries, name, root }: Reading): Promise<BackupLabel | null> {
  const bytes = await files.read(LABEL);
  if (bytes === null) return null;
  const label = parseBackupLabel(bytes.toString('utf8'));
  const isPart = entries.some(({ path }) => /(^|\/)INCREMENTAL\.[^/]+$/.test(path));
  if (label !== null && !label.isIncremental && !isPart) return label;
  throw label === null
    ? imageUnfit(name, root, `has a ${LABEL} that cannot be read as one`, 'make the copy anew')
    : imageUnfit(
        name,
        root,
        'is an incremental backup: it has only what changed since another',
        'make a whole one of both with pg_combinebackup, and name that',
      );
}

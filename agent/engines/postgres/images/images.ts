import { join } from 'node:path';
import type { Approach, ImageEntry, ImageManifest } from '../../../../shared/domain/backup-set.ts';
import type { MemberManifest } from '../../../../shared/domain/manifest.ts';
import type { ArtifactSource, Images } from '../../engine.ts';
import { ownerOf } from '../../restore/owner.ts';
import { readBeside } from '../../../safe-files.ts';
import { parseFacts, type PostgresFacts } from '../copy/facts.ts';
import { formatLsn, parseLsn, segmentOf, segmentStart } from '../journal/lsn.ts';
import { isPristine } from '../look/pristine.ts';
import { CONTROL_FILE } from '../restore/control-file.ts';
import type { PostgresSettings } from '../settings.ts';
import { parseControlData, withMinRecoveryPoint } from './control-data.ts';
import { parseImageFacts, type ImageFacts } from './image-facts.ts';
import { imageChanged, imageUnfit, journalForeign } from './image-failures.ts';
import { ImageFiles, JOURNAL_ROOM, type FoundEntry } from './image-files.ts';
import { ImageSource } from './image-source.ts';
import { JournalArchive } from './journal-archive.ts';
import { parseJournalFileName } from './image-journal.ts';
import { journalToMark, openTaken, readHistory, type MarkedImage } from './journal-to-mark.ts';
import { readImage } from './read-image.ts';
import { stoppedFacts } from './stopped-facts.ts';

type Imaging = PostgresSettings & { readonly images: string };

interface Opening {
  readonly image: ImageManifest;
  readonly facts: ImageFacts;
  readonly files: ImageFiles;
  readonly mark: MemberManifest;
  readonly signal: AbortSignal;
}

/**
 * Copies of a server that its operator made: by pg_basebackup or a tool like it, between pg_backup_start and stop, as a
 * snapshot of one instant, or while it was shut down. They are read, and never changed, moved or started.
 */
export class PostgresImages implements Images {
  readonly #settings: Imaging;

  constructor(settings: Imaging) {
    this.#settings = settings;
  }

  async read(
    name: string,
    signal: AbortSignal,
    progress: (bytesDone: number) => void,
  ): Promise<ImageManifest> {
    const { images: root, name: member } = this.#settings;
    const files = await ImageFiles.open(root, name, await ownerOf(this.#settings));
    const image = await readImage({ files, name, root, member, signal, progress });
    const live = await this.#liveIdentity();
    if (live !== null && live !== image.dataIdentity)
      throw this.#unfit(
        name,
        `is of the server ${image.dataIdentity}, and ${member} is ${live}`,
        'name an image of this member',
      );
    return image;
  }

  async open(
    image: ImageManifest,
    mark: MemberManifest,
    approach: Approach,
    signal: AbortSignal,
  ): Promise<ArtifactSource> {
    this.#mustBelong(image, mark);
    const files = await ImageFiles.open(this.#settings.images, image.image, await ownerOf(this.#settings));
    const opening = { image, facts: parseImageFacts(image), files, mark, signal };
    await this.#mustBeAsRead(opening);
    if (approach === 'journals') return this.#toMark(opening);
    if (approach === 'quiesce') return this.#toItsEnd(opening);
    throw this.#unfit(
      image.image,
      'cannot have been made in a freeze: no PostgreSQL server can be frozen',
      'restore it with the journals since it was made, to a journal checkpoint',
    );
  }

  /** With the journals of the operator, up to the mark and no further. */
  async #toMark({ image, facts, files, mark, signal }: Opening): Promise<ArtifactSource> {
    const { name: member, images: root, journals } = this.#settings;
    const marked = this.#factsOf(image, mark);
    this.#mustBeLike(image, facts, marked);
    const archive =
      journals === undefined ? null : await JournalArchive.open(journals, await ownerOf(this.#settings));
    const input: MarkedImage = { member, image, facts, files, root, archive, mark: marked, signal };
    const { timelines, taken } = await journalToMark(input);
    const engineFacts: PostgresFacts = {
      ...marked,
      ...ofImage(facts, marked),
      ...(facts.timeline !== marked.timeline && { copyTimeline: facts.timeline }),
    };
    const source = new ImageSource({ image, files, mark, engineFacts });
    const markPosition = parseLsn(marked.markPosition ?? '0/0');
    const { walSegmentSizeBytes: length } = facts;
    for (const file of taken) {
      const keep = Math.min(length, Number(markPosition - segmentStart(file.segment, length)));
      source.addJournal(file.name, () => openTaken(input, file), { keep, length });
    }
    for (const name of timelines.historyNames()) {
      const history = await readHistory(input, name);
      if (history !== null) source.addHistory(name, history);
    }
    consistentOnlyAtItsEnd(source, facts);
    return source;
  }

  /** With the journal inside of it alone, to the end of that. */
  async #toItsEnd(opening: Opening): Promise<ArtifactSource> {
    const { image, facts, files, mark } = opening;
    const marked = mark.engineFacts === null ? null : this.#factsOf(image, mark);
    if (marked === null && facts.kind !== 'stopped')
      throw this.#unfit(
        image.image,
        'was made while its server ran, and the set is of servers that were shut down',
        'shut the server down, and copy its data directory then',
      );
    if (marked !== null) this.#mustBeLike(image, facts, marked);
    const { end, consistentAt } = facts;
    if (end === null || consistentAt === null || consistentAt > end)
      throw this.#unfit(
        image.image,
        'has not the journal that it needs, and in a restore from a quiesce no other is read',
        'make it with that: pg_basebackup --wal-method=stream, or pg_wal copied after pg_backup_stop, or in the snapshot',
      );
    if (marked !== null && end < parseLsn(marked.markPosition ?? '0/0'))
      throw this.#unfit(
        image.image,
        `ends at ${formatLsn(end)}, before the quiesce at ${marked.markPosition ?? ''}: it was made earlier`,
        'name an image that was made while the quiesce held',
      );
    const base = marked ?? (await stoppedFacts(image, facts, files));
    const engineFacts: PostgresFacts = {
      ...base,
      ...ofImage(facts, base),
      markPosition: formatLsn(end),
      restorePoint: null,
      ...(facts.lastRecord !== null && { lastRecord: formatLsn(facts.lastRecord) }),
    };
    const source = new ImageSource({ image, files, mark, engineFacts });
    this.#addOwnJournal(source, opening);
    consistentOnlyAtItsEnd(source, facts);
    return source;
  }

  #addOwnJournal(source: ImageSource, { image, facts, files }: Opening): void {
    const { walSegmentSizeBytes: length, start } = facts;
    for (const entry of image.entries) {
      if (entry.kind !== 'file' || !entry.path.startsWith(`${JOURNAL_ROOM}/`)) continue;
      const name = entry.path.slice(JOURNAL_ROOM.length + 1);
      const parsed = parseJournalFileName(name, length);
      const isOld = parsed === null ? !name.endsWith('.history') : parsed.segment < segmentOf(start, length);
      if (name.includes('/') || isOld) continue;
      source.addJournal(name, () => files.open(entry.path), {
        keep: entry.sizeBytes,
        length: entry.sizeBytes,
      });
    }
  }

  #factsOf(image: ImageManifest, mark: MemberManifest): PostgresFacts {
    const facts = parseFacts(mark);
    if (facts.markPosition !== null && facts.restorePoint !== null) return facts;
    throw this.#unfit(
      image.image,
      `is of ${mark.member.name}, of which ${mark.checkpoint} has no mark: it was a standby then`,
      'name an image of the primary of its copyset',
    );
  }

  /** One server's journal says nothing about another's. */
  #mustBelong(
    { member, image, dataIdentity, engine }: ImageManifest,
    { member: marked, checkpoint }: MemberManifest,
  ): void {
    if (engine !== 'postgres' || member !== marked.name)
      throw this.#unfit(
        image,
        `is of ${member}, and the mark in ${checkpoint} is of ${marked.name}`,
        `name an image of ${marked.name}`,
      );
    if (dataIdentity !== marked.dataIdentity)
      throw this.#unfit(
        image,
        `is of the server ${dataIdentity}, and ${checkpoint} is of ${marked.dataIdentity}`,
        'name an image of the server that the checkpoint was made of',
      );
  }

  #mustBeLike({ image }: ImageManifest, facts: ImageFacts, mark: PostgresFacts): void {
    const major = Math.floor(mark.serverVersion / 10_000);
    if (facts.majorVersion === major && facts.walSegmentSizeBytes === mark.walSegmentSizeBytes) return;
    throw this.#unfit(
      image,
      `is of PostgreSQL ${facts.majorVersion} with journal files of ${facts.walSegmentSizeBytes} bytes, and the server that was marked of ${major} with ${mark.walSegmentSizeBytes}`,
      'name an image of the server as it was when it was marked',
    );
  }

  /** Every file there with its size, and nothing else; what was written since is read again, and all of it when it is restored. */
  async #mustBeAsRead({ image, files, signal }: Opening): Promise<void> {
    const { name: member } = this.#settings;
    const left = new Map(image.entries.map((entry) => [entry.path, entry]));
    for (const found of await files.list(signal)) {
      signal.throwIfAborted();
      const known = left.get(found.path);
      left.delete(found.path);
      if (known === undefined && isJournal(found.path))
        throw journalForeign(
          member,
          `${found.path} lies in its image ${image.image}, and was not there when the image was read`,
          'take it away: what belongs to the image was in it; the journals of an archive stay where they are',
        );
      if (known === undefined || !(await isSame(known, found, files)))
        throw imageChanged(image.image, found.path);
    }
    const [gone] = left.keys();
    if (gone !== undefined) throw imageChanged(image.image, gone);
  }

  /** Of the server that is there now; null where none is, or it cannot be read. */
  async #liveIdentity(): Promise<string | null> {
    const { data } = this.#settings;
    const bytes = await readBeside(join(data, CONTROL_FILE)).catch(() => null);
    if (bytes === null || (await isPristine(data))) return null;
    return parseControlData(bytes)?.systemIdentifier ?? null;
  }

  #unfit(image: string, fact: string, hint: string): Error {
    return imageUnfit(image, this.#settings.images, fact, hint);
  }
}

/** What only the copy knows. A tablespace bears the place that the server said of it. */
function ofImage(
  { start, tablespaces }: ImageFacts,
  known: PostgresFacts,
): Pick<PostgresFacts, 'startPosition' | 'tablespaces' | 'also' | 'leftOut' | 'damagedPages'> {
  return {
    startPosition: formatLsn(start),
    tablespaces: tablespaces.map((oid) => ({
      oid,
      location: known.tablespaces.find((one) => one.oid === oid)?.location ?? '',
    })),
    also: [],
    leftOut: [],
    damagedPages: [],
  };
}

/** A server takes a snapshot for one that has crashed, and would look for no mark in the journal inside of it. */
function consistentOnlyAtItsEnd(source: ImageSource, { kind, end, timeline }: ImageFacts): void {
  if (kind === 'snapshot' && end !== null)
    source.changeControl((bytes) => withMinRecoveryPoint(bytes, end, timeline));
}

function isJournal(path: string): boolean {
  return /^pg_wal\/[0-9A-F]{24}$/.test(path);
}

async function isSame(known: ImageEntry, found: FoundEntry, files: ImageFiles): Promise<boolean> {
  if (known.kind !== found.kind) return false;
  if (known.kind === 'symlink') return found.kind === 'symlink' && known.target === found.target;
  if (known.kind === 'directory' || found.kind !== 'file') return true;
  if (known.sizeBytes !== found.sizeBytes) return false;
  return known.mtimeMs === found.mtimeMs || (await files.digest(found.path)) === known.digest;
}

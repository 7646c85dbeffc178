import { EXIT, StillpointError } from '../../../shared/domain/errors.ts';
import type { HoldFacts, JournalFile } from './hold-facts.ts';

/** A journal file that a restore from an image takes, and from where. */
export interface TakenJournalFile {
  readonly name: string;
  readonly from: 'image' | 'journals';
  /** Cut there; null: all of it. */
  readonly length: number | null;
}

interface Imaged {
  /** For messages: the member, and the image's name. */
  readonly member: string;
  readonly image: string;
  /** In their order. */
  readonly files: readonly JournalFile[];
}

const MOST_NAMED = 3;
const HINTS = {
  held: "copy the member's journal directory with its database files, all of it while it is held, and begin a new set",
  since:
    "put every journal file since the image, whole, into the member's directory for journals (journals: DIR in the agent file); where they are gone, restore to an earlier checkpoint, or from another image",
} as const;
/** So many files are counted from the image to the mark, and no more. */
const MOST_FILES = 1_000_000;

/**
 * The journal that goes with an image whose database files did not change while it was made (a quiesce, a freeze): from
 * the first file that these need to the one that ended at the mark, all of them the image's own. What lies behind the
 * mark stays out; where nothing was written meanwhile (`isStill`), a file of later writes shows that the image is not of
 * that time. Throws before anything is written.
 */
export function journalOfHeld(
  imaged: Imaged,
  facts: HoldFacts & { readonly firstJournalFile: string },
  isStill: boolean,
): TakenJournalFile[] {
  const { journalFile, firstJournalFile } = facts;
  const atMark = new Map(facts.journalAtMark.map(({ name, sizeBytes }) => [name, sizeBytes]));
  const has = new Map(imaged.files.map(({ name, sizeBytes }) => [name, sizeBytes]));
  for (const { name, sizeBytes } of imaged.files) {
    if (name < firstJournalFile || (name > journalFile && !isStill)) continue;
    if (!atMark.has(name)) throw foreign(imaged, name, 'was not there at the mark');
    if (name > journalFile && atMark.get(name) !== sizeBytes)
      throw foreign(imaged, name, `is ${sizeBytes} bytes long, and was ${atMark.get(name)} at the mark`);
  }
  const needed = facts.journalAtMark.filter(({ name }) => name >= firstJournalFile && name <= journalFile);
  const gone = needed.filter(({ name }) => !has.has(name)).map(({ name }) => name);
  if (gone.length > 0) throw missing(imaged, gone, 'not in the image', HINTS.held);
  for (const { name, sizeBytes } of needed)
    mustBeWhole(imaged, { name, sizeBytes }, has.get(name) ?? 0, HINTS.held);
  return needed.map(({ name }) => ({
    name,
    from: 'image',
    length: name === journalFile ? facts.length : null,
  }));
}

/**
 * The journal that goes with an image of any earlier time: from the image's first file up to the mark and no further,
 * without a gap. Files of `journals` go before those of the image: what was being written when the image was made is
 * whole only there. Null: there is no such directory.
 */
export function journalSince(
  imaged: Imaged,
  facts: HoldFacts,
  journals: { readonly directory: string; readonly files: readonly JournalFile[] } | null,
): TakenJournalFile[] {
  const { journalFile } = facts;
  mustBeOlder(imaged, facts);
  const wanted = withoutGap(imaged, facts);
  const archived = new Map(journals?.files.map(({ name, sizeBytes }) => [name, sizeBytes]));
  const closed = closedIn(imaged, facts);
  const gone = wanted.filter((name) => !archived.has(name) && !closed.has(name));
  if (gone.length > 0) {
    const where = journals === null ? 'and the agent file names no journals' : `nor in ${journals.directory}`;
    const open = imaged.files.some(({ name }) => name === gone[0]);
    throw missing(imaged, gone, `not ${open ? 'whole ' : ''}in the image, ${where}`, HINTS.since);
  }
  const atMark = new Map(facts.journalAtMark.map(({ name, sizeBytes }) => [name, sizeBytes]));
  for (const name of wanted) {
    const known = { name, sizeBytes: atMark.get(name) ?? 0 };
    mustBeWhole(imaged, known, archived.get(name) ?? closed.get(name) ?? 0, HINTS.since);
  }
  return wanted.map((name) => ({
    name,
    from: archived.has(name) ? 'journals' : 'image',
    length: name === journalFile ? facts.length : null,
  }));
}

/** A file that is not what it was when the checkpoint was made. */
export function foreign({ member, image }: Imaged, name: string, cause: string): StillpointError {
  return new StillpointError(
    {
      code: 'journal-foreign',
      message: `${member}: the journal file ${name} for its image ${image} is not of it: it ${cause}`,
      hint: 'name the image, and the journals, of this very member; of a quiesce, those that were copied while it held',
    },
    EXIT.refused,
  );
}

/** An image of later than the mark has rows that the mark has not. */
function mustBeOlder({ member, image, files }: Imaged, { journalFile, journalAtMark }: HoldFacts): void {
  const [first] = files;
  const later = files.find(
    ({ name }) => name > journalFile && !journalAtMark.some((known) => known.name === name),
  );
  if (first !== undefined && first.name <= journalFile && later === undefined) return;
  throw new StillpointError(
    {
      code: 'image-unfit',
      message: `${member}: its image ${image} has the journal file ${(later ?? first)?.name ?? '?'}, which is later than the checkpoint`,
      hint: 'restore to a checkpoint that was made after this backup (stillpoint journal-checkpoint)',
    },
    EXIT.refused,
  );
}

/**
 * Every name from the image's first to the mark's. What was there at the mark is known; what was removed before it is
 * known where the image reaches that far, or where the names are numbers without a gap.
 */
function withoutGap(imaged: Imaged, { journalFile, journalAtMark }: HoldFacts): string[] {
  const upToMark = imaged.files.map(({ name }) => name).filter((name) => name <= journalFile);
  const first = upToMark[0] ?? journalFile;
  const known = journalAtMark.map(({ name }) => name);
  if (isNumbered(known)) return counted(imaged, first, journalFile);
  const last = upToMark.at(-1) ?? first;
  if (last < (known[0] ?? journalFile))
    throw missing(
      imaged,
      [`between ${last} and ${known[0] ?? journalFile}`],
      'not known to be whole: the names do not tell',
      HINTS.since,
    );
  const all = new Set([...upToMark, ...known.filter((name) => name >= first && name <= journalFile)]);
  return [...all].toSorted();
}

/** Each name is the one before with its number raised by one. */
function isNumbered(names: readonly string[]): boolean {
  return names.length > 1 && names.every((name, at) => at === 0 || name === after(names[at - 1] ?? ''));
}

function after(name: string): string | null {
  const [, before, number, behind] = /^(\D*)(\d+)(\D*)$/.exec(name) ?? [];
  if (number === undefined) return null;
  return `${before}${String(BigInt(number) + 1n).padStart(number.length, '0')}${behind}`;
}

function counted(imaged: Imaged, first: string, last: string): string[] {
  const names = [first];
  for (let name: string | null = first; name !== last; names.push(name)) {
    name = after(name);
    if (name === null || name > last || names.length === MOST_FILES)
      throw foreign(imaged, first, `and ${last}, which ended at the mark, are not of one row of numbers`);
  }
  return names;
}

/**
 * Files of the image that were whole when it was made, with their lengths: all but the last, which was being written. A
 * process that keeps files for later beside it hides which that was: then none is known to be whole.
 */
function closedIn({ files }: Imaged, { journalFile, journalAtMark }: HoldFacts): ReadonlyMap<string, number> {
  const keepsSpares = journalAtMark.filter(({ name }) => name > journalFile).length > 1;
  const closed = keepsSpares ? [] : files.slice(0, -1);
  return new Map(closed.map(({ name, sizeBytes }) => [name, sizeBytes]));
}

function mustBeWhole(imaged: Imaged, { name, sizeBytes }: JournalFile, found: number, hint: string): void {
  if (found < sizeBytes) throw missing(imaged, [name], `cut: ${found} of ${sizeBytes} bytes`, hint);
}

function missing(
  { member, image }: Imaged,
  names: readonly string[],
  cause: string,
  hint: string,
): StillpointError {
  const named = names.slice(0, MOST_NAMED).join(', ');
  const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : '';
  return new StillpointError(
    {
      code: 'journal-missing',
      message: `${member}: journal for its image ${image} up to the checkpoint is missing: ${named}${more} (${cause})`,
      hint,
    },
    EXIT.refused,
  );
}

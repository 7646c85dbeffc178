import { join } from 'node:path';
import * as z from 'zod';
import type { Approach, ImageEntry, ImageManifest } from '../../../shared/domain/backup-set.ts';
import { EXIT, StillpointError } from '../../../shared/domain/errors.ts';
import type { MemberManifest } from '../../../shared/domain/manifest.ts';
import type { ParticipantDescription } from '../../../shared/domain/participant.ts';
import { readDescription } from '../../../shared/rpc/participant-codec.ts';
import { forEachConcurrently } from '../../../shared/repository/concurrency.ts';
import type { ArtifactSource, Images } from '../engine.ts';
import { ownerOf } from '../restore/owner.ts';
import { holdFactsOf, type HoldFacts, type JournalFile } from './hold-facts.ts';
import { foreign, journalOfHeld, journalSince } from './image-journal.ts';
import { ImageArtifacts, type Origin } from './image-source.ts';
import { ImageTree, type Reader } from './image-tree.ts';
import { withParticipant } from './link.ts';
import { DATA_ROOM } from './node-copy.ts';
import type { NativeSettings } from './settings.ts';
import { DESCRIBED, readSaid } from './stopped.ts';

const LIVE = 'live';
/** As many journal files are open; there may be thousands. */
const HASHED_AT_ONCE = 4;

/** Of an image's `engineFacts`. */
const imageFactsSchema = z.object({
  kind: z.literal('node'),
  /** What of the image is the process's `live/`: empty where all of it is. */
  live: z.enum(['', LIVE]),
  /** Relative to that. */
  journalDirectory: z.string().min(1),
});

type ImageFacts = z.infer<typeof imageFactsSchema>;
type ImagedFile = Extract<ImageEntry, { kind: 'file' }>;
type Imaging = NativeSettings & { readonly images: string };

/**
 * Copies of a node that its operator made: of its data directory, of which `live/` and `described.json` count, or of
 * `live/` alone. They are read, and never changed, moved or linked.
 */
export class NodeImages implements Images {
  readonly #settings: Imaging;

  constructor(settings: Imaging) {
    this.#settings = settings;
  }

  async read(
    name: string,
    signal: AbortSignal,
    progress: (bytesDone: number) => void,
  ): Promise<ImageManifest> {
    let bytesDone = 0;
    const read = (bytes: number): void => progress((bytesDone += bytes));
    const tree = await this.#tree(name);
    const live = await this.#liveOf(tree, name);
    const entries = await entriesOf(tree, live, { signal, read });
    const said = entries.some(({ path }) => live !== '' && path === DESCRIBED)
      ? await this.#said(tree, name)
      : null;
    if (said !== null) this.#mustBeOurs(said, name);
    const now = await this.#now();
    if (said !== null && now !== null && said.dataIdentity !== now.dataIdentity)
      throw this.#unfit(
        name,
        `is of the data ${said.dataIdentity}, and ${this.#settings.name} has ${now.dataIdentity}`,
        'name an image of this member',
      );
    const journalDirectory = said?.journalDirectory ?? now?.journalDirectory ?? '';
    const facts: ImageFacts = { kind: 'node', live, journalDirectory };
    const journalFiles = journalIn({ entries }, facts).map((file) => file.name);
    if (journalFiles.length === 0) throw this.#noJournal(name, facts);
    return {
      member: said?.name ?? this.#settings.name,
      image: name,
      engine: 'native',
      dataIdentity: said?.dataIdentity ?? now?.dataIdentity ?? '',
      entries,
      // The process alone knows, and says it only while its files do not change.
      firstJournalFile: null,
      journalFiles,
      engineFacts: facts,
    };
  }

  async open(
    image: ImageManifest,
    mark: MemberManifest,
    approach: Approach,
    signal: AbortSignal,
  ): Promise<ArtifactSource> {
    const facts = imageFactsSchema.parse(image.engineFacts);
    this.#mustBelong(image, mark);
    const tree = await this.#tree(image.image);
    await this.#mustBeAsRead(tree, image, facts, signal);
    const journal = await this.#journal({ tree, image, facts, signal }, mark, approach);
    const artifacts = new ImageArtifacts();
    const room = `${DATA_ROOM}/${facts.journalDirectory}`;
    artifacts.directory(DATA_ROOM);
    for (const entry of image.entries) {
      const path = inRoom(entry.path, facts);
      if (path === null) continue;
      if (entry.kind === 'directory') artifacts.directory(path);
      else if (entry.kind === 'file' && !path.startsWith(`${room}/`))
        artifacts.file(path, { tree, ...entry });
    }
    for (const { name, origin } of journal) artifacts.file(`${room}/${name}`, origin);
    return artifacts.source(mark, (path) => this.#changed(image.image, path));
  }

  /** The journal that goes with it, each file where it lies. */
  async #journal(
    {
      tree,
      image,
      facts,
      signal,
    }: { tree: ImageTree; image: ImageManifest; facts: ImageFacts; signal: AbortSignal },
    mark: MemberManifest,
    approach: Approach,
  ): Promise<{ name: string; origin: Origin }[]> {
    const files = journalIn(image, facts);
    // Everybody was shut down: there is no mark, and the image is what it is.
    if (mark.mark === null && approach === 'quiesce')
      return files.map((file) => ({ name: file.name, origin: { ...file, tree } }));
    const marked = holdFactsOf(mark);
    const imaged = { member: this.#settings.name, image: image.image, files };
    const journals = await this.#journals();
    const taken =
      approach === 'journals'
        ? journalSince(imaged, marked, journals)
        : journalOfHeld(imaged, this.#held(marked, image.image), approach === 'quiesce');
    const origins = new Map<string, Origin>();
    await forEachConcurrently(taken, HASHED_AT_ONCE, async ({ name, from, length }) => {
      signal.throwIfAborted();
      const place =
        from === 'journals' && journals !== null
          ? { tree: journals.tree, path: name }
          : { tree, path: join(facts.live, facts.journalDirectory, name) };
      const origin = { ...place, ...(await place.tree.measure(place.path, length)) };
      if (name === marked.journalFile && marked.digest !== null && origin.digest !== marked.digest)
        throw foreign(imaged, name, 'has not the bytes that ended at the mark');
      origins.set(name, origin);
    });
    return taken.flatMap(({ name }) => {
      const origin = origins.get(name);
      return origin === undefined ? [] : [{ name, origin }];
    });
  }

  #held(marked: HoldFacts, image: string): HoldFacts & { firstJournalFile: string } {
    const { firstJournalFile } = marked;
    if (firstJournalFile !== null) return { ...marked, firstJournalFile };
    throw this.#unfit(
      image,
      'cannot be brought to a journal checkpoint by itself: database files went on changing',
      'restore it with the journals since it was made',
    );
  }

  async #journals(): Promise<{ tree: ImageTree; directory: string; files: JournalFile[] } | null> {
    const { journals } = this.#settings;
    if (journals === undefined) return null;
    const tree = new ImageTree(journals, await ownerOf(this.#settings));
    return { tree, directory: journals, files: (await tree.files()) ?? [] };
  }

  async #tree(name: string): Promise<ImageTree> {
    const isPath = name.split('/').every((part) => !['', '.', '..'].includes(part) && !part.includes('\0'));
    if (!isPath) throw this.#missing(name);
    return new ImageTree(join(this.#settings.images, name), await ownerOf(this.#settings));
  }

  async #liveOf(tree: ImageTree, name: string): Promise<ImageFacts['live']> {
    const entries = await tree.entries();
    if (entries === null) throw this.#missing(name);
    return entries.some((entry) => entry.name === LIVE && entry.isDirectory()) ? LIVE : '';
  }

  /** What the process last said of itself when the image was made; null where it did not know yet what it has. */
  async #said(tree: ImageTree, image: string): Promise<ParticipantDescription | null> {
    const parts: Uint8Array[] = [];
    for await (const bytes of tree.content(DESCRIBED, null)) parts.push(bytes);
    try {
      const said = readDescription(Buffer.concat(parts).toString('utf8'));
      return said.dataIdentity === '' ? null : said;
    } catch (error) {
      const { message } = error as Error;
      throw this.#unfit(image, `has a ${DESCRIBED} that cannot be read: ${message}`, 'copy it again');
    }
  }

  /** What the member's process says of itself, or last said. Null where that is not known, or says nothing of data. */
  async #now(): Promise<ParticipantDescription | null> {
    const { name, role, data } = this.#settings;
    const now = await withParticipant(this.#settings, (participant) => participant.describe()).catch(
      (error: unknown) => {
        if (error instanceof StillpointError) return readSaid(join(data, DESCRIBED));
        throw error;
      },
    );
    return now?.name === name && now.role === role && now.dataIdentity !== '' ? now : null;
  }

  #mustBeOurs({ role, copyset, name: found }: ParticipantDescription, image: string): void {
    const { copyset: ours = null } = this.#settings;
    // One that had not heard of its grid yet has no copyset to say.
    if (role === 'node' && (copyset === null || copyset === ours)) return;
    throw this.#unfit(
      image,
      `is of the ${role} ${found} of copyset ${copyset ?? 'none'}`,
      `name an image of ${this.#settings.name}`,
    );
  }

  /** One node's journal says nothing about another's, though they have the same rows. */
  #mustBelong(
    { member, image, dataIdentity }: ImageManifest,
    { member: marked, checkpoint }: MemberManifest,
  ): void {
    if (member !== marked.name)
      throw this.#unfit(
        image,
        `is of ${member}, and the mark in ${checkpoint} is of ${marked.name}`,
        `name an image of ${marked.name}`,
      );
    if (dataIdentity !== '' && dataIdentity !== marked.dataIdentity)
      throw this.#unfit(
        image,
        `is of the data ${dataIdentity}, and ${checkpoint} is of ${marked.dataIdentity}`,
        'name an image of the grid that the checkpoint was made of',
      );
  }

  async #mustBeAsRead(
    tree: ImageTree,
    image: ImageManifest,
    { live }: ImageFacts,
    signal: AbortSignal,
  ): Promise<void> {
    if ((await tree.entries()) === null) throw this.#missing(image.image);
    if ((await this.#liveOf(tree, image.image)) !== live) throw this.#changed(image.image, LIVE);
    const digests = new Map(
      filesOf(await entriesOf(tree, live, { signal, read: () => undefined })).map(({ path, digest }) => [
        path,
        digest,
      ]),
    );
    for (const { path, digest } of filesOf(image.entries)) {
      if (digests.get(path) !== digest) throw this.#changed(image.image, path);
      digests.delete(path);
    }
    const [more] = digests.keys();
    if (more !== undefined) throw this.#changed(image.image, more);
  }

  #missing(name: string): StillpointError {
    const { images, name: member } = this.#settings;
    return refused(
      'image-missing',
      `${member} has no image ${name}: there is no such directory in ${images}`,
      'name a directory below it that holds a copy of the data directory, or of live/; is its disk mounted?',
    );
  }

  #changed(image: string, path: string): StillpointError {
    return refused(
      'image-changed',
      `${path} of the image ${image} of ${this.#settings.name} is not what it was when it was read`,
      'an image must stay as it is, and no process be started on it: copy anew, into a new set',
    );
  }

  #noJournal(name: string, { journalDirectory }: ImageFacts): StillpointError {
    return journalDirectory === ''
      ? this.#unfit(name, 'does not say where its journal is', `copy live/ and ${DESCRIBED} into it`)
      : this.#unfit(
          name,
          `has no journal file in ${journalDirectory}`,
          'copy all of live/, with the journal',
        );
  }

  #unfit(image: string, fact: string, hint: string): StillpointError {
    return refused('image-unfit', `the image ${image} in ${this.#settings.images} ${fact}`, hint);
  }
}

function refused(code: string, message: string, hint: string): StillpointError {
  return new StillpointError({ code, message, hint }, EXIT.refused);
}

/** All that counts of an image: what is below `live/`, and beside it what the process said of itself. */
async function entriesOf(tree: ImageTree, live: ImageFacts['live'], reader?: Reader): Promise<ImageEntry[]> {
  const entries = await tree.read(live, reader);
  const described = live === '' ? undefined : (await tree.files())?.find(({ name }) => name === DESCRIBED);
  if (described === undefined) return entries;
  const measured = await tree.measure(DESCRIBED, null, reader);
  return [{ kind: 'file', path: DESCRIBED, mode: 0o600, mtimeMs: 0, ...measured }, ...entries];
}

function filesOf(entries: readonly ImageEntry[]): ImagedFile[] {
  return entries.filter((entry) => entry.kind === 'file');
}

/** Where it lies in a restore; null where it is no part of what is below `live/`. */
function inRoom(path: string, { live }: ImageFacts): string | null {
  if (live === '') return `${DATA_ROOM}/${path}`;
  return path.startsWith(`${live}/`) ? `${DATA_ROOM}/${path.slice(live.length + 1)}` : null;
}

/** The journal files of an image, in their order. */
function journalIn(
  { entries }: Pick<ImageManifest, 'entries'>,
  { live, journalDirectory }: ImageFacts,
): (ImagedFile & { readonly name: string })[] {
  if (journalDirectory === '') return [];
  const directory = `${join(live, journalDirectory)}/`;
  return filesOf(entries)
    .filter(({ path }) => path.startsWith(directory) && !path.slice(directory.length).includes('/'))
    .map((file) => ({ ...file, name: file.path.slice(directory.length) }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import type { ImageEntry, ImageManifest } from '../../../../shared/domain/backup-set.ts';
import type { Artifact, MemberManifest } from '../../../../shared/domain/manifest.ts';
import type { ArtifactSource } from '../../engine.ts';
import { once } from '../../once.ts';
import { cutFile } from '../journal/cut-file.ts';
import { CONTROL_FILE } from '../restore/control-file.ts';
import { imageChanged } from './image-failures.ts';
import { EMPTIED, JOURNAL_ROOM, TABLESPACES_ROOM, type ImageFiles } from './image-files.ts';

type ImagedFile = Extract<ImageEntry, { kind: 'file' }>;
type Reader = () => AsyncIterable<Uint8Array>;

/**
 * An image, and the journal that goes with it, as the artifacts of a primary (copy/facts.ts). What is read is held against
 * the digest that it had when the image was read first.
 */
export class ImageSource implements ArtifactSource {
  readonly #image: ImageManifest;
  readonly #files: ImageFiles;
  readonly #mark: MemberManifest;
  readonly #engineFacts: unknown;
  readonly #artifacts: Artifact[] = [];
  readonly #readers = new Map<string, Reader>();

  constructor(input: {
    image: ImageManifest;
    files: ImageFiles;
    mark: MemberManifest;
    engineFacts: unknown;
  }) {
    this.#image = input.image;
    this.#files = input.files;
    this.#mark = input.mark;
    this.#engineFacts = input.engineFacts;
    const directories = new Set<string>();
    for (const entry of input.image.entries) {
      const path = placeOf(entry.path);
      if (path === null) continue;
      if (entry.kind === 'file') this.#add({ ...entry, path }, () => this.#verified(entry));
      else this.#artifacts.push({ ...entry, path });
      if (entry.kind === 'directory') directories.add(path);
    }
    for (const name of [...EMPTIED, TABLESPACES_ROOM])
      if (!directories.has(`base/${name}`))
        this.#artifacts.push({ kind: 'directory', path: `base/${name}`, mode: 0o700 });
  }

  get manifest(): MemberManifest {
    return { ...this.#mark, engineFacts: this.#engineFacts, artifacts: this.#artifacts };
  }

  /** `keep`: what is behind that is zeros. Its digest is not known: each record of it has a checksum of its own. */
  addJournal(
    name: string,
    open: () => Promise<FileHandle>,
    { keep, length }: { keep: number; length: number },
  ): void {
    const path = `journal/${name}`;
    const entry = {
      kind: 'file',
      path,
      mode: 0o600,
      mtimeMs: Date.now(),
      sizeBytes: length,
      digest: '',
    } as const;
    this.#add(entry, async function* read() {
      const file = await open();
      try {
        yield* cutFile(file, { path, keep, length });
      } finally {
        await file.close();
      }
    });
  }

  addHistory(name: string, bytes: Buffer): void {
    const digest = createHash('sha256').update(bytes).digest('hex');
    const sizeBytes = bytes.length;
    const entry = {
      kind: 'file',
      path: `journal/${name}`,
      mode: 0o600,
      mtimeMs: Date.now(),
      sizeBytes,
      digest,
    } as const;
    this.#add(entry, () => once(bytes));
  }

  /** The control file is handed out changed. */
  changeControl(change: (bytes: Buffer) => Buffer): void {
    const path = `base/${CONTROL_FILE}`;
    const read = this.#readers.get(path);
    if (read === undefined) throw new Error(`${path} is not in the image`);
    this.#readers.set(path, async function* changed() {
      yield change(await buffer(read()));
    });
  }

  read(path: string): AsyncIterable<Uint8Array> {
    const read = this.#readers.get(path);
    if (read === undefined) throw new Error(`${path} is not of this image`);
    return read();
  }

  #add(entry: ImagedFile, read: Reader): void {
    this.#artifacts.push({ ...entry, chunks: [] });
    this.#readers.set(entry.path, read);
  }

  async *#verified({ path, digest }: ImagedFile): AsyncIterable<Uint8Array> {
    const hash = createHash('sha256');
    for await (const bytes of this.#files.content(path)) {
      hash.update(bytes);
      yield bytes;
    }
    if (hash.digest('hex') !== digest) throw imageChanged(this.#image.image, path);
  }
}

/** Where it is among the artifacts; null of the journal, which has a room of its own. */
function placeOf(path: string): string | null {
  if (path === JOURNAL_ROOM || path.startsWith(`${JOURNAL_ROOM}/`)) return null;
  const [room, oid = '', ...rest] = path.split('/');
  if (room === TABLESPACES_ROOM && /^\d{1,10}$/.test(oid)) return ['tablespaces', oid, ...rest].join('/');
  return `base/${path}`;
}

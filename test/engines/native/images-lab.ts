import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ArtifactSource, Images } from '../../../agent/engines/engine.ts';
import type { Approach, ImageManifest } from '../../../shared/domain/backup-set.ts';
import type { MemberManifest } from '../../../shared/domain/manifest.ts';
import { until } from '../../lab/processes.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import type { Client } from '../../reference-grid/client.ts';
import { launchReferenceGrid, type ReferenceGrid } from '../../reference-grid/launch.ts';
import {
  FREEZE,
  HeldNodes,
  heldNode,
  JOURNAL_CHECKPOINT,
  optionsOf,
  type QUIESCE,
  rowsIn,
  type HeldNode,
} from './held-node.ts';

export const NO_SIGNAL = new AbortController().signal;

/** An image of a1, and a1's manifest of what it was held for when it was made. */
export interface Imaged {
  readonly image: string;
  readonly mark: MemberManifest;
}

/** A grid of the nodes a1 and b1, whose operator copies a1 with `cp` and keeps every journal file that has ended. */
export class ImagesLab {
  readonly grid: ReferenceGrid;
  readonly client: Client;
  readonly a1: HeldNode;
  readonly b1: HeldNode;
  readonly #folder: ReturnType<typeof temporaryFolder>;
  #made = 0;

  private constructor(grid: ReferenceGrid, folder: ReturnType<typeof temporaryFolder>) {
    this.grid = grid;
    this.#folder = folder;
    this.client = grid.client();
    this.a1 = heldNode(grid.process('a1'), folder.path);
    this.b1 = heldNode(grid.process('b1'), folder.path);
  }

  static async launch(hosts: readonly string[]): Promise<ImagesLab> {
    const folder = temporaryFolder('images');
    const grid = await launchReferenceGrid({
      folder: folder.path,
      hosts,
      copysets: { a: 1, b: 1 },
      keepers: 1,
      proxies: 1,
      satellites: 0,
      options: optionsOf({
        'write-ms': '100',
        'journal-bytes': '4000',
        'timeout-ms': '1000',
        'grace-ms': '3000',
        archive: join(folder.path, 'journals'),
      }),
    });
    const lab = new ImagesLab(grid, folder);
    for (const { name, settings } of [lab.a1, lab.b1]) {
      const described = join(settings.data, 'described.json');
      const isThere = (): boolean =>
        existsSync(described) && /"dataIdentity":/.test(readFileSync(described, 'utf8'));
      await until(`${name} to have said what it is`, isThere);
    }
    return lab;
  }

  async close(): Promise<void> {
    this.client.close();
    await this.grid.close();
    this.#folder.remove();
  }

  get images(): Images {
    const { images } = this.a1.engine;
    if (images === null) throw new Error('the agent’s file names no directory for images');
    return images;
  }

  /** The directory for a1's journal files that have ended. */
  get journals(): string {
    return this.a1.settings.journals ?? '';
  }

  /** A name that nothing has yet, for an image or a folder. */
  name(what: string): string {
    this.#made += 1;
    return `${what}-${this.#made}`;
  }

  folder(name: string): string {
    return join(this.#folder.path, name);
  }

  placeOf(image: string): string {
    return join(this.a1.settings.images ?? '', image);
  }

  /** As an operator would: all of the data directory, or `live/` alone. */
  copied(what: 'data' | 'live' = 'data', { settings }: HeldNode = this.a1): string {
    const name = this.name('copy');
    const from = what === 'data' ? settings.data : join(settings.data, 'live');
    execFileSync('cp', ['-a', from, this.placeOf(name)]);
    return name;
  }

  /** Another image of the same. */
  again(image: string): string {
    const name = this.name('again');
    cpSync(this.placeOf(image), this.placeOf(name), { recursive: true, verbatimSymlinks: true });
    return name;
  }

  async put(table: string, from: number, to: number): Promise<void> {
    for (let row = from; row < to; row += 1) await this.client.put(table, keyOf(row), 'x'.repeat(60), 'a');
  }

  /** Copied while a1 is held, after `before`. */
  async heldImage(
    purpose: typeof QUIESCE | typeof FREEZE,
    what: 'data' | 'live' = 'data',
    before = (): Promise<void> => Promise.resolve(),
  ): Promise<Imaged> {
    const operation = new HeldNodes([this.a1], purpose, this.#folder.path);
    try {
      await operation.hold();
      await before();
      const image = this.copied(what);
      return { image, mark: ofA1(await operation.end()) };
    } finally {
      await operation.abort();
    }
  }

  async journalCheckpoint(): Promise<MemberManifest> {
    const operation = new HeldNodes([this.a1], JOURNAL_CHECKPOINT, this.#folder.path);
    try {
      await operation.hold();
      return ofA1(await operation.end());
    } finally {
      await operation.abort();
    }
  }

  /** An image that is no part of any operation of ours: a1 was frozen for it, by itself. */
  async imageOfAnyTime(): Promise<string> {
    return (await this.heldImage(FREEZE)).image;
  }

  async read(image: string, progress: (bytesDone: number) => void = () => undefined): Promise<ImageManifest> {
    return this.images.read(image, NO_SIGNAL, progress);
  }

  async open(image: string, mark: MemberManifest, approach: Approach): Promise<ArtifactSource> {
    return this.images.open(await this.read(image), mark, approach, NO_SIGNAL);
  }

  /** The keys of a table that a node would have which is restored from it. */
  async rows(source: ArtifactSource, table: string): Promise<string[]> {
    return rowsIn(source, this.folder(this.name('restored')), table);
  }
}

function ofA1(manifests: ReadonlyMap<string, MemberManifest>): MemberManifest {
  const found = manifests.get('a1');
  if (found === undefined) throw new Error('a1 took no part');
  return found;
}

function keyOf(row: number): string {
  return String(row).padStart(5, '0');
}

export function keys(count: number): string[] {
  return Array.from({ length: count }, (_, row) => keyOf(row));
}

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Capture } from '../../../agent/capture.ts';
import type { ArtifactSource, Engine } from '../../../agent/engines/engine.ts';
import { createNativeEngine } from '../../../agent/engines/native/native-engine.ts';
import type { NativeSettings } from '../../../agent/engines/native/settings.ts';
import { Stage } from '../../../agent/engines/restore/stage.ts';
import type { MemberManifest } from '../../../shared/domain/manifest.ts';
import type { ThawProof } from '../../../shared/domain/messages.ts';
import type { Purpose } from '../../../shared/domain/purpose.ts';
import type { GridProcess } from '../../reference-grid/grid-process.ts';
import { NodeLog } from '../../reference-grid/node-log.ts';
import { beginCapture, CHECKPOINT, token } from '../tested-capture.ts';

export const QUIESCE = { type: 'quiesce', allowReads: false, timeOutMs: 5000 } as const;
export const FREEZE = { type: 'freeze', timeOutMs: 600_000 } as const;
export const JOURNAL_CHECKPOINT = { type: 'journalCheckpoint' } as const;

const NOTHING_COPIED = { hold: 'member', part: 'none' } as const;

/** As a process of the grid is started with them. */
export function optionsOf(options: Readonly<Record<string, string>>): string[] {
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
}

/** A node of the reference grid, with an engine for it. */
export interface HeldNode {
  readonly name: string;
  readonly process: GridProcess;
  readonly settings: NativeSettings;
  readonly engine: Engine;
}

/** `folder`: has `images/NAME` and `journals/NAME` for it. */
export function heldNode(process: GridProcess, folder: string): HeldNode {
  const { name, address, dataDirectory, participant, startCommand, stopCommand } = process;
  const images = join(folder, 'images', name);
  mkdirSync(images, { recursive: true });
  const settings: NativeSettings = {
    name,
    role: 'node',
    copyset: name.slice(0, 1),
    engine: 'native',
    address,
    data: dataDirectory,
    participant,
    run: { start: [...startCommand], stop: [...stopCommand] },
    startSeconds: 20,
    images,
    journals: join(folder, 'journals', name),
  };
  return { name, process, settings, engine: createNativeEngine(settings) };
}

/** One operation on nodes, all of them held before any is let go of. */
export class HeldNodes {
  readonly captures = new Map<string, Capture>();
  readonly #nodes: readonly HeldNode[];
  readonly #purpose: Purpose;
  readonly #folder: string;

  constructor(nodes: readonly HeldNode[], purpose: Purpose, folder: string) {
    this.#nodes = nodes;
    this.#purpose = purpose;
    this.#folder = folder;
  }

  /** As its job has it: a quiesce at rest, all else let go of again after the mark. */
  async hold(): Promise<void> {
    await this.mark();
    if (this.#purpose.type !== 'quiesce') await this.thaw();
  }

  /** All are at rest, and marked. */
  async mark(): Promise<void> {
    for (const { name, engine } of this.#nodes) {
      const change = { purpose: this.#purpose, assignment: NOTHING_COPIED };
      this.captures.set(name, (await beginCapture(engine, this.#folder, change)).capture);
    }
    await this.#each((capture) => capture.prepare());
    await this.#each((capture) => capture.arm(token()));
    await this.#each((capture) => capture.freeze(token()));
  }

  async thaw(): Promise<ThawProof[]> {
    return this.#each((capture) => capture.thaw(token(), () => undefined));
  }

  /** The manifests of it, by member. */
  async end(): Promise<ReadonlyMap<string, MemberManifest>> {
    if (this.#purpose.type === 'quiesce') await this.thaw();
    const manifests = new Map<string, MemberManifest>();
    for (const { name, engine } of this.#nodes) {
      const capture = this.captures.get(name);
      if (capture === undefined) continue;
      const { mark, engineFacts } = await capture.collect();
      await capture.close();
      const { dataIdentity } = await engine.describe(AbortSignal.timeout(5000));
      const member = { name, dataIdentity } as MemberManifest['member'];
      manifests.set(name, { ...({} as MemberManifest), checkpoint: CHECKPOINT, member, mark, engineFacts });
    }
    return manifests;
  }

  async abort(): Promise<void> {
    await this.#each((capture) => capture.abort());
  }

  #each<T>(work: (capture: Capture) => Promise<T>): Promise<T[]> {
    return Promise.all([...this.captures.values()].map(work));
  }
}

/** The rows of a table that a node would have which is started on what a restore is given. */
export async function rowsIn(source: ArtifactSource, place: string, table: string): Promise<string[]> {
  const { signal } = new AbortController();
  mkdirSync(place, { recursive: true });
  const stage = new Stage({ owner: null, signal, bytesTotal: 0, progress: () => undefined });
  try {
    await stage.room(source, 'data', join(place, 'live'));
    await stage.seal();
  } finally {
    await stage.close();
  }
  return rowsAt(place, table);
}

/** The rows of a table that a node would have which is started on the files below `data`. */
export async function rowsAt(data: string, table: string): Promise<string[]> {
  const log = new NodeLog(data, 1e6);
  try {
    await log.begin();
    return log.database.scan(table, undefined, 1e6).map(([, key]) => key);
  } finally {
    await log.close();
  }
}

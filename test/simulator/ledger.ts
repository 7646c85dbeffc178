import type { MemberManifest } from '../../shared/domain/manifest.ts';
import type { FileNode } from './disk.ts';
import type { Kernel, Watcher } from './kernel.ts';
import type { Process } from './process.ts';
import { Broken } from './promises.ts';
import type { Random } from './random.ts';

/** What was really captured, by path. */
export type Captured = ReadonlyMap<string, Uint8Array>;

/** What really happened to one checkpoint, whatever the repository says of it. */
export interface Recorded {
  readonly id: string;
  readonly members: Map<string, Captured>;
  /** So many calls had been made when its first member began to be stored. */
  readonly from: number;
  commit: 'none' | 'asked' | 'done' | 'failed';
  deletion: 'none' | 'asked' | 'done';
  /** What it needs, while it must be kept: of a commit that was done until a deletion is asked for. */
  needs: ReadonlySet<string> | null;
}

export const ROOT = '/repository';
const GRID_ROOT = `${ROOT}/grids/orders`;
const FINAL = /\/(grid\.json|members\/[^/.][^/]*\.json|chunks\/..\/[0-9a-f-]+|repository\.json)$/;

/** The history of the repository as those who judge it saw it. */
export class Ledger implements Watcher {
  readonly recorded = new Map<string, Recorded>();
  onCall: (call: number, name: string, caller: Process) => void = () => undefined;
  readonly #kernel: Kernel;
  /** What has rotted: what it held before, and how many calls had been made then. */
  readonly #rotted = new Map<FileNode, { readonly before: Uint8Array; readonly call: number }>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  begin(id: string): Recorded {
    const found = this.recorded.get(id);
    if (found !== undefined) return found;
    const from = this.#kernel.calls;
    const made: Recorded = { id, members: new Map(), from, commit: 'none', deletion: 'none', needs: null };
    this.recorded.set(id, made);
    return made;
  }

  /** Said to be committed: from here on it survives everything but its deletion and rot. */
  committed(one: Recorded): void {
    one.commit = 'done';
    if (one.deletion !== 'none') return;
    // What has rotted names nothing for sure.
    if (this.isRotten) return;
    const needs = this.needsOf(one);
    for (const path of needs) {
      if (!this.#kernel.disk.exists(path))
        throw new Broken('restores', `${one.id} is committed without ${path}`);
      const left = this.#kernel.disk.findSynced(path);
      const now = this.#kernel.disk.find(path);
      if (left !== now || (left.kind === 'file' && left.writes.length > 0))
        throw new Broken('survives-power-cut', `${one.id} is committed, and ${path} is not durable`);
    }
    one.needs = needs;
  }

  /** Somebody asked for its deletion: from here on it may be there or not. */
  deleting(id: string): void {
    const one = this.begin(id);
    if (one.deletion === 'none') one.deletion = 'asked';
    one.needs = null;
  }

  deleted(id: string): void {
    this.begin(id).deletion = 'done';
  }

  /** Those of which there is something in the repository, and no commit object. */
  uncommitted(): string[] {
    const { disk } = this.#kernel;
    const directory = `${GRID_ROOT}/checkpoints`;
    return disk.exists(directory) ? disk.names(directory).filter((id) => !disk.exists(gridPath(id))) : [];
  }

  /** Its files, read without the code that is judged. */
  needsOf({ id, members }: Recorded): Set<string> {
    const needs = new Set([gridPath(id)]);
    for (const name of members.keys()) {
      const path = memberPath(id, name);
      if (!this.#kernel.disk.exists(path)) throw new Broken('restores', `${id} is committed without ${path}`);
      needs.add(path);
      for (const keys of chunksOf(this.#kernel.disk.file(path, 'read')).values())
        for (const key of keys) needs.add(chunkPath(key));
    }
    return needs;
  }

  /** When a file rotted that is not by chance what it was; null for a sound one. */
  rotOf(file: FileNode): { readonly call: number } | null {
    const rot = this.#rotted.get(file);
    return rot === undefined || Buffer.compare(rot.before, file.content) === 0 ? null : rot;
  }

  get isRotten(): boolean {
    return this.#rotted.size > 0;
  }

  rot(file: FileNode, random: Random): void {
    const before = this.#rotted.get(file)?.before ?? file.content;
    this.#rotted.set(file, { before, call: this.#kernel.calls });
    this.#kernel.disk.rot(file, random);
  }

  // What is seen of the disk.

  called(call: number, name: string, caller: Process): void {
    this.onCall(call, name, caller);
  }

  linked(): void {
    // A name that was free.
  }

  replaced(path: string): void {
    if (FINAL.test(path)) throw new Broken('write-once', `${path} is replaced by another file`);
  }

  written(path: string): void {
    if (FINAL.test(path)) throw new Broken('write-once', `${path} is written again`);
  }

  unlinked(path: string): void {
    for (const { id, needs } of this.recorded.values())
      if (needs?.has(path) ?? false) throw new Broken('keeps', `${path} is removed, and ${id} needs it`);
  }
}

/** The chunks of each file that a member manifest names. */
export function chunksOf({ content }: FileNode): Map<string, string[]> {
  const { artifacts } = JSON.parse(Buffer.from(content).toString()) as MemberManifest;
  const chunks = new Map<string, string[]>();
  for (const artifact of artifacts)
    if (artifact.kind === 'file')
      chunks.set(
        artifact.path,
        artifact.chunks.map(({ key }) => key),
      );
  return chunks;
}

export function gridPath(id: string): string {
  return `${GRID_ROOT}/checkpoints/${id}/grid.json`;
}

export function memberPath(id: string, member: string): string {
  return `${GRID_ROOT}/checkpoints/${id}/members/${member}.json`;
}

export function chunkPath(key: string): string {
  return `${GRID_ROOT}/chunks/${key.slice(0, 2)}/${key}`;
}

/** Its place in the order of checkpoints. */
export function counterOf(id: string): number {
  return Number(id.split('_')[2]);
}

import { basename, dirname } from 'node:path';
import { assertNever } from '../../../shared/domain/assert-never.ts';
import type { Random } from '../../simulator/random.ts';
import type { Recorded } from './changes.ts';

/**
 * A disk as a power cut finds it. What was written is in memory until a sync that was asked for after the write was
 * answered has been answered itself: content by a sync of the file, names by a sync of their directory, and nothing
 * by anything else. A rename is one change. Of what is only in memory anything may be on the disk: all, nothing, some
 * of it in any order, and of a content any part.
 */
export type Way =
  /** Everything: the processes died, the machine did not. */
  | { readonly type: 'kept' }
  /** Nothing that was not synced. */
  | { readonly type: 'lost' }
  /** All names, and of contents that were not synced a part. */
  | { readonly type: 'torn'; readonly random: Random }
  | { readonly type: 'mixed'; readonly random: Random };

interface File {
  readonly kind: 'file';
  content: Buffer;
  /** What a sync would make durable: its write was answered. */
  answered: Buffer;
  durable: Buffer;
}

interface NameChange {
  readonly name: string;
  readonly to: Inode | null;
  /** Changes of one rename are on the disk together. */
  readonly group: number;
  isAnswered: boolean;
}

interface Directory {
  readonly kind: 'directory';
  readonly durable: Map<string, Inode>;
  readonly pending: NameChange[];
}

type Inode = File | Directory;

/** Every name below the root of the model, relative to it; null is a directory. Files of one object are one file. */
export type Tree = ReadonlyMap<string, { readonly content: Buffer; readonly file: object } | null>;

/** One thing after another: a change is asked for, or is answered. */
export interface Moment {
  readonly type: 'asked' | 'answered';
  readonly change: Recorded;
}

/** All moments of a record in the order of time. */
export function momentsOf(changes: readonly Recorded[]): Moment[] {
  const moments = changes.flatMap((change, index) => [
    { type: 'asked' as const, change, ns: change.askedNs, index },
    { type: 'answered' as const, change, ns: change.answeredNs, index },
  ]);
  // Names of one removed tree have the same times: they keep their order, and are asked for before they are answered.
  moments.sort((a, b) => (a.ns < b.ns ? -1 : a.ns > b.ns ? 1 : rank(a) - rank(b) || a.index - b.index));
  return moments.map(({ type, change }) => ({ type, change }));
}

function rank({ type }: Moment): number {
  return type === 'asked' ? 0 : 1;
}

export class DiskModel {
  /** The directory above the repository: it was there before, and lasts. */
  readonly #above: string;
  readonly #root: Directory = directory();
  readonly #answers = new Map<Recorded, () => void>();
  #groups = 0;

  constructor(above: string) {
    this.#above = above;
  }

  /** Throws where the record cannot be what happened. */
  apply({ type, change }: Moment): void {
    if (type === 'answered') {
      this.#answers.get(change)?.();
      this.#answers.delete(change);
      return;
    }
    const answer = this.#ask(change);
    if (answer !== null) this.#answers.set(change, answer);
  }

  /** What is found after a cut now. */
  cut(way: Way): Tree {
    const tree = new Map<string, { content: Buffer; file: object } | null>();
    const kept = new Map<number, boolean>();
    const contents = new Map<File, Buffer>();
    const isKept = (group: number): boolean => {
      if (way.type !== 'mixed') return way.type !== 'lost';
      if (!kept.has(group)) kept.set(group, way.random.chance(0.5));
      return kept.get(group) === true;
    };
    const walk = (at: Directory, path: string): void => {
      for (const [name, inode] of entriesOf(at, ({ group }) => isKept(group))) {
        const place = path === '' ? name : `${path}/${name}`;
        if (inode.kind === 'directory') {
          tree.set(place, null);
          walk(inode, place);
        } else {
          // Under all its names a file has one content.
          if (!contents.has(inode)) contents.set(inode, contentOf(inode, way));
          tree.set(place, { content: contents.get(inode) ?? inode.content, file: inode });
        }
      }
    };
    walk(this.#root, '');
    return tree;
  }

  #ask(change: Recorded): (() => void) | null {
    switch (change.call) {
      case 'mkdir':
        // Two that make all that leads to a directory may both say that they made it.
        return this.#find(change.path) === undefined ? this.#name(change.path, directory()) : null;
      case 'create':
        return this.#name(change.path, file());
      case 'link':
        if (this.#find(change.path) !== undefined)
          throw new Error(`${change.path} is linked over another file`);
        return this.#name(change.path, this.#existing(change.from));
      case 'rename': {
        const moved = this.#existing(change.from);
        this.#groups += 1;
        const answers = [
          this.#change(change.from, null, this.#groups),
          this.#change(change.path, moved, this.#groups),
        ];
        return () => answers.forEach((answer) => answer());
      }
      case 'unlink':
        this.#existing(change.path);
        return this.#name(change.path, null);
      case 'write':
        return this.#write(change);
      case 'sync':
        return this.#sync(this.#existing(change.path));
      case 'said':
        return null;
      default:
        return assertNever(change);
    }
  }

  #write({ path, at, content }: Extract<Recorded, { call: 'write' }>): () => void {
    const written = this.#existing(path);
    if (written.kind === 'directory') throw new Error(`${path} is a directory, and was written`);
    const bytes = Buffer.from(content, 'base64');
    const next =
      at === null
        ? bytes
        : Buffer.concat([
            written.content.subarray(0, at),
            bytes,
            written.content.subarray(at + bytes.length),
          ]);
    written.content = next;
    return () => {
      written.answered = next;
    };
  }

  #sync(inode: Inode): () => void {
    if (inode.kind === 'file') {
      const { answered } = inode;
      return () => {
        inode.durable = answered;
      };
    }
    const covered = inode.pending.filter(({ isAnswered }) => isAnswered);
    return () => {
      for (const change of covered) {
        const index = inode.pending.indexOf(change);
        // Another sync may have been faster.
        if (index < 0) continue;
        inode.pending.splice(index, 1);
        setName(inode.durable, change);
      }
    };
  }

  #name(path: string, to: Inode | null): () => void {
    this.#groups += 1;
    return this.#change(path, to, this.#groups);
  }

  #change(path: string, to: Inode | null, group: number): () => void {
    const parent = this.#existing(dirname(path));
    if (parent.kind === 'file') throw new Error(`${dirname(path)} is a file`);
    const change: NameChange = { name: basename(path), to, group, isAnswered: false };
    parent.pending.push(change);
    return () => {
      change.isAnswered = true;
    };
  }

  #existing(path: string): Inode {
    const found = this.#find(path);
    if (found === undefined) throw new Error(`${path} is not there in the record`);
    return found;
  }

  /** As processes see it. */
  #find(path: string): Inode | undefined {
    let at: Inode | undefined = this.#root;
    for (const name of path.slice(this.#above.length).split('/').filter(Boolean)) {
      if (at?.kind !== 'directory') return undefined;
      const last: NameChange | undefined = at.pending.findLast((change) => change.name === name);
      at = last === undefined ? at.durable.get(name) : (last.to ?? undefined);
    }
    return at;
  }
}

function entriesOf(at: Directory, isKept: (change: NameChange) => boolean): Map<string, Inode> {
  const entries = new Map(at.durable);
  for (const change of at.pending) if (isKept(change)) setName(entries, change);
  return entries;
}

function setName(entries: Map<string, Inode>, { name, to }: NameChange): void {
  if (to === null) entries.delete(name);
  else entries.set(name, to);
}

function contentOf({ content, durable }: File, way: Way): Buffer {
  if (way.type === 'kept' || content === durable) return content;
  if (way.type === 'lost') return durable;
  const torn = (): Buffer => content.subarray(0, way.random.below(content.length + 1));
  if (way.type === 'torn') return torn();
  return way.random.pick([
    () => content,
    () => durable,
    torn,
    // Blocks that were given to the file and never written.
    () => Buffer.alloc(content.length),
  ])();
}

function directory(): Directory {
  return { kind: 'directory', durable: new Map(), pending: [] };
}

function file(): File {
  const empty = Buffer.alloc(0);
  return { kind: 'file', content: empty, answered: empty, durable: empty };
}

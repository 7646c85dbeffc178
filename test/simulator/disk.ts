import type { Random } from './random.ts';

/** A file: what processes see of it, and what a power cut would leave. */
export class FileNode {
  readonly kind = 'file';
  readonly ino: number;
  links = 0;
  mtimeMs: number;
  content: Uint8Array = new Uint8Array();
  /** The content at its last sync. */
  synced: Uint8Array = new Uint8Array();
  /** Since then. */
  writes: { readonly at: number; readonly bytes: Uint8Array }[] = [];

  constructor(ino: number, mtimeMs: number) {
    this.ino = ino;
    this.mtimeMs = mtimeMs;
  }
}

/** What one call changes in a directory; a rename changes two names at once. */
type Change = readonly (readonly [name: string, node: DiskNode | null])[];

export class DirectoryNode {
  readonly kind = 'directory';
  readonly ino: number;
  readonly links = 2;
  mtimeMs: number;
  readonly entries = new Map<string, DiskNode>();
  /** Its entries at its last sync. */
  synced = new Map<string, DiskNode>();
  /** Since then. */
  changes: Change[] = [];

  constructor(ino: number, mtimeMs: number) {
    this.ino = ino;
    this.mtimeMs = mtimeMs;
  }
}

export type DiskNode = FileNode | DirectoryNode;

/**
 * A disk with the promises of POSIX and no more: every process sees a change at once; a power cut keeps the
 * content of a file as of its last sync, and the entries of a directory as of its own. Of what came later each
 * write is kept, lost or torn, and each change of an entry kept or lost. All calls are atomic and take no time;
 * who makes them take some is `Kernel`. Errors are those of the operating system.
 */
export class Disk {
  readonly root = new DirectoryNode(1, 0);
  #inodes = 1;

  // What changes nothing.

  find(path: string, call = 'stat'): DiskNode {
    let node: DiskNode = this.root;
    for (const name of partsOf(path)) {
      if (node.kind === 'file') throw systemError('ENOTDIR', call, path);
      const next: DiskNode | undefined = node.entries.get(name);
      if (next === undefined) throw systemError('ENOENT', call, path);
      node = next;
    }
    return node;
  }

  exists(path: string): boolean {
    try {
      this.find(path);
      return true;
    } catch {
      return false;
    }
  }

  /** The same, when nothing but what is synced were left; null where it is not there. */
  findSynced(path: string): DiskNode | null {
    let node: DiskNode = this.root;
    for (const name of partsOf(path)) {
      if (node.kind === 'file') return null;
      const next: DiskNode | undefined = node.synced.get(name);
      if (next === undefined) return null;
      node = next;
    }
    return node;
  }

  file(path: string, call: string): FileNode {
    const node = this.find(path, call);
    if (node.kind === 'directory') throw systemError('EISDIR', call, path);
    return node;
  }

  names(path: string): string[] {
    const node = this.find(path, 'scandir');
    if (node.kind === 'file') throw systemError('ENOTDIR', 'scandir', path);
    return [...node.entries.keys()];
  }

  /** Every file below, with its path. */
  files(path = ''): [path: string, file: FileNode][] {
    const found: [string, FileNode][] = [];
    const walk = (at: string, node: DiskNode): void => {
      if (node.kind === 'file') found.push([at, node]);
      else for (const [name, below] of node.entries) walk(`${at}/${name}`, below);
    };
    walk(path, this.find(path));
    return found;
  }

  // What changes something.

  create(path: string, nowMs: number): FileNode {
    const [parent, name] = this.#placeOf(path, 'open');
    if (parent.entries.has(name)) throw systemError('EEXIST', 'open', path);
    const file = new FileNode((this.#inodes += 1), nowMs);
    file.links = 1;
    change(parent, [[name, file]], nowMs);
    return file;
  }

  /** Resolves to whether it was made. */
  makeDirectory(path: string, nowMs: number): boolean {
    const [parent, name] = this.#placeOf(path, 'mkdir');
    const found = parent.entries.get(name);
    if (found?.kind === 'file') throw systemError('EEXIST', 'mkdir', path);
    if (found !== undefined) return false;
    change(parent, [[name, new DirectoryNode((this.#inodes += 1), nowMs)]], nowMs);
    return true;
  }

  link(from: string, to: string, nowMs: number): FileNode {
    const file = this.file(from, 'link');
    const [parent, name] = this.#placeOf(to, 'link');
    if (parent.entries.has(name)) throw systemError('EEXIST', 'link', to);
    file.links += 1;
    change(parent, [[name, file]], nowMs);
    return file;
  }

  /** Inside one directory, as journalled file systems do it: both names change, or none. */
  rename(from: string, to: string, nowMs: number): void {
    const file = this.file(from, 'rename');
    const [source, old] = this.#placeOf(from, 'rename');
    const [parent, name] = this.#placeOf(to, 'rename');
    if (source !== parent) throw systemError('EXDEV', 'rename', to);
    const replaced = parent.entries.get(name);
    if (replaced?.kind === 'directory') throw systemError('EISDIR', 'rename', to);
    if (replaced !== undefined) replaced.links -= 1;
    const both: Change = [
      [old, null],
      [name, file],
    ];
    change(parent, both, nowMs);
  }

  unlink(path: string, nowMs: number): FileNode {
    const file = this.file(path, 'unlink');
    const [parent, name] = this.#placeOf(path, 'unlink');
    file.links -= 1;
    change(parent, [[name, null]], nowMs);
    return file;
  }

  removeDirectory(path: string, nowMs: number): void {
    const node = this.find(path, 'rmdir');
    if (node.kind === 'file') throw systemError('ENOTDIR', 'rmdir', path);
    if (node.entries.size > 0) throw systemError('ENOTEMPTY', 'rmdir', path);
    const [parent, name] = this.#placeOf(path, 'rmdir');
    change(parent, [[name, null]], nowMs);
  }

  write(file: FileNode, bytes: Uint8Array, at: number, nowMs: number): void {
    file.content = overlaid(file.content, bytes, at);
    file.writes.push({ at, bytes });
    file.mtimeMs = nowMs;
  }

  sync(node: DiskNode): void {
    if (node.kind === 'file') {
      node.synced = node.content;
      node.writes = [];
    } else {
      node.synced = new Map(node.entries);
      node.changes = [];
    }
  }

  /** What is left when the power was cut. Whoever had a file open has it no more. */
  cutPower(random: Random): void {
    // Some disks lose all, some nothing, most a part.
    const kept = random.pick([0, 0.5, 0.5, 0.8, 1]);
    const seen = new Set<DiskNode>();
    const cut = (node: DiskNode): void => {
      if (node.kind === 'file') node.links += 1;
      if (seen.has(node)) return;
      seen.add(node);
      if (node.kind === 'file') {
        node.links = 1;
        node.content = remaining(node, random, kept);
        this.sync(node);
        return;
      }
      node.entries.clear();
      for (const [name, below] of node.synced) node.entries.set(name, below);
      for (const one of node.changes) if (random.chance(kept)) apply(node, one);
      this.sync(node);
      for (const below of node.entries.values()) cut(below);
    };
    cut(this.root);
  }

  /** A bit of the file is another one from now on, on the disk itself. */
  rot(file: FileNode, random: Random): void {
    const { content } = file;
    const bytes = new Uint8Array(content);
    const at = random.below(bytes.byteLength);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    file.content = bytes;
    this.sync(file);
  }

  #placeOf(path: string, call: string): [parent: DirectoryNode, name: string] {
    const parts = partsOf(path);
    const name = parts.pop();
    if (name === undefined) throw systemError('EEXIST', call, path);
    const parent = this.find(parts.join('/'), call);
    if (parent.kind === 'file') throw systemError('ENOTDIR', call, path);
    return [parent, name];
  }
}

/** What the operating system says. */
export function systemError(code: string, syscall: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${syscall} '${path}'`), { code, syscall, path });
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '');
}

function change(directory: DirectoryNode, what: Change, nowMs: number): void {
  apply(directory, what);
  directory.changes.push(what);
  directory.mtimeMs = nowMs;
}

function apply(directory: DirectoryNode, what: Change): void {
  for (const [name, node] of what) {
    if (node === null) directory.entries.delete(name);
    else directory.entries.set(name, node);
  }
}

function remaining(file: FileNode, random: Random, kept: number): Uint8Array {
  let left = file.synced;
  for (const { at, bytes } of file.writes) {
    if (random.chance(kept)) left = overlaid(left, bytes, at);
    else if (random.chance(0.5)) left = overlaid(left, bytes.subarray(0, random.below(bytes.byteLength)), at);
  }
  return left;
}

function overlaid(content: Uint8Array, bytes: Uint8Array, at: number): Uint8Array {
  const result = new Uint8Array(Math.max(content.byteLength, at + bytes.byteLength));
  result.set(content);
  result.set(bytes, at);
  return result;
}

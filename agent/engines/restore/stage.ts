import { constants } from 'node:fs';
import { chmod, chown, lchown, open, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { EXIT, StillpointError } from '../../../shared/domain/errors.ts';
import type { Artifact } from '../../../shared/domain/manifest.ts';
import { AnchoredDirectory } from '../../anchored-directory.ts';
import type { Owner } from '../../foreign-files.ts';
import { beside } from '../../safe-files.ts';
import { syncDirectory } from '../../../shared/runtime/whole-file.ts';
import { hostDiskError } from '../../disk-error.ts';
import type { ArtifactSource } from '../engine.ts';
import { syncFileSystems } from './sync-file-systems.ts';

const FILES_AT_ONCE = 8;

/** A file from this size on is synced while others are written; smaller ones wait for `seal`, which syncs all at once. */
const LARGE_BYTES = 4 * 1024 * 1024;

/**
 * Writes artifacts below directories that it makes: every file new, no link followed. Nobody but us can enter these
 * directories until all of it is there and durable; `seal` sees to that, and hands them over to their owner.
 */
export class Stage {
  readonly #owner: Owner | null;
  readonly #signal: AbortSignal;
  /** The directories that were made in places of others, by path. */
  readonly #roots = new Map<string, AnchoredDirectory>();
  readonly #directories = new Set<string>();
  readonly #modes: { path: string; mode: number }[] = [];
  /** Links that were laid: nothing is written below one, for it would be written where the link leads. */
  readonly #links = new Set<string>();
  /** Files that are not known to be durable yet. */
  readonly #unsynced = new Set<string>();
  #bytesDone = 0;
  readonly #bytesTotal: number;
  readonly #progress: (bytesDone: number, bytesTotal: number) => void;
  readonly #syncFileSystems: (directories: readonly string[]) => Promise<boolean>;

  constructor(input: {
    owner: Owner | null;
    signal: AbortSignal;
    bytesTotal: number;
    progress: (bytesDone: number, bytesTotal: number) => void;
    /** How file systems are synced; else as this host can. */
    syncFileSystems?: (directories: readonly string[]) => Promise<boolean>;
  }) {
    this.#owner = input.owner;
    this.#signal = input.signal;
    this.#bytesTotal = input.bytesTotal;
    this.#progress = input.progress;
    this.#syncFileSystems = input.syncFileSystems ?? syncFileSystems;
  }

  /** All artifacts of one room (`base`) into a directory; `place` may rename or leave out (null). */
  async room(
    source: ArtifactSource,
    room: string,
    directory: string,
    place: (path: string) => string | null = (path) => path,
    modes: (artifact: { readonly mode: number }) => number = ({ mode }) => mode,
  ): Promise<void> {
    const inside = source.manifest.artifacts.filter(
      (artifact) => artifact.path === room || artifact.path.startsWith(`${room}/`),
    );
    const within = (artifact: Artifact): string | null => {
      const path = artifact.path.slice(room.length + 1);
      return path === '' ? directory : mapped(place(path), directory);
    };
    await this.directory(directory, 0o700);
    for (const artifact of inside) {
      const path = within(artifact);
      if (artifact.kind === 'directory' && path !== null) await this.directory(path, artifact.mode);
    }
    const files = inside.filter((artifact) => artifact.kind === 'file');
    await atMost(FILES_AT_ONCE, files, async (artifact) => {
      const path = within(artifact);
      if (path !== null)
        await this.file(path, { ...artifact, mode: modes(artifact) }, source.read(artifact.path));
    });
    // Links last: no file is ever written through one.
    for (const artifact of inside) {
      const path = within(artifact);
      if (artifact.kind === 'symlink' && path !== null) await this.link(path, artifact.target);
    }
  }

  /** Below a directory of this stage, or a new one beside what others have. */
  async directory(path: string, mode: number): Promise<void> {
    this.#mustNotLeadOut(path);
    const root = this.#rootOf(path);
    if (root === null) {
      const made = await beside(path, (parent, name) => parent.makeDirectory(name));
      if (made === null) throw new Error(`${dirname(path)} is not there`);
      this.#roots.set(path, made);
    } else await root.directory.makeBelow(path.slice(root.path.length + 1));
    this.#directories.add(path);
    this.#modes.push({ path, mode });
  }

  /** A directory that this stage's stand in: made for the owner where it is absent, else left as it is. */
  async around(path: string, mode: number): Promise<void> {
    const directory = await AnchoredDirectory.make(path, mode, this.#owner);
    await directory.close();
  }

  async file(
    path: string,
    { mode, mtimeMs }: { mode: number; mtimeMs: number },
    content: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    this.#mustNotLeadOut(dirname(path));
    this.#directories.add(dirname(path));
    try {
      const file = await open(
        this.#at(path),
        constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
        0o600,
      );
      try {
        let written = 0;
        for await (const bytes of content) {
          this.#signal.throwIfAborted();
          await file.writeFile(bytes);
          written += bytes.byteLength;
          this.#bytesDone += bytes.byteLength;
          this.#progress(this.#bytesDone, this.#bytesTotal);
        }
        if (this.#owner !== null) await file.chown(this.#owner.uid, this.#owner.gid);
        await file.chmod(mode & 0o7777);
        await file.utimes(mtimeMs / 1000, mtimeMs / 1000);
        if (written >= LARGE_BYTES) await file.sync();
        else this.#unsynced.add(path);
      } finally {
        await file.close();
      }
    } catch (error) {
      throw diskError(error, path);
    }
  }

  async link(path: string, target: string): Promise<void> {
    this.#mustNotLeadOut(dirname(path));
    await symlink(target, this.#at(path));
    this.#links.add(path);
    if (this.#owner !== null) await lchown(this.#at(path), this.#owner.uid, this.#owner.gid);
    this.#directories.add(dirname(path));
  }

  /** Replaces a small file of the stage. */
  async replace(path: string, content: string | Uint8Array, mode = 0o600): Promise<void> {
    await rm(this.#at(path), { force: true });
    this.#links.delete(path);
    this.#unsynced.delete(path);
    await this.file(path, { mode, mtimeMs: Date.now() }, bytesOf(content));
  }

  /** Adds to a file of the stage that is there. */
  async append(path: string, content: string | Uint8Array): Promise<void> {
    this.#mustNotLeadOut(path);
    const file = await open(this.#at(path), constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  /** Puts a link where a small file of the stage may be. */
  async relink(path: string, target: string): Promise<void> {
    await rm(this.#at(path), { force: true });
    this.#unsynced.delete(path);
    await this.link(path, target);
  }

  #mustNotLeadOut(path: string): void {
    if (this.#links.size === 0) return;
    for (let at = path; at !== dirname(at); at = dirname(at)) {
      if (!this.#links.has(at)) continue;
      throw new StillpointError(
        {
          code: 'manifest-damaged',
          message: `the checkpoint has files below ${at}, which is a link in it`,
          hint: 'do not restore from this checkpoint; find out who wrote it',
        },
        EXIT.rolledBack,
      );
    }
  }

  /** All files and names durable, modes as they are to be; then each directory is handed over to its owner. */
  async seal(): Promise<void> {
    await this.#sync();
    for (const { path, mode } of this.#modes) {
      const root = this.#roots.get(path);
      if (root !== undefined) continue;
      if (this.#owner !== null) await chown(this.#at(path), this.#owner.uid, this.#owner.gid);
      await chmod(this.#at(path), mode & 0o7777);
    }
    // From here on its owner can change everything in it: the last act.
    const modes = new Map(this.#modes.map(({ path, mode }) => [path, mode]));
    for (const [path, root] of this.#roots) await root.handOver(this.#owner, modes.get(path) ?? 0o700);
    await this.close();
  }

  async #sync(): Promise<void> {
    const roots = [...this.#roots.keys()].map((root) => this.#at(root));
    if (await this.#syncFileSystems(roots)) return;
    await atMost(FILES_AT_ONCE, [...this.#unsynced], async (path) => {
      const file = await open(this.#at(path), constants.O_RDONLY | constants.O_NOFOLLOW);
      try {
        await file.sync();
      } finally {
        await file.close();
      }
    });
    await atMost(FILES_AT_ONCE, [...this.#directories], (path) => syncDirectory(this.#at(path)));
  }

  /** Lets go of its directories, sealed or not. */
  async close(): Promise<void> {
    const roots = [...this.#roots.values()];
    this.#roots.clear();
    for (const root of roots) await root.close();
  }

  #at(path: string): string {
    const root = this.#rootOf(path);
    if (root === null) throw new Error(`${path} is not below a directory of this stage`);
    return root.directory.below(path.slice(root.path.length + 1));
  }

  #rootOf(path: string): { path: string; directory: AnchoredDirectory } | null {
    for (let at = path; at !== dirname(at); at = dirname(at)) {
      const directory = this.#roots.get(at);
      if (directory !== undefined) return { path: at, directory };
    }
    return null;
  }
}

/** A file that the member's user may read. Empty where it is not there, or is a link: that is not followed. */
export async function readIfThere(path: string, reader: Owner | null): Promise<Buffer> {
  const bytes = await beside(path, async (directory, name) =>
    (await directory.stat(name))?.isSymbolicLink() === true ? null : directory.read(name, reader),
  );
  return bytes ?? Buffer.alloc(0);
}

function mapped(path: string | null, directory: string): string | null {
  return path === null ? null : join(directory, path);
}

async function* bytesOf(content: string | Uint8Array): AsyncIterable<Uint8Array> {
  yield Buffer.from(content);
}

async function atMost<T>(
  count: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  const results = await Promise.allSettled(Array.from({ length: count }, worker));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

function diskError(error: unknown, path: string): unknown {
  return hostDiskError(error, path, {
    noRoomFor: 'to build the new data directory',
    hint: 'old and new stand side by side until the restore is verified: make room for both',
  });
}

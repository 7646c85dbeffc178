import { constants } from 'node:fs';
import { chmod, chown, lchown, mkdir, open, readFile, rm, symlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { EXIT, StillpointError } from '../../../shared/domain/errors.ts';
import type { Artifact } from '../../../shared/domain/manifest.ts';
import { fullDisk } from '../../disk-error.ts';
import type { ArtifactSource } from '../engine.ts';
import type { Owner } from './owner.ts';
import { isThere, syncDirectory } from './places.ts';

const FILES_AT_ONCE = 8;
/** Writes artifacts below a directory that we made: every file new, no link followed, all synced. */
export class Stage {
  readonly #owner: Owner | null;
  readonly #signal: AbortSignal;
  readonly #directories = new Set<string>();
  readonly #modes: { path: string; mode: number }[] = [];
  /** Links that were laid: nothing is written below one, for it would be written where the link leads. */
  readonly #links = new Set<string>();
  #bytesDone = 0;
  readonly #bytesTotal: number;
  readonly #progress: (bytesDone: number, bytesTotal: number) => void;

  constructor(input: {
    owner: Owner | null;
    signal: AbortSignal;
    bytesTotal: number;
    progress: (bytesDone: number, bytesTotal: number) => void;
  }) {
    this.#owner = input.owner;
    this.#signal = input.signal;
    this.#bytesTotal = input.bytesTotal;
    this.#progress = input.progress;
  }

  /** All artifacts of one room (`base`) into a directory; `place` may rename or leave out (null). */
  async room(
    source: ArtifactSource,
    room: string,
    directory: string,
    place: (path: string) => string | null = (path) => path,
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
      if (path !== null) await this.file(path, artifact, source.read(artifact.path));
    });
    // Links last: no file is ever written through one.
    for (const artifact of inside) {
      const path = within(artifact);
      if (artifact.kind === 'symlink' && path !== null) await this.link(path, artifact.target);
    }
  }

  async directory(path: string, mode: number): Promise<void> {
    this.#mustNotLeadOut(path);
    await mkdir(path, { recursive: true, mode: 0o700 });
    if (this.#owner !== null) await chown(path, this.#owner.uid, this.#owner.gid);
    this.#directories.add(path);
    this.#modes.push({ path, mode });
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
        path,
        constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
        0o600,
      );
      try {
        for await (const bytes of content) {
          this.#signal.throwIfAborted();
          await file.writeFile(bytes);
          this.#bytesDone += bytes.byteLength;
          this.#progress(this.#bytesDone, this.#bytesTotal);
        }
        await file.chmod(mode & 0o7777);
        if (this.#owner !== null) await file.chown(this.#owner.uid, this.#owner.gid);
        await file.sync();
      } finally {
        await file.close();
      }
      await utimes(path, mtimeMs / 1000, mtimeMs / 1000);
    } catch (error) {
      throw diskError(error, path);
    }
  }

  async link(path: string, target: string): Promise<void> {
    this.#mustNotLeadOut(dirname(path));
    await symlink(target, path);
    this.#links.add(path);
    if (this.#owner !== null) await lchown(path, this.#owner.uid, this.#owner.gid);
    this.#directories.add(dirname(path));
  }

  /** Replaces a small file of the stage. */
  async replace(path: string, text: string, mode = 0o600): Promise<void> {
    await rm(path, { force: true });
    await this.file(path, { mode, mtimeMs: Date.now() }, bytesOf(text));
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

  /** Modes of directories, and all directory entries durable. */
  async seal(): Promise<void> {
    for (const { path, mode } of this.#modes) await chmod(path, mode & 0o7777);
    await atMost(FILES_AT_ONCE, [...this.#directories], syncDirectory);
  }
}

export async function readIfThere(path: string): Promise<string> {
  return (await isThere(path)) ? readFile(path, 'utf8') : '';
}

function mapped(path: string | null, directory: string): string | null {
  return path === null ? null : join(directory, path);
}

async function* bytesOf(text: string): AsyncIterable<Uint8Array> {
  yield Buffer.from(text);
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
  const code = fullDisk(error);
  if (code === null) return error;
  return new StillpointError(
    {
      code: 'host-disk-full',
      message: `no room to build the new data directory (${code} at ${path})`,
      hint: 'old and new stand side by side until the restore is verified: make room for both',
    },
    7,
    { cause: error },
  );
}

import { createHash, randomUUID } from 'node:crypto';
import { readFile, statfs } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { EXIT, StillpointError } from '../domain/errors.ts';
import type { GridManifest, MemberManifest } from '../domain/manifest.ts';
import { highestNumber, listCheckpoints, readCheckpoint, readMember } from './catalogue.ts';
import { ChunkPool } from './chunk-pool.ts';
import { ChunkStore } from './chunk-store.ts';
import { sha256 } from './digest.ts';
import { createExclusively, makeDirectory, removeDurably, storageError } from './durable-files.ts';
import { collectGarbage, removeCheckpoint } from './garbage.ts';
import { Layout } from './layout.ts';
import { sealGridManifest } from './manifest-schema.ts';
import { DirectoryMemberWriter } from './member-writer.ts';
import { beginOperation } from './operations.ts';
import type {
  CatalogueEntry,
  Damage,
  MemberWriter,
  OperationLease,
  Repository,
  RestoreOutcome,
} from './repository.ts';
import { verifyCheckpoint } from './verify.ts';

const identity = z.object({ format: z.literal(1), id: z.uuid() });
const decision = z.object({ outcome: z.enum(['restored', 'rolledBack']) });

/** Opens a repository in a directory; with `create`, makes it where the directory is empty or missing. */
export async function openDirectoryRepository(
  root: string,
  options: { create: boolean },
): Promise<Repository> {
  const layout = new Layout(root);
  if (options.create && (await readIdentity(layout)) === null) {
    try {
      await makeDirectory(root);
    } catch (error) {
      throw storageError(error, root);
    }
    // Several agents may come at once: one file is created, and all read what it says.
    await createExclusively(layout.identity(), `${JSON.stringify({ format: 1, id: randomUUID() })}\n`, true);
  }
  const found = await readIdentity(layout);
  if (found !== null) return new DirectoryRepository(layout, found);
  throw new StillpointError({
    code: 'repository-missing',
    message: `there is no repository in ${root}`,
    hint: 'is it mounted? The first checkpoint makes a repository where there is none',
  });
}

async function readIdentity(layout: Layout): Promise<string | null> {
  let text: string;
  try {
    text = await readFile(layout.identity(), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw storageError(error, layout.identity());
  }
  try {
    return identity.parse(JSON.parse(text)).id;
  } catch (error) {
    throw new StillpointError(
      {
        code: 'repository-format',
        message: `${layout.identity()} does not describe a repository that this version knows`,
        hint: 'use the version of stillpoint that made it, or another directory',
      },
      EXIT.usage,
      { cause: error },
    );
  }
}

class DirectoryRepository implements Repository {
  readonly id: string;
  readonly location: string;
  readonly #layout: Layout;
  readonly #pool = new ChunkPool();
  readonly #chunks: ChunkStore;

  constructor(layout: Layout, id: string) {
    this.id = id;
    this.location = layout.root;
    this.#layout = layout;
    this.#chunks = new ChunkStore(layout, this.#pool);
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.location);
    return bavail * bsize;
  }

  async probe(): Promise<void> {
    const path = join(this.location, `.probe-${randomUUID()}`);
    await createExclusively(path, 'stillpoint', false);
    await removeDurably(path);
  }

  beginOperation({
    grid,
    id,
    holder,
  }: {
    grid: string;
    id: string;
    holder: string;
  }): Promise<OperationLease> {
    return beginOperation(this.#layout, grid, id, holder);
  }

  beginMember(grid: string, checkpoint: string): MemberWriter {
    // Another process may have collected garbage since the last checkpoint through this handle.
    this.#chunks.forget();
    return new DirectoryMemberWriter(this.#layout, this.#chunks, grid, checkpoint);
  }

  async commit(manifest: GridManifest): Promise<void> {
    for (const member of manifest.members) {
      const stored = await readMember(
        this.#layout,
        manifest.grid,
        manifest.checkpoint,
        member.name,
        member.manifestDigest,
      );
      await this.#checkStored(manifest.grid, stored);
    }
    const path = this.#layout.gridManifest(manifest.grid, manifest.checkpoint);
    await makeDirectory(dirname(path));
    if (await createExclusively(path, sealGridManifest(manifest, sha256), true)) return;
    throw new StillpointError({
      code: 'checkpoint-exists',
      message: `${manifest.checkpoint} is committed already`,
      hint: 'start the checkpoint again: it gets a number of its own',
    });
  }

  async #checkStored(grid: string, manifest: MemberManifest): Promise<void> {
    for (const artifact of manifest.artifacts) {
      if (artifact.kind !== 'file') continue;
      for (const chunk of artifact.chunks) {
        if (await this.#chunks.isStored(grid, chunk)) continue;
        throw new StillpointError({
          code: 'chunk-damaged',
          message: `${manifest.member.name}: ${artifact.path}: chunk ${chunk.key} is not stored as its manifest says`,
          hint: 'look at the disk of the repository, then create the checkpoint again',
        });
      }
    }
  }

  list(grid?: string): Promise<CatalogueEntry[]> {
    return listCheckpoints(this.#layout, grid);
  }

  readCheckpoint(grid: string, checkpoint: string): Promise<GridManifest> {
    return readCheckpoint(this.#layout, grid, checkpoint);
  }

  readMember(grid: string, checkpoint: string, member: string, digest: string): Promise<MemberManifest> {
    return readMember(this.#layout, grid, checkpoint, member, digest);
  }

  async *readFile(manifest: MemberManifest, path: string): AsyncIterable<Uint8Array> {
    const file = manifest.artifacts.find((artifact) => artifact.path === path);
    if (file?.kind !== 'file') throw chunkDamaged(manifest, path, 'the manifest has no such file');
    const whole = createHash('sha256');
    const { chunks } = file;
    let next = chunks[0] && this.#chunks.read(manifest.grid, chunks[0]);
    for (let index = 0; index < chunks.length; index += 1) {
      const bytes = await next;
      const following = chunks[index + 1];
      if (bytes === undefined || typeof bytes === 'string')
        throw chunkDamaged(manifest, path, bytes ?? 'no bytes');
      // The next chunk is read and checked while this one is used.
      next = following && this.#chunks.read(manifest.grid, following);
      next?.catch(() => undefined);
      whole.update(bytes);
      yield bytes;
    }
    if (whole.digest('hex') !== file.digest)
      throw chunkDamaged(manifest, path, 'its chunks do not make the file with its digest');
  }

  verify(
    grid: string,
    checkpoint: string,
    progress: (bytesDone: number, bytesTotal: number) => void,
  ): Promise<Damage[]> {
    return verifyCheckpoint(this.#layout, this.#chunks, grid, checkpoint, progress);
  }

  async deleteCheckpoint(grid: string, checkpoint: string): Promise<{ removedBytes: number }> {
    await removeCheckpoint(this.#layout, grid, checkpoint);
    const { removedBytes } = await this.collectGarbage(grid);
    return { removedBytes };
  }

  async discard(grid: string, checkpoint: string): Promise<void> {
    const entry = (await this.list(grid)).find((one) => one.checkpoint === checkpoint);
    if (entry?.state === 'uncommitted') await removeCheckpoint(this.#layout, grid, checkpoint);
  }

  collectGarbage(grid: string): Promise<{ removedBytes: number; skipped: boolean }> {
    this.#chunks.forget();
    return collectGarbage(this.#layout, grid, `${hostname()} pid ${process.pid}`);
  }

  highestNumber(grid: string): Promise<{ epoch: number; counter: number }> {
    return highestNumber(this.#layout, grid);
  }

  async decideRestore(grid: string, restoreId: string, outcome: RestoreOutcome): Promise<RestoreOutcome> {
    const path = this.#layout.restore(grid, restoreId);
    await makeDirectory(dirname(path));
    await createExclusively(path, JSON.stringify({ outcome }), true);
    return decision.parse(JSON.parse(await readFile(path, 'utf8'))).outcome;
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}

function chunkDamaged(manifest: MemberManifest, path: string, cause: string): StillpointError {
  return new StillpointError(
    {
      code: 'chunk-damaged',
      message: `${manifest.member.name}: ${path}: ${cause}`,
      hint: `see all damage with stillpoint checkpoint verify ${manifest.checkpoint}, and restore another checkpoint`,
      member: manifest.member.name,
    },
    EXIT.invalid,
  );
}

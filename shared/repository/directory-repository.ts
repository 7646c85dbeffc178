import { randomUUID } from 'node:crypto';
import { stat, statfs } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import type { BackupSet, EndedBackup, ImageManifest, ImageSummary, Stamp } from '../domain/backup-set.ts';
import { EXIT, StillpointError } from '../domain/errors.ts';
import type { GridManifest, MemberManifest } from '../domain/manifest.ts';
import { deleteSet, readImage, readSet, readSets, recordBackup, saveImage } from './backup-sets.ts';
import { BlockBuffers } from './blocks.ts';
import {
  damageUnlessDeleted,
  highestNumber,
  listCheckpoints,
  readCheckpoint,
  readMember,
} from './catalogue.ts';
import { ChunkPool } from './chunk-pool.ts';
import { CHUNK_BYTES, ChunkStore } from './chunk-store.ts';
import { commitCheckpoint } from './commit.ts';
import { ByteBudget } from './concurrency.ts';
import { createExclusively, removeDurably, TEMPORARY_PREFIX } from './durable-files.ts';
import {
  readDrills,
  saveDrill,
  highestEpoch,
  raiseEpoch,
  lastVerification,
  recordVerification,
} from './records.ts';
import { collectGarbage, deleteCheckpoint, discardCheckpoint } from './garbage.ts';
import { identityDamage, makeIdentity, readIdentity } from './identity.ts';
import { Layout } from './layout.ts';
import { dropLeftovers, expectLeftovers, readLeftovers } from './leftovers.ts';
import { DirectoryMemberWriter } from './member-writer.ts';
import { beginOperation, readersOf, takenForDead } from './operations.ts';
import type {
  AnnouncedRestore,
  CatalogueEntry,
  Damage,
  Leftover,
  ListOptions,
  MemberWriter,
  OperationLease,
  OperationStart,
  Repository,
  RestoreOutcome,
  Retained,
  Retention,
  SetEntry,
  StoredDrill,
  Verification,
} from './repository.ts';
import { announceRestore, decideRestore, readRestore } from './restore-decision.ts';
import { readRetained, release, retain } from './retention.ts';
import { bytesBelow } from './size.ts';
import { otherRepository, readError } from './storage-error.ts';
import { verifiedBytes, verifyCheckpoint } from './verify.ts';

export interface DirectoryRepositoryOptions {
  /** Threads that hash and compress; 0: the caller's own. Default: one for each processor, up to eight. */
  readonly threads?: number | undefined;
  /** How large the chunks are that this handle writes; it reads those of any size. Default: 4 MiB. */
  readonly chunkBytes?: number | undefined;
  /** How long an operation waits for a garbage collection that runs. */
  readonly patienceMs?: number | undefined;
}

/** Eight chunks: enough to keep the threads and the disk busy at once. Each may be held plain and packed. */
const BUDGET_BYTES = 8 * CHUNK_BYTES;
const PATIENCE_MS = 30_000;
/** More than fits into an inode, so that a full disk is noticed. */
const PROBE_BYTES = 64 * 1024;

/** Makes a repository in a directory that is empty or missing; resolves to the one that is there already. */
export function initDirectoryRepository(directory: string): Promise<{ id: string; made: boolean }> {
  return makeIdentity(new Layout(resolve(directory)));
}

/** Opens a repository in a directory. Makes nothing. */
export async function openDirectoryRepository(
  directory: string,
  options: DirectoryRepositoryOptions,
): Promise<Repository> {
  const layout = new Layout(resolve(directory));
  const id = await readIdentity(layout);
  return new DirectoryRepository(layout, id, options);
}

/** Ties the parts together; what each promises stands in its own file. */
class DirectoryRepository implements Repository {
  readonly id: string;
  readonly location: string;
  readonly #layout: Layout;
  readonly #pool: ChunkPool;
  readonly #chunks: ChunkStore;
  readonly #budget = new ByteBudget(BUDGET_BYTES);
  readonly #patienceMs: number;
  readonly #self = `${hostname()} pid ${process.pid}`;

  constructor(layout: Layout, id: string, options: DirectoryRepositoryOptions) {
    this.id = id;
    this.location = layout.root;
    this.#layout = layout;
    const buffers = new BlockBuffers(options.chunkBytes ?? CHUNK_BYTES, BUDGET_BYTES / CHUNK_BYTES);
    this.#pool = new ChunkPool({ threads: options.threads, onIdle: () => buffers.clear() });
    this.#chunks = new ChunkStore(layout, this.#pool, buffers);
    this.#patienceMs = options.patienceMs ?? PATIENCE_MS;
  }

  async recognise(): Promise<void> {
    if ((await readIdentity(this.#layout)) !== this.id) throw otherRepository(this.location, this.id);
  }

  async freeBytes(): Promise<number> {
    try {
      const { bavail, bsize } = await statfs(this.location);
      return bavail * bsize;
    } catch (error) {
      throw readError(error, this.location);
    }
  }

  sizeBytes(): Promise<number> {
    return bytesBelow(this.location);
  }

  async probe(): Promise<void> {
    await this.now();
  }

  async now(): Promise<number> {
    await this.recognise();
    // Named as a temporary file, so that what a killed process leaves of it is swept.
    const path = join(this.location, `${TEMPORARY_PREFIX}probe-${randomUUID()}`);
    await createExclusively(path, new Uint8Array(PROBE_BYTES), false);
    try {
      return (await stat(path)).mtimeMs;
    } catch (error) {
      throw readError(error, path);
    } finally {
      await removeDurably(path);
    }
  }

  async beginOperation(operation: OperationStart): Promise<OperationLease> {
    await this.recognise();
    const lease = await beginOperation(this.#layout, operation, this.#patienceMs);
    try {
      if (operation.reads !== undefined) await readCheckpoint(this.#layout, operation.grid, operation.reads);
      return lease;
    } catch (error) {
      await lease.end();
      throw error;
    }
  }

  readers(grid: string): Promise<readonly { checkpoint: string; holder: string }[]> {
    return readersOf(this.#layout, grid);
  }

  expectLeftovers(grid: string, checkpoint: string): Promise<void> {
    return expectLeftovers(this.#layout, grid, checkpoint);
  }

  leftovers(grid: string): Promise<Leftover[]> {
    return readLeftovers(this.#layout, grid);
  }

  dropLeftovers(grid: string): Promise<void> {
    return dropLeftovers(this.#layout, grid);
  }

  beginMember(grid: string, checkpoint: string): MemberWriter {
    // A bad name is refused before a byte is stored.
    this.#layout.checkpoint(grid, checkpoint);
    // Another process may have collected garbage since the last checkpoint through this handle.
    this.#chunks.forget();
    return new DirectoryMemberWriter(this.#layout, this.#chunks, this.#budget, grid, checkpoint);
  }

  async commit(manifest: GridManifest): Promise<void> {
    const { grid } = manifest;
    const lease = await this.beginOperation({ grid, id: `commit-${randomUUID()}`, holder: this.#self });
    try {
      await commitCheckpoint(this.#layout, this.#chunks, manifest, lease);
      // They have served, but for what copies nothing. A marker that stays keeps garbage for some days, and no more.
      if (manifest.purpose === undefined) await dropLeftovers(this.#layout, grid).catch(() => undefined);
    } finally {
      // A marker that stays is forgotten when it was silent for long; what was committed stands.
      await lease.end().catch(() => undefined);
    }
  }

  async list(
    grid?: string,
    { purposes = [], imported = false }: ListOptions = {},
  ): Promise<CatalogueEntry[]> {
    const entries = await listCheckpoints(this.#layout, grid);
    return entries.filter(({ state, manifest }) => {
      if (state !== 'valid' || manifest === null) return true;
      if (manifest.imported !== undefined && !imported) return false;
      return manifest.purpose === undefined || purposes.includes(manifest.purpose);
    });
  }

  readCheckpoint(grid: string, checkpoint: string): Promise<GridManifest> {
    return readCheckpoint(this.#layout, grid, checkpoint);
  }

  async readMember(
    grid: string,
    checkpoint: string,
    member: string,
    digest: string,
  ): Promise<MemberManifest> {
    try {
      return await readMember(this.#layout, grid, checkpoint, member, digest);
    } catch (error) {
      throw await damageUnlessDeleted(this.#layout, grid, checkpoint, error);
    }
  }

  async *readFile(manifest: MemberManifest, path: string): AsyncIterable<Uint8Array> {
    const fail = (cause: string): Error => chunkDamaged(manifest, path, cause);
    const file = manifest.artifacts.find((artifact) => artifact.path === path);
    if (file?.kind !== 'file') throw fail('the manifest has no such file');
    try {
      yield* verifiedBytes(this.#chunks, manifest.grid, file, fail);
    } catch (error) {
      throw await damageUnlessDeleted(this.#layout, manifest.grid, manifest.checkpoint, error);
    }
  }

  async verify(
    grid: string,
    checkpoint: string,
    progress: (bytesDone: number, bytesTotal: number) => void,
    depth: 'bytes' | 'sizes' = 'bytes',
  ): Promise<Damage[]> {
    const own = await identityDamage(this.#layout, this.id);
    const found = await verifyCheckpoint(this.#layout, this.#chunks, { grid, checkpoint, progress, depth });
    return own === null ? found : [own, ...found];
  }

  async recordVerification(grid: string, verification: Verification): Promise<void> {
    await this.recognise();
    return recordVerification(this.#layout, grid, verification);
  }

  lastVerification(grid: string): Promise<Verification | null> {
    return lastVerification(this.#layout, grid);
  }

  async deleteCheckpoint(grid: string, checkpoint: string): Promise<{ removedBytes: number }> {
    await this.recognise();
    return deleteCheckpoint(this.#layout, grid, checkpoint, this.#self);
  }

  discard(grid: string, checkpoint: string): Promise<void> {
    return discardCheckpoint(this.#layout, grid, checkpoint);
  }

  async collectGarbage(grid: string): Promise<{ removedBytes: number; skipped: boolean }> {
    await this.recognise();
    return collectGarbage(this.#layout, grid, this.#self);
  }

  async highestNumber(grid: string): Promise<{ epoch: number; counter: number }> {
    const { epoch, counter } = await highestNumber(this.#layout, grid);
    return { epoch: Math.max(epoch, await highestEpoch(this.#layout, grid)), counter };
  }

  async raiseEpoch(grid: string, epoch: number): Promise<void> {
    await this.recognise();
    return raiseEpoch(this.#layout, grid, epoch);
  }

  async retain(grid: string, checkpoint: string, retention: Retention): Promise<void> {
    const id = `retention-${randomUUID()}`;
    const lease = await this.beginOperation({ grid, id, holder: this.#self, reads: checkpoint });
    try {
      await retain(this.#layout, grid, checkpoint, retention);
      if (await lease.refresh()) return;
      // Taken for dead: a deletion may have looked for the file before it was there.
      await release(this.#layout, grid, checkpoint);
      throw takenForDead();
    } finally {
      await lease.end();
    }
  }

  async release(grid: string, checkpoint: string): Promise<Retention> {
    await this.recognise();
    return release(this.#layout, grid, checkpoint);
  }

  retained(grid: string): Promise<Retained[]> {
    return readRetained(this.#layout, grid);
  }

  async saveDrill(grid: string, drillId: string, report: string): Promise<void> {
    await this.recognise();
    await saveDrill(this.#layout, grid, drillId, report);
  }

  drills(grid: string): Promise<StoredDrill[]> {
    return readDrills(this.#layout, grid);
  }

  async beginBackup(grid: string, set: string, member: string, begun: Stamp): Promise<void> {
    await this.recognise();
    await recordBackup({ layout: this.#layout, grid, set }, 'begun', member, begun);
  }

  async endBackup(grid: string, set: string, member: string, ended: EndedBackup): Promise<void> {
    await this.recognise();
    await recordBackup({ layout: this.#layout, grid, set }, 'ended', member, ended);
  }

  async recordImage(grid: string, set: string, member: string, image: ImageSummary): Promise<void> {
    await this.recognise();
    await recordBackup({ layout: this.#layout, grid, set }, 'read', member, image);
  }

  async saveImage(grid: string, set: string, image: ImageManifest): Promise<{ readonly digest: string }> {
    await this.recognise();
    return saveImage({ layout: this.#layout, grid, set }, image);
  }

  readImage(grid: string, set: string, digest: string): Promise<ImageManifest> {
    return readImage({ layout: this.#layout, grid, set }, digest);
  }

  sets(grid?: string): Promise<SetEntry[]> {
    return readSets(this.#layout, grid);
  }

  readSet(grid: string, set: string): Promise<BackupSet> {
    return readSet({ layout: this.#layout, grid, set });
  }

  async deleteSet(grid: string, set: string): Promise<void> {
    await this.recognise();
    await deleteSet({ layout: this.#layout, grid, set });
  }

  async announceRestore(grid: string, restoreId: string, announced: AnnouncedRestore): Promise<void> {
    await this.recognise();
    return announceRestore(this.#layout, grid, restoreId, announced);
  }

  async readRestore(grid: string, restoreId: string): Promise<AnnouncedRestore | null> {
    await this.recognise();
    return readRestore(this.#layout, grid, restoreId);
  }

  async decideRestore(grid: string, restoreId: string, outcome: RestoreOutcome): Promise<RestoreOutcome> {
    await this.recognise();
    return decideRestore(this.#layout, grid, restoreId, outcome);
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

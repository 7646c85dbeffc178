import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { EXIT, StillpointError } from '../domain/errors.ts';
import type { Artifact, ChunkReference, MemberManifest } from '../domain/manifest.ts';
import { blocksOf } from './blocks.ts';
import type { ChunkStore } from './chunk-store.ts';
import type { ByteBudget } from './concurrency.ts';
import { EMPTY_DIGEST, sha256 } from './digest.ts';
import { createExclusively, ensureDirectory, syncUpTo } from './durable-files.ts';
import { checkArtifactPath, type Layout } from './layout.ts';
import { checkWritable, memberManifestSchema } from './manifest-schema.ts';
import type { MemberWriter } from './repository.ts';

/** What the smallest chunk counts in the budget: it bounds how many tiny files are open at once. */
const LEAST_CHARGE_BYTES = 512 * 1024;

/** Stores one member: files chunk by chunk as their bytes arrive, then the manifest that names them. */
export class DirectoryMemberWriter implements MemberWriter {
  readonly #layout: Layout;
  readonly #chunks: ChunkStore;
  readonly #budget: ByteBudget;
  readonly #grid: string;
  readonly #checkpoint: string;
  readonly #artifacts = new Map<string, Artifact | null>();
  /** Directories with chunks that this member relies on, to be synced before the manifest is written. */
  readonly #directories = new Set<string>();
  #storedBytes = 0;

  constructor(layout: Layout, chunks: ChunkStore, budget: ByteBudget, grid: string, checkpoint: string) {
    this.#layout = layout;
    this.#chunks = chunks;
    this.#budget = budget;
    this.#grid = grid;
    this.#checkpoint = checkpoint;
  }

  async file(
    entry: { path: string; mode: number; mtimeMs: number },
    content: AsyncIterable<Uint8Array>,
  ): Promise<{ sizeBytes: number; digest: string }> {
    this.#claim(entry.path);
    try {
      const { sizeBytes, digest, chunks } = await this.#store(content);
      const { path, mode, mtimeMs } = entry;
      this.#artifacts.set(path, { kind: 'file', path, mode, mtimeMs, sizeBytes, digest, chunks });
      return { sizeBytes, digest };
    } catch (error) {
      this.#artifacts.delete(entry.path);
      throw error;
    }
  }

  directory(entry: { path: string; mode: number }): void {
    this.#claim(entry.path);
    this.#artifacts.set(entry.path, { kind: 'directory', path: entry.path, mode: entry.mode });
  }

  symlink(entry: { path: string; target: string }): void {
    this.#claim(entry.path);
    this.#artifacts.set(entry.path, { kind: 'symlink', path: entry.path, target: entry.target });
  }

  async finish(
    manifest: Omit<MemberManifest, 'artifacts'>,
  ): Promise<{ manifestDigest: string; sizeBytes: number; storedBytes: number }> {
    const artifacts = this.#sortedArtifacts();
    const path = this.#layout.member(this.#grid, this.#checkpoint, manifest.member.name);
    const text = `${JSON.stringify({ ...manifest, artifacts })}\n`;
    checkWritable(memberManifestSchema, text, path);
    // Chunks first: a manifest never names what a power cut could still take.
    await syncUpTo(this.#layout.root, this.#directories);
    await ensureDirectory(this.#layout, dirname(path));
    if (!(await createExclusively(path, text, true))) {
      throw new StillpointError(
        {
          code: 'checkpoint-exists',
          message: `${manifest.member.name} was stored in ${this.#checkpoint} before`,
          hint: 'start the checkpoint again: it gets a number of its own',
        },
        EXIT.aborted,
      );
    }
    let sizeBytes = 0;
    for (const artifact of artifacts) if (artifact.kind === 'file') sizeBytes += artifact.sizeBytes;
    return { manifestDigest: sha256(text), sizeBytes, storedBytes: this.#storedBytes };
  }

  async #store(
    content: AsyncIterable<Uint8Array>,
  ): Promise<{ sizeBytes: number; digest: string; chunks: ChunkReference[] }> {
    const whole = createHash('sha256');
    const storing: Promise<ChunkReference>[] = [];
    const failures: unknown[] = [];
    let sizeBytes = 0;
    let isOneChunk = false;
    try {
      for await (const block of blocksOf(content, this.#chunks.buffers)) {
        // No use in reading on: the file cannot be stored any more. What was thrown is thrown below.
        if (failures.length > 0) break;
        isOneChunk = block.isLast && sizeBytes === 0;
        sizeBytes += block.bytes.byteLength;
        // The digest of a file of one chunk is the chunk's, which a chunk thread computes.
        if (!isOneChunk) whole.update(block.bytes);
        const giveBack = await this.#budget.take(Math.max(block.bytes.byteLength, LEAST_CHARGE_BYTES));
        const stored = this.#put(block.bytes).finally(giveBack);
        stored.catch((error: unknown) => failures.push(error));
        storing.push(stored);
      }
    } finally {
      await Promise.allSettled(storing);
    }
    const chunks = await Promise.all(storing);
    const [only] = chunks;
    if (only === undefined) return { sizeBytes: 0, digest: EMPTY_DIGEST, chunks };
    return { sizeBytes, digest: isOneChunk ? only.digest : whole.digest('hex'), chunks };
  }

  async #put(bytes: Uint8Array<ArrayBuffer>): Promise<ChunkReference> {
    const { reference, addedBytes, directory } = await this.#chunks.put(this.#grid, bytes);
    this.#storedBytes += addedBytes;
    this.#directories.add(directory);
    return reference;
  }

  /** Takes the path before any byte is stored, so that a second artifact of this name fails at once. */
  #claim(path: string): void {
    checkArtifactPath(path);
    if (this.#artifacts.has(path)) throw new Error(`artifact ${path} was stored twice`);
    this.#artifacts.set(path, null);
  }

  #sortedArtifacts(): Artifact[] {
    const artifacts: Artifact[] = [];
    for (const [path, artifact] of this.#artifacts) {
      if (artifact === null) throw new Error(`artifact ${path} is not stored yet`);
      artifacts.push(artifact);
    }
    return artifacts.sort((a, b) => (a.path < b.path ? -1 : 1));
  }
}

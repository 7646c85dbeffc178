import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { StillpointError } from '../domain/errors.ts';
import type { Artifact, ChunkReference, MemberManifest } from '../domain/manifest.ts';
import { CHUNK_BYTES, type ChunkStore } from './chunk-store.ts';
import { sha256 } from './digest.ts';
import { createExclusively, makeDirectory } from './durable-files.ts';
import { checkArtifactPath, type Layout } from './layout.ts';
import type { MemberWriter } from './repository.ts';

/** Chunks of all files of a member that may be under way at once: the bound of its memory. */
const CHUNKS_UNDER_WAY = 8;

/** Stores one member: files chunk by chunk as their bytes arrive, then the manifest that names them. */
export class DirectoryMemberWriter implements MemberWriter {
  readonly #layout: Layout;
  readonly #chunks: ChunkStore;
  readonly #grid: string;
  readonly #checkpoint: string;
  readonly #artifacts = new Map<string, Artifact>();
  readonly #places = new Places(CHUNKS_UNDER_WAY);
  #storedBytes = 0;

  constructor(layout: Layout, chunks: ChunkStore, grid: string, checkpoint: string) {
    this.#layout = layout;
    this.#chunks = chunks;
    this.#grid = grid;
    this.#checkpoint = checkpoint;
  }

  async file(
    entry: { path: string; mode: number; mtimeMs: number },
    content: AsyncIterable<Uint8Array>,
  ): Promise<{ sizeBytes: number; digest: string }> {
    checkArtifactPath(entry.path);
    const whole = createHash('sha256');
    const storing: Promise<ChunkReference>[] = [];
    let sizeBytes = 0;
    try {
      for await (const block of blocksOf(content)) {
        sizeBytes += block.byteLength;
        whole.update(block);
        const leave = await this.#places.enter();
        const stored = this.#put(block).finally(leave);
        // Its rejection is met below; until then it must not count as unhandled.
        stored.catch(() => undefined);
        storing.push(stored);
      }
    } finally {
      await Promise.allSettled(storing);
    }
    const chunks = await Promise.all(storing);
    const digest = whole.digest('hex');
    this.#add({
      kind: 'file',
      path: entry.path,
      mode: entry.mode,
      mtimeMs: entry.mtimeMs,
      sizeBytes,
      digest,
      chunks,
    });
    return { sizeBytes, digest };
  }

  directory(entry: { path: string; mode: number }): void {
    this.#add({ kind: 'directory', ...entry });
  }

  symlink(entry: { path: string; target: string }): void {
    this.#add({ kind: 'symlink', ...entry });
  }

  async finish(
    manifest: Omit<MemberManifest, 'artifacts'>,
  ): Promise<{ manifestDigest: string; sizeBytes: number; storedBytes: number }> {
    const artifacts = [...this.#artifacts.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
    const text = `${JSON.stringify({ ...manifest, artifacts })}\n`;
    // Chunks first: a manifest never names what a power cut could still take.
    await this.#chunks.sync();
    const path = this.#layout.member(this.#grid, this.#checkpoint, manifest.member.name);
    await makeDirectory(dirname(path));
    if (!(await createExclusively(path, text, true))) {
      throw new StillpointError({
        code: 'checkpoint-exists',
        message: `${manifest.member.name} was stored in ${this.#checkpoint} before`,
        hint: 'start the checkpoint again: it gets a number of its own',
      });
    }
    const sizeBytes = artifacts.reduce(
      (sum, artifact) => sum + (artifact.kind === 'file' ? artifact.sizeBytes : 0),
      0,
    );
    return { manifestDigest: sha256(text), sizeBytes, storedBytes: this.#storedBytes };
  }

  async #put(block: Uint8Array): Promise<ChunkReference> {
    const { reference, addedBytes } = await this.#chunks.put(this.#grid, block);
    this.#storedBytes += addedBytes;
    return reference;
  }

  #add(artifact: Artifact): void {
    checkArtifactPath(artifact.path);
    if (this.#artifacts.has(artifact.path)) throw new Error(`artifact ${artifact.path} was stored twice`);
    this.#artifacts.set(artifact.path, artifact);
  }
}

/** Cuts a stream into blocks of the chunk size, each in a buffer of its own. */
async function* blocksOf(content: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let parts: Uint8Array[] = [];
  let held = 0;
  for await (const piece of content) {
    let rest = piece;
    while (held + rest.byteLength >= CHUNK_BYTES) {
      const taken = rest.subarray(0, CHUNK_BYTES - held);
      parts.push(taken);
      yield joined(parts, CHUNK_BYTES);
      parts = [];
      held = 0;
      rest = rest.subarray(taken.byteLength);
    }
    if (rest.byteLength > 0) {
      parts.push(rest);
      held += rest.byteLength;
    }
  }
  if (held > 0) yield joined(parts, held);
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const block = new Uint8Array(length);
  let at = 0;
  for (const one of parts) {
    block.set(one, at);
    at += one.byteLength;
  }
  return block;
}

/** A bounded number of places; who enters leaves again. */
class Places {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async enter(): Promise<() => void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return () => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    };
  }
}

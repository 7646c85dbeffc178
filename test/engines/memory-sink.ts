import { createHash } from 'node:crypto';
import type { ArtifactSink } from '../../agent/engines/engine.ts';

export interface StoredArtifact {
  readonly bytes: Buffer;
  readonly mode: number;
}

/** An artifact sink that keeps everything in memory. */
export class MemorySink implements ArtifactSink {
  readonly files = new Map<string, StoredArtifact>();
  readonly directories = new Set<string>();
  readonly symlinks = new Map<string, string>();
  /** Set by a test: every later file is refused with it. */
  refuseWith: Error | null = null;

  async file(
    entry: { path: string; mode: number; mtimeMs: number },
    content: AsyncIterable<Uint8Array>,
  ): Promise<{ sizeBytes: number; digest: string }> {
    const parts: Uint8Array[] = [];
    for await (const part of content) parts.push(Buffer.from(part));
    if (this.refuseWith !== null) throw this.refuseWith;
    if (this.files.has(entry.path)) throw new Error(`${entry.path} was stored twice`);
    const bytes = Buffer.concat(parts);
    this.files.set(entry.path, { bytes, mode: entry.mode });
    return { sizeBytes: bytes.length, digest: createHash('sha256').update(bytes).digest('hex') };
  }

  directory(entry: { path: string; mode: number }): void {
    this.directories.add(entry.path);
  }

  symlink(entry: { path: string; target: string }): void {
    this.symlinks.set(entry.path, entry.target);
  }

  paths(room: string): string[] {
    return [...this.files.keys()].filter((path) => path.startsWith(room)).toSorted();
  }
}

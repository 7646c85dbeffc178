import { createHash } from 'node:crypto';
import type { Artifact, MemberManifest } from '../../../shared/domain/manifest.ts';
import type { ArtifactSource } from '../engine.ts';
import type { ImageTree } from './image-tree.ts';

/** Where one file of a restore comes from, how much of it is taken, and the digest of that. */
export interface Origin {
  readonly tree: ImageTree;
  readonly path: string;
  readonly sizeBytes: number;
  readonly digest: string;
}

/** Files and directories that lie in trees of an operator, as the artifacts of a member. */
export class ImageArtifacts {
  readonly #origins = new Map<string, Origin>();
  readonly #artifacts: Artifact[] = [];

  directory(path: string): void {
    this.#artifacts.push({ kind: 'directory', path, mode: 0o700 });
  }

  file(path: string, origin: Origin): void {
    const { sizeBytes, digest } = origin;
    const mtimeMs = Date.now();
    this.#artifacts.push({ kind: 'file', path, mode: 0o600, mtimeMs, sizeBytes, digest, chunks: [] });
    this.#origins.set(path, origin);
  }

  /** `changed`: what is thrown where a file is not what it was when it was measured. */
  source(mark: MemberManifest, changed: (path: string) => Error): ArtifactSource {
    const origins = this.#origins;
    return {
      manifest: { ...mark, artifacts: this.#artifacts },
      async *read(path) {
        const origin = origins.get(path);
        if (origin === undefined) throw new Error(`${path} is not of this image`);
        const hash = createHash('sha256');
        for await (const bytes of origin.tree.content(origin.path, origin.sizeBytes)) {
          hash.update(bytes);
          yield bytes;
        }
        if (hash.digest('hex') !== origin.digest) throw changed(origin.path);
      },
    };
  }
}

import type { Assignment } from './assignment.ts';
import type { EngineName, FreezeKind, JournalMap, Mark, Role, Traits } from './grid.ts';
import type { HoldPurpose } from './purpose.ts';
import type { Token } from './token.ts';
import type { Warning } from './warning.ts';

/** One chunk of a file: up to 4 MiB of it. */
export interface ChunkReference {
  /** The chunk's name in the repository; begins with the plain digest. */
  readonly key: string;
  /** SHA-256 of the plain bytes, hex. */
  readonly digest: string;
  readonly sizeBytes: number;
  /** SHA-256 of the bytes as stored, hex. */
  readonly storedDigest: string;
  readonly storedBytes: number;
  readonly codec: 'zstd' | 'none';
}

/**
 * One artifact of a member: a file, directory or symbolic link. `path` is relative, with `/`, never
 * absolute and never with `..`; its first part is a room the engine names (`base/`, `journal/`, `config/`).
 */
export type Artifact =
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly mode: number;
      readonly mtimeMs: number;
      readonly sizeBytes: number;
      /** SHA-256 of the whole file, hex. */
      readonly digest: string;
      readonly chunks: readonly ChunkReference[];
    }
  | { readonly kind: 'directory'; readonly path: string; readonly mode: number }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string };

/** All artifacts of one member in one checkpoint, stored as members/<member>.json. */
export interface MemberManifest {
  readonly format: 1;
  readonly grid: string;
  readonly checkpoint: string;
  readonly token: Token;
  readonly member: {
    readonly name: string;
    readonly host: string;
    readonly role: Role;
    readonly copyset: string | null;
    readonly engine: EngineName;
    readonly address: string;
    readonly version: string;
    readonly dataIdentity: string;
    readonly primary: boolean;
    readonly freezeKind: FreezeKind;
    readonly traits: Traits;
    readonly assignment: Assignment;
  };
  readonly mark: Mark | null;
  /** The engine's own facts, needed by its restore; documented with the engine. JSON. */
  readonly engineFacts: unknown;
  /** What was found while it was stored, and its operator should know. */
  readonly warnings?: readonly Warning[];
  readonly artifacts: readonly Artifact[];
}

/** One member as the grid manifest names it. */
export interface GridManifestMember {
  readonly name: string;
  readonly host: string;
  readonly role: Role;
  readonly copyset: string | null;
  readonly engine: EngineName;
  readonly address: string;
  readonly primary: boolean;
  readonly traits: Traits;
  readonly assignment: Assignment;
  readonly manifestDigest: string;
  readonly mark: Mark | null;
  readonly incarnation: string;
  /** Of one that was shut down all along: how its files lay (docs/sharded-cluster.md, cold backups). */
  readonly stoppedAs?: string;
  readonly fenceMs: number;
  readonly markMs: number;
  readonly thawMs: number;
  readonly sizeBytes: number;
  readonly storedBytes: number;
}

/** What a checkpoint says of the archive that it was made of. It has the state of one domain alone. */
export interface ImportedArchive {
  /** Its name, without the directories that it lay in. */
  readonly file: string;
  /** Of its bytes, hex. */
  readonly sha256: string;
  /** ISO 8601 UTC, by the clock of who wrote it; null where it does not say. */
  readonly writtenAt: string | null;
}

/** The commit object, grid.json. Writing it, exclusively, commits the checkpoint. */
export interface GridManifest {
  readonly format: 1;
  readonly grid: string;
  readonly checkpoint: string;
  /** Its members were held for this, and nothing of them is stored but their marks. Not set: a checkpoint. */
  readonly purpose?: HoldPurpose;
  /** It was made of an archive that somebody brought: nobody was held for it. Not set: of the living grid. */
  readonly imported?: ImportedArchive;
  /** Which grid of this name: a copy restored elsewhere has a lineage of its own. */
  readonly lineage: string;
  readonly epoch: number;
  readonly counter: number;
  /** ISO 8601 UTC. For people; order is by epoch and counter. */
  readonly createdAt: string;
  readonly token: Token;
  readonly windowMs: number;
  readonly durationMs: number;
  readonly sizeBytes: number;
  readonly storedBytes: number;
  readonly journalMap: JournalMap;
  readonly copysets: readonly string[];
  readonly members: readonly GridManifestMember[];
  readonly absent: readonly string[];
  readonly warnings: readonly string[];
}

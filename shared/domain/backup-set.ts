/**
 * Three ways to bring operators' own copies of all members to one moment (docs/sharded-cluster.md):
 *
 * `journals`: copies of any time, then the journals up to a journal checkpoint that came after all of them.
 * `quiesce`: copies made while a quiesce held, or with every member shut down; no journal but what is in them.
 * `freeze`: copies made while a freeze held, then the journal that ended at its mark, which is in them.
 */
export type Approach = 'journals' | 'quiesce' | 'freeze';

/** A file, directory or symbolic link of an image. `path` is relative, with `/`. */
export type ImageEntry =
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly mode: number;
      readonly mtimeMs: number;
      readonly sizeBytes: number;
      /** SHA-256, hex. */
      readonly digest: string;
    }
  | { readonly kind: 'directory'; readonly path: string; readonly mode: number }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string };

/** What an agent found in an image when it read every byte of it. */
export interface ImageManifest {
  readonly member: string;
  /** Its name in the directory that the agent's file names. */
  readonly image: string;
  readonly engine: string;
  readonly dataIdentity: string;
  readonly entries: readonly ImageEntry[];
  /** The first journal file that is needed to start from it; null where its engine cannot tell. */
  readonly firstJournalFile: string | null;
  /** The journal files in it, in their order. */
  readonly journalFiles: readonly string[];
  /** The engine's own. JSON. */
  readonly engineFacts: unknown;
}

/** What the agent does for coordinators with documents; all that is said of them is JSON of shared/documents. */
export interface Documents {
  /**
   * Resolves when the document is on disk, and what it stands for has begun, or waits its turn. `unchanged`: the same
   * was kept already, and nothing was done. `backup`: of a Restore, the Backup that it names; else empty. Rejects with
   * what is wrong with it, and nothing was kept.
   */
  apply(
    document: string,
    backup: string,
  ): Promise<{ readonly unchanged: boolean; readonly document: string }>;
  /** The documents after this reference, as many as fit into one answer. */
  page(after: string): DocumentPage;
  /** Resolves when nothing is left of the document: not its member, not its archive. Rejects `document-missing`. */
  delete(kind: string, name: string): Promise<void>;
  /** What was logged from this byte on, as much as fits into one answer. Rejects `document-missing`. */
  log(kind: string, name: string, offset: number): Promise<LogPart>;
  /** Nothing is begun any more. What runs is left to the next agent. */
  end(): Promise<void>;
}

export interface DocumentPage {
  readonly clusters: readonly string[];
  readonly documents: readonly string[];
  readonly more: boolean;
}

export interface LogPart {
  readonly text: string;
  readonly nextOffset: number;
  /** Nothing will be added to it. */
  readonly ended: boolean;
}

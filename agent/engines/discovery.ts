/**
 * What an engine can say of a host that has no agent's file yet, and do for one that has: the part of the contract that
 * `stillpoint-agent init` uses (registry.ts has who does it). The other part is engine.ts.
 */

/** A host as the grid will know it. */
export interface HostToLookAt {
  readonly host: string;
  /** Where the agent's file will lie; absolute. */
  readonly folder: string;
  /** Sockets of processes that take part by themselves, which the operator has named. */
  readonly participants: readonly string[];
}

/** What an engine has seen of its members on this host. It has changed nothing, and what it did not see is not here. */
export interface Discovery {
  readonly members: readonly FoundMember[];
  /** What was seen and is no member, and why. */
  readonly notes: readonly string[];
}

export interface FoundMember {
  /** Its keys in the agent's file, in the order in which they are written. */
  readonly keys: Readonly<Record<string, unknown>>;
  /** Words for a key: where its value is from, and why it may have to be another. */
  readonly remarks: Readonly<Record<string, string>>;
  /** The grid that the member says it is of; null where it does not know. */
  readonly grid: string | null;
  /** Why it may be no member: then it is written as a comment. Null where it is one. */
  readonly doubt: string | null;
}

/** What a member must be given before its first checkpoint. */
export interface Preparation {
  /** For a person, ready to be carried out. Empty where nothing is missing. */
  readonly needs: readonly Need[];
  /**
   * Carries all of it out, and proves that the agent can do its work. What is there already is left as it is. Resolves
   * to what was done, in words; rejects with what a person has to do first.
   */
  apply(): Promise<readonly string[]>;
}

export interface Need {
  /** Where the lines belong, in words. */
  readonly where: string;
  readonly lines: readonly string[];
}

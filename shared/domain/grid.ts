import type { Failure } from './errors.ts';
import type { Abilities } from './purpose.ts';
import type { Viewing } from './viewing.ts';
import type { Warning } from './warning.ts';

/** What a member is in its grid; ARCHITECTURE.md, "Words", says what each is for. */
export type Role = 'realm-service' | 'state-keeper' | 'node' | 'proxy';

/** Which software a member runs: a name that is shown and compared, and says nothing else. Agents know what it means. */
export type EngineName = string;

/**
 * How a member is held still.
 * `fenced`: nothing new becomes visible or acknowledged while it is frozen, and it has a mark.
 * `observer`: stores nothing of its own but shows another member's data; fenced in a round before, no mark.
 * `instant`: its mark is one atomic moment, taken while every fenced member is held.
 */
export type FreezeKind = 'fenced' | 'observer' | 'instant';

/**
 * What an engine declares of a member. The coordinator asks these, and never which engine it is; manifests keep them,
 * since a restore asks them of members that may not be there any more.
 */
export interface Traits {
  /** Members with the same word are held together, by one lead. A member that is held alone has its own name here. */
  readonly domain: string;
  /** Who of a domain stores data: each its own, its lead what all share, or nobody. */
  readonly copies: 'each' | 'one' | 'nobody';
  /** What a member does that does not lead its group: it follows the lead, stands as its equal, or has no lead. */
  readonly standbys: 'follow' | 'peer' | 'none';
  /** It can refuse its clients' writes while a checkpoint is made. */
  readonly maintenance: boolean;
  /** A realm defines it: by name, with its role, its copyset and its address. */
  readonly inRealm: boolean;
  /** A member of another name may take its place in a restore. */
  readonly renamable: boolean;
  /** How many members its copyset may have; null: as many as its owner likes. */
  readonly maxMembers: number | null;
  /** Members of one copyset may run together where this word is the same. */
  readonly compatibility: string;
  /** Its mark names a journal file, which then stands in the journal map. */
  readonly marksJournalFile: boolean;
  /**
   * It is restored while it runs, and keeps its clients out by itself from the switch to the decision: it is not stopped,
   * and what it holds has no identity that a target could be told by.
   */
  readonly restoresRunning: boolean;
  /**
   * The artifact that is by itself an archive of its engine: its servers write such ones without us, and restore them.
   * Null where there is none.
   */
  readonly archive: string | null;
}

/** Where a member's state is cut. */
export interface Mark {
  /** The journal file that ends here; null where the engine has no such file. */
  readonly journalFile: string | null;
  /** The engine's own position, e.g. `0/A3000188`. */
  readonly position: string;
  /** The engine's own name of the mark. */
  readonly name: string;
}

/** A process of the grid as its realm defines it. */
export interface DefinedProcess {
  readonly name: string;
  /** `host:port`. */
  readonly address: string;
  /** Absolute. */
  readonly dataDirectory: string;
  /** As far as the realm service sees it. */
  readonly running: boolean;
}

/** The grid as its realm defines it. */
export interface GridDefinition {
  readonly grid: string;
  /** Raised by every change. */
  readonly version: number;
  /** In the order of definition: the nodes of the first keep the checkpoint's metadata. */
  readonly copysets: readonly { readonly name: string; readonly nodes: readonly DefinedProcess[] }[];
  readonly keepers: readonly DefinedProcess[];
  readonly proxies: readonly DefinedProcess[];
  readonly realmServices: readonly DefinedProcess[];
  /** What is configured in the realm and is no part of this grid. */
  readonly foreign: readonly string[];
}

/** What a realm service holds of the grid. */
export interface Realm extends GridDefinition {
  /** Of the checkpoints that it has recorded. */
  readonly highestEpoch: number;
  readonly highestCounter: number;
}

/** What an agent says of one member in preflight and `grid status`. */
export interface MemberDescription {
  readonly name: string;
  readonly role: Role;
  readonly copyset: string | null;
  readonly engine: EngineName;
  /** `hostname:port`, the key of the journal map. */
  readonly address: string;
  readonly running: boolean;
  /** Primary of its copyset (or lead of its kind). */
  readonly primary: boolean;
  readonly frozen: boolean;
  /** An earlier freeze was not undone, as its engine sees it: clients may be held, and no operation of ours holds them. */
  readonly leftFrozen: boolean;
  readonly freezeKind: FreezeKind;
  readonly traits: Traits;
  /** Changes with every start of the process. Empty when it does not run. */
  readonly incarnation: string;
  /** The engine's version, e.g. `18.4`. Empty when unknown. */
  readonly version: string;
  /** The identity of the data itself, equal on all nodes of a copyset. */
  readonly dataIdentity: string;
  /** Estimate of the bytes that a checkpoint must read. */
  readonly sizeBytes: number;
  /** Journal that it writes while a checkpoint is taken; 0 where that is not known, or none is stored. */
  readonly journalBytesPerSecond: number;
  /** Its base copy is no faster, by its agent's file; 0: as fast as it comes. */
  readonly copyBytesPerSecond: number;
  /** Fit for a checkpoint? What is wrong otherwise; each refuses in preflight. */
  readonly problems: readonly Failure[];
  /** What an operator should know, but nothing that stops a checkpoint. */
  readonly warnings: readonly Warning[];
  /** Absolute, where the realm's definition names it; else empty. */
  readonly dataDirectory: string;
  /** Ids of the checkpoints that lie complete beside the member's live data. */
  readonly localCheckpoints: readonly string[];
  /** Of realm services; of one that does not run, as it was when it did, where its files tell. Else null. */
  readonly realm: Realm | null;
  /** How many of its kind govern together, of how many, as it sees it: state keepers, and realm services; else null. */
  readonly quorum: { readonly running: number; readonly configured: number } | null;
  /** What it can take part in besides checkpoints. */
  readonly abilities: Abilities;
  /** So long its clients could go on updating in a freeze, at their present pace; null: it is not known, or nothing bounds it. */
  readonly updatesHaveRoomMs: number | null;
  /** Who gets its journal; absent where its engine hands it to nobody, and where it does not run. */
  readonly viewing?: Viewing;
}

/** One agent and its members. */
export interface HostDescription {
  readonly host: string;
  readonly grid: string;
  readonly agentVersion: string;
  /** The highest counter and epoch this agent has ever seen in a token. */
  readonly highestEpoch: number;
  readonly highestCounter: number;
  /** Free bytes where this agent keeps its state (the journal spool). */
  readonly stateFreeBytes: number;
  /** Which grid of this name it belongs to; null where it has neither made nor restored a checkpoint. */
  readonly lineage: string | null;
  readonly members: readonly MemberDescription[];
}

/** `hostname:port` of each data-storing member → the journal file that ends at the checkpoint. */
export type JournalMap = Readonly<Record<string, string>>;

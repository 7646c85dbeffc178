import type { DefinedProcess, GridDefinition } from './definition.ts';

/** What a process tells the realm service, which thereby knows the topology and the status of all (S44). */
export interface Report {
  readonly name: string;
  readonly role: string;
  readonly primary: boolean;
  readonly healthy: boolean;
  readonly problems: readonly string[];
}

export interface RealmStatus {
  readonly definition: GridDefinition | undefined;
  /** Of the processes heard of lately. */
  readonly running: readonly Report[];
}

export interface RealmCalls {
  define(definition: GridDefinition): { version: number };
  relocate(processes: readonly DefinedProcess[]): { version: number };
  status(request: Record<string, never>): RealmStatus;
  report(report: Report): { definition: GridDefinition | undefined };
  /** From the primary to its satellites. */
  deploy(definition: GridDefinition): { version: number };
  /** Between the realm services of a cluster: may `by` make this version? One at a time is told so. */
  reserve(request: { version: number; by: string }): { granted: boolean };
  /** Between the realm services of a cluster. */
  store(record: RealmRecord): { version: number };
  record(request: Record<string, never>): { record: RealmRecord };
}

/** All that a realm service keeps: its database is this, as JSON. */
export interface RealmRecord {
  readonly definition: GridDefinition | undefined;
  readonly highestEpoch: number;
  readonly highestCounter: number;
  /** Raised by every change of the record. */
  readonly change: number;
}

/** By which the keepers govern. A node in sync holds all that was ever acknowledged. */
export interface CopysetState {
  readonly primary: string;
  /** Raised whenever a primary is named. */
  readonly term: number;
  readonly inSync: readonly string[];
}

export interface KeeperState {
  /** Made once for a grid. */
  readonly identity: string;
  /** Raised by every change. */
  readonly version: number;
  /** Of the lead that stored it. */
  readonly term: number;
  readonly copysets: Readonly<Record<string, CopysetState>>;
}

export interface Heartbeat {
  readonly name: string;
  readonly incarnation: string;
  /** A primary's: the nodes that hold all it holds and whose answer it waits for, in this term. */
  readonly joined?: { readonly copyset: string; readonly term: number; readonly nodes: readonly string[] };
}

export interface HeartbeatAnswer {
  readonly state: KeeperState | undefined;
  /** Copysets that changed while no quorum of keepers ran: nothing may be done on the grid. */
  readonly undecided: readonly string[];
}

export interface KeeperCalls {
  heartbeat(heartbeat: Heartbeat): HeartbeatAnswer;
  /** `dry` asks only whether it would be granted. */
  vote(request: { term: number; candidate: string; stateTerm: number; version: number; dry: boolean }): {
    granted: boolean;
    /** A keeper that has undecided copysets lets nobody lead until it is stopped. */
    veto: boolean;
    term: number;
  };
  /** From the lead, to say that it leads, and up to which version its state is effective. */
  beat(request: { term: number; lead: string; stateTerm: number; version: number }): {
    term: number;
    stateTerm: number;
    version: number;
  };
  /** Answered when the state is durable. */
  store(request: { term: number; lead: string; state: KeeperState }): { stored: boolean; term: number };
  ping(request: Record<string, never>): Record<string, never>;
}

export type Row = readonly [table: string, key: string, value: string];

/** `by` names the client, for who wants to know what is going on. */
export interface RowCalls {
  put(request: {
    copyset: string;
    table: string;
    key: string;
    value: string | null;
    by?: string;
  }): Record<string, never>;
  get(request: { copyset: string; table: string; key: string; by?: string }): { value: string | null };
  /** Up to `limit` rows in the order of their keys, from after `after`. */
  scan(request: { copyset: string; table: string; after?: string; limit: number; by?: string }): {
    rows: Row[];
  };
}

/** How far a node's log goes. */
export interface Position {
  /** Of the data; empty where there was none ever. */
  readonly identity: string;
  readonly sequence: number;
  readonly term: number;
}

export interface NodeCalls extends RowCalls {
  /** From the primary, before it replicates; answers with what this node has logged. */
  follow(request: { term: number; primary: string }): Position;
  /** In the order of the log; answered when durable. */
  replicate(request: { term: number; entries: readonly LogEntry[] }): { sequence: number };
  /** As `replicate`: says that this node now holds all that its primary holds, up to here. */
  welcome(request: { term: number }): Record<string, never>;
  /** The operator's own word: as long as it is on, clients' writes are refused, whoever else wants it or not. */
  maintain(request: { on: boolean }): Record<string, never>;
  ping(request: Record<string, never>): Record<string, never>;
}

/** What a journal is made of. */
export type LogEntry =
  | {
      readonly kind: 'update';
      readonly sequence: number;
      readonly term: number;
      readonly table: string;
      readonly key: string;
      readonly value: string | null;
    }
  /** A full copy of the primary's rows begins: what was there before is no more. */
  | { readonly kind: 'clear'; readonly identity: string }
  | { readonly kind: 'row'; readonly table: string; readonly key: string; readonly value: string }
  /** The copy is complete: it is what the primary held after this sequence. */
  | { readonly kind: 'copied'; readonly history: History };

/** Where each term begins, and where the log ends. */
export interface History {
  readonly identity: string;
  readonly sequence: number;
  readonly terms: readonly { readonly term: number; readonly first: number }[];
}

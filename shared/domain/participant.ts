import type { GridDefinition, Role } from './grid.ts';
import type { Token } from './token.ts';

/** What a process that implements proto/participant.proto says, in the words of this domain. */
export interface ParticipantDescription {
  readonly grid: string;
  readonly name: string;
  readonly role: Role;
  /** Changes with every start of the process, and at no other time. */
  readonly incarnation: string;
  readonly version: string;
  /** `host:port` where the grid reaches it. */
  readonly address: string;
  /** Absolute; the files to copy are in `live/` below it. */
  readonly dataDirectory: string;
  /** Relative to `live/`. Empty where there is no journal. */
  readonly journalDirectory: string;
  readonly copyset: string | null;
  /** Nodes: of the copyset. State keepers: lead. Realm service: takes updates of the definition. */
  readonly primary: boolean;
  readonly dataIdentity: string;
  readonly sizeBytes: number;
  readonly clientConnections: number;
  readonly held: ParticipantHolds;
  /** State keepers only. */
  readonly quorum: { readonly running: number; readonly configured: number } | null;
  /** Realm services only. */
  readonly definition: GridDefinition | null;
  /** Realm services: of the checkpoints that are recorded. */
  readonly highestEpoch: number;
  readonly highestCounter: number;
  readonly problems: readonly ParticipantProblem[];
  /** From its own files, before it took anything from another process; null where it does not say. */
  readonly startedWith: Content | null;
  /** Nodes: databases of which not every update is journaled, by name. */
  readonly unjournaled: readonly string[];
  /** What it does while it is starting and not there yet, and how far it is; null where it is there. */
  readonly recovering: string | null;
  /** Nodes: so long updates would go on if writing was suspended now; null: it is not known, or nothing bounds it. */
  readonly updatesHaveRoomMs: number | null;
}

/** What a process holds, in its own words: equal where nothing is missing, added or changed. */
export interface Content {
  /** Rows of a node, copysets of a state keeper, defined processes of a realm service. */
  readonly count: number;
  /** Hexadecimal. */
  readonly digest: string;
}

/** What a process holds back now, and for which operation. */
export interface ParticipantHolds {
  /** Empty where nothing is held. */
  readonly operation: string;
  readonly quiesced: boolean;
  readonly writingSuspended: boolean;
  readonly journalRetained: boolean;
  readonly maintenance: boolean;
  /** Clients' updates wait for the end of the suspension. */
  readonly updatesWait: boolean;
}

interface ParticipantProblem {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** One attempt to hold a process still. */
export interface Attempt {
  readonly operation: string;
  readonly token: Token;
}

export interface Quiescence {
  readonly incarnation: string;
  readonly quiesced: boolean;
  /** What did not come to rest in time; then the process goes on. */
  readonly notQuiesced: readonly string[];
}

/** Where a process's journal is cut: the file that ends here, and its length. */
export interface JournalCut {
  readonly incarnation: string;
  readonly journalFile: string;
  readonly length: number;
  /** What a process started on this comes up with; null where it does not say. */
  readonly content: Content | null;
}

/** The end of a hold: whether it had lasted without a break. */
export interface HoldEnding {
  readonly incarnation: string;
  readonly held: boolean;
  /** Why not, where the process says it. */
  readonly cause: string;
}

export interface DatabaseBackup {
  /** Relative to the data directory: `backups/<name>`. */
  readonly file: string;
  /** The definition as text for people. */
  readonly definition: Uint8Array;
}

export interface KeeperState {
  readonly state: Uint8Array;
  readonly version: number;
}

export interface Health {
  readonly healthy: boolean;
  readonly cause: string;
}

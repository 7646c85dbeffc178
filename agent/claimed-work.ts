import type { MemberDescription } from '../shared/domain/grid.ts';
import type { AgentRequest } from '../shared/domain/wire.ts';
import type { Repository } from '../shared/repository/repository.ts';
import type { Logger } from '../shared/runtime/log.ts';
import { ProcessTracer } from '../shared/runtime/process-tracer.ts';
import type { AgentFile } from './agent-file.ts';
import type { AgentMember } from './agent-member.ts';
import { CheckpointOperation, type Listener } from './checkpoint-operation.ts';
import { memberStore } from './collect.ts';
import type { Documents } from './documents/documents.ts';
import type { FreezeLedger } from './freeze-ledger.ts';
import type { Happenings } from './happenings.ts';
import type { ClaimedWork } from './host-claim.ts';
import { ArchiveImports } from './import-archive.ts';
import type { RestoreKeeper } from './restore-keeper.ts';
import { RestoreOperation } from './restore-operation.ts';
import { hostRooms } from './room-watch.ts';
import type { StateDirectory } from './state-directory.ts';
import type { Surroundings } from './surroundings.ts';
import type { UndoKeeper } from './undo-keeper.ts';

/** What there is on this host to work for coordinators with. */
export interface ServiceContext {
  readonly file: AgentFile;
  readonly surroundings: Surroundings;
  readonly host: string;
  readonly members: ReadonlyMap<string, AgentMember>;
  readonly state: StateDirectory;
  readonly undoKeeper: UndoKeeper;
  readonly restoreKeeper: RestoreKeeper;
  readonly repository: () => Promise<Repository>;
  readonly freezeLedger: FreezeLedger;
  readonly happenings: Happenings;
  /** Null where the agent's file has no clusters for them. */
  readonly documents: Documents | null;
  readonly log: Logger;
}

export type ClaimRequest = Extract<AgentRequest, { type: 'claim' }>;

/** What a stream has claimed the host for. */
export interface Work extends ClaimedWork {
  readonly checkpoint: CheckpointOperation | null;
  readonly restore: RestoreOperation | null;
  readonly imports: ArchiveImports | null;
}

/** Begins what the claim is for. `ended`: no new stream came for what waited for one, and it has ended by itself. */
export function beginWork(
  context: ServiceContext,
  request: ClaimRequest,
  stream: {
    readonly listener: Listener;
    /** What the coordinator was told of the members last. */
    readonly descriptions: { get(member: string): MemberDescription | undefined };
    readonly ended: () => void;
  },
): Work {
  const { state, repository, members, log, file, host, undoKeeper, freezeLedger } = context;
  const { restoreKeeper, surroundings, happenings } = context;
  const { listener, descriptions, ended } = stream;
  const { grid, keepFree } = file;
  if (request.purpose === 'restore') {
    const { progress } = listener;
    const { reach } = surroundings;
    const restore = new RestoreOperation({ members, state, restoreKeeper, repository, log, reach, progress });
    return workOf(null, restore, null);
  }
  const checkpoint = new CheckpointOperation(
    {
      id: request.operation,
      tracer: request.trace === true ? new ProcessTracer([...members.keys()]) : null,
      leaseMs: request.leaseMs,
      surroundings,
      members,
      descriptions,
      state,
      storeOf: (name, description) => memberStore({ repository, grid, host, checkpoint: name, description }),
      log: log.child({ operation: request.operation }),
      ended,
      undoKeeper,
      freezeLedger,
      happenings,
      maxLeaseMs: file.freezeBudget.leaseSeconds * 1000,
      maxHoldMs: file.freezeBudget.holdSeconds * 1000,
      keepFree,
      hostRooms: hostRooms({ statePath: state.path, repository, keepFree }),
    },
    listener,
  );
  return workOf(
    checkpoint,
    null,
    new ArchiveImports({ ...context, descriptions, progress: listener.progress }),
  );
}

function workOf(
  checkpoint: CheckpointOperation | null,
  restore: RestoreOperation | null,
  imports: ArchiveImports | null,
): Work {
  let hasEnded = false;
  return {
    get checkpoint() {
      return hasEnded ? null : checkpoint;
    },
    get restore() {
      return hasEnded ? null : restore;
    },
    get imports() {
      return hasEnded ? null : imports;
    },
    frozenMembers: () => checkpoint?.frozenMembers ?? new Set(),
    mayHold: () => checkpoint?.mayHold ?? false,
    unfinished: () => checkpoint?.unfinished ?? new Map(),
    mayBeResumed: () => checkpoint?.mayBeResumed() ?? false,
    streamClosed: () => checkpoint?.streamClosed() ?? false,
    async end() {
      // First what may hold somebody.
      await checkpoint?.end();
      await imports?.end();
      await restore?.end();
      hasEnded = true;
    },
  };
}

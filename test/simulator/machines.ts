import * as identity from '../../agent/engines/postgres/server/server-identity.ts';
import * as checkpoint from '../../agent/checkpoint-operation.ts';
import * as guard from '../../agent/guard/watches.ts';
import * as hostClaim from '../../agent/host-claim.ts';
import * as jobs from '../../agent/jobs.ts';
import * as undoKeeper from '../../agent/undo-keeper.ts';
import * as assignment from '../../coordinator/assignment.ts';
import * as heldJob from '../../coordinator/jobs/held-job.ts';
import * as driver from '../../coordinator/checkpoint-run.ts';
import * as judgeSet from '../../shared/domain/judge-set.ts';
import * as claim from '../../shared/protocol/claim.ts';
import * as coordinator from '../../shared/protocol/coordinator-machine.ts';
import * as member from '../../shared/protocol/member-machine.ts';
import * as repository from '../../shared/repository/directory-repository.ts';
import * as writeDaemon from './write-daemon.ts';
import * as written from './written.ts';

/** The code that a simulation runs: the real one, or the real one with one of its rules broken. */
export interface Machines {
  readonly coordinator: Pick<typeof coordinator, 'initialCoordinator' | 'stepCoordinator' | 'nextDeadline'>;
  /** What performs the effects of the coordinator's machine. */
  readonly driver: Pick<typeof driver, 'CheckpointRun'>;
  /** Between the driver and what the grid is held for. */
  readonly heldJob: Pick<typeof heldJob, 'HeldJob'>;
  /** Who holds a domain, and copies it. */
  readonly assignment: Pick<typeof assignment, 'assign'>;
  /** What an agent has of one checkpoint: its members' runtimes, which perform the effects of their machines, and its side of the guard. */
  readonly checkpoint: Pick<typeof checkpoint, 'CheckpointOperation'>;
  readonly hostClaim: Pick<typeof hostClaim, 'HostClaim'>;
  /** Who may have a job let go. */
  readonly jobs: Pick<typeof jobs, 'letGo'>;
  readonly member: Pick<
    typeof member,
    'initialMember' | 'stepMember' | 'nextMemberDeadline' | 'mayBeResumed'
  >;
  /** What an operator's backup can be restored to. */
  readonly judgeSet: Pick<typeof judgeSet, 'judge'>;
  readonly claim: Pick<typeof claim, 'decideClaim'>;
  readonly repository: Pick<typeof repository, 'initDirectoryRepository' | 'openDirectoryRepository'>;
  /** What undoes when an agent cannot. */
  readonly guard: Pick<typeof guard, 'Watches'>;
  readonly undoKeeper: Pick<typeof undoKeeper, 'UndoKeeper'>;
  readonly identity: Pick<typeof identity, 'standingOf'>;
  /** Models of what a process does by contract; broken, it is one that does not. */
  readonly writeDaemon: Pick<typeof writeDaemon, 'WriteDaemon'>;
  readonly written: Pick<typeof written, 'Written'>;
}

export const MACHINES: Machines = {
  assignment,
  coordinator,
  driver,
  checkpoint,
  heldJob,
  hostClaim,
  jobs,
  member,
  judgeSet,
  claim,
  repository,
  guard,
  undoKeeper,
  identity,
  writeDaemon,
  written,
};

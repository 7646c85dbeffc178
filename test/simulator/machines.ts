import * as identity from '../../agent/engines/postgres/server/server-identity.ts';
import * as guard from '../../agent/guard/watch.ts';
import * as runtime from '../../agent/member-runtime.ts';
import * as undoKeeper from '../../agent/undo-keeper.ts';
import * as driver from '../../coordinator/checkpoint-run.ts';
import * as claim from '../../shared/protocol/claim.ts';
import * as coordinator from '../../shared/protocol/coordinator-machine.ts';
import * as lease from '../../shared/protocol/lease.ts';
import * as member from '../../shared/protocol/member-machine.ts';
import * as repository from '../../shared/repository/directory-repository.ts';

/** The code that a simulation runs: the real one, or the real one with one of its rules broken. */
export interface Machines {
  readonly coordinator: Pick<typeof coordinator, 'initialCoordinator' | 'stepCoordinator' | 'nextDeadline'>;
  /** What performs the effects of the coordinator's machine. */
  readonly driver: Pick<typeof driver, 'CheckpointRun'>;
  /** What performs the effects of a member's machine. */
  readonly runtime: Pick<typeof runtime, 'MemberRuntime'>;
  readonly member: Pick<
    typeof member,
    'initialMember' | 'stepMember' | 'nextMemberDeadline' | 'mayBeResumed'
  >;
  readonly claim: Pick<typeof claim, 'decideClaim'>;
  readonly lease: Pick<typeof lease, 'grantLease' | 'renewLease'>;
  readonly repository: Pick<typeof repository, 'initDirectoryRepository' | 'openDirectoryRepository'>;
  /** What undoes when an agent cannot. */
  readonly guard: Pick<typeof guard, 'Watch'>;
  readonly undoKeeper: Pick<typeof undoKeeper, 'UndoKeeper'>;
  readonly identity: Pick<typeof identity, 'standingOf'>;
}

export const MACHINES: Machines = {
  coordinator,
  driver,
  runtime,
  member,
  claim,
  lease,
  repository,
  guard,
  undoKeeper,
  identity,
};

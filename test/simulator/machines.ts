import * as claim from '../../shared/protocol/claim.ts';
import * as coordinator from '../../shared/protocol/coordinator-machine.ts';
import * as lease from '../../shared/protocol/lease.ts';
import * as member from '../../shared/protocol/member-machine.ts';

/** The rules that a simulation runs under: the real ones, or the real ones with one of them broken. */
export interface Machines {
  readonly coordinator: Pick<typeof coordinator, 'initialCoordinator' | 'stepCoordinator' | 'nextDeadline'>;
  readonly member: Pick<typeof member, 'initialMember' | 'stepMember' | 'nextMemberDeadline'>;
  readonly claim: Pick<typeof claim, 'decideClaim'>;
  readonly lease: Pick<typeof lease, 'grantLease' | 'renewLease'>;
}

export const MACHINES: Machines = { coordinator, member, claim, lease };

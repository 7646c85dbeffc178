import type { Role } from '../../../shared/domain/grid.ts';
import type { Attempt, ParticipantHolds } from '../../../shared/domain/participant.ts';
import type { Token } from '../../../shared/domain/token.ts';
import { perform } from '../contract/perform.ts';
import { protoName, ROLES_OF, type CallName } from '../contract/table.ts';
import { brief, LONG_MS, type Lab } from '../lab.ts';
import { holdKinds } from '../holds.ts';
import { Broken, EVERY_ROLE, NODE, RESTING_ROLES, Unjudged, type ContractPromise } from '../promise.ts';

type Call = (lab: Lab, attempt: Attempt) => Promise<unknown>;

/** Every call that not all roles know, with a request that is well formed. */
const CALLS: readonly { name: string; roles: readonly Role[]; call: Call }[] = [
  {
    name: 'Quiesce',
    roles: RESTING_ROLES,
    call: ({ participant }, attempt) =>
      participant.quiesce({ ...attempt, allowReads: true, timeoutMs: 1000, leaseMs: 1000 }),
  },
  {
    name: 'SwitchJournal',
    roles: RESTING_ROLES,
    call: ({ participant }, attempt) => participant.switchJournal(attempt),
  },
  { name: 'Resume', roles: RESTING_ROLES, call: ({ participant }, attempt) => participant.resume(attempt) },
  {
    name: 'SuspendWriting',
    roles: NODE,
    call: ({ participant }, { operation }) => participant.suspendWriting({ operation, leaseMs: 1000 }),
  },
  {
    name: 'ResumeWriting',
    roles: NODE,
    call: ({ participant }, { operation }) =>
      participant.resumeWriting({ operation, retainJournal: false, leaseMs: 1000 }),
  },
  { name: 'ReleaseJournal', roles: NODE, call: ({ participant }, one) => participant.releaseJournal(one) },
  {
    name: 'EnterMaintenance',
    roles: NODE,
    call: ({ participant }, { operation }) => participant.enterMaintenance({ operation, leaseMs: 1000 }),
  },
  {
    name: 'LeaveMaintenance',
    roles: NODE,
    call: ({ participant }, one) => participant.leaveMaintenance(one),
  },
  {
    name: 'BackUpDatabase',
    roles: ['realm-service'],
    call: ({ participant }, { operation, token }) =>
      participant.backUpDatabase({ operation, checkpoint: 'conformance', ...token }),
  },
  {
    name: 'SaveKeeperState',
    roles: ['state-keeper'],
    call: ({ participant }, { operation }) => participant.saveKeeperState({ operation }),
  },
  {
    name: 'Relocate',
    roles: ['realm-service'],
    call: ({ participant, description: { name, address, dataDirectory } }) =>
      participant.relocate([{ name, address, dataDirectory, running: true }]),
  },
];

const WITHOUT_OPERATION = '';
/** What no caller of ours would send. */
const NO_TOKEN = undefined as unknown as Token;

/** Requests that are malformed, for the roles that know the call. */
const MALFORMED: readonly { what: string; roles: readonly Role[]; call: Call }[] = [
  ...[0, -1, Number.NaN].map((leaseMs) => ({
    what: `Quiesce with lease_ms ${leaseMs}`,
    roles: RESTING_ROLES,
    call: (({ participant }, attempt) =>
      participant.quiesce({ ...attempt, allowReads: true, timeoutMs: 1000, leaseMs })) satisfies Call,
  })),
  {
    what: 'Quiesce with timeout_ms -1',
    roles: RESTING_ROLES,
    call: ({ participant }, attempt) =>
      participant.quiesce({ ...attempt, allowReads: true, timeoutMs: -1, leaseMs: 1000 }),
  },
  {
    what: 'Quiesce without operation',
    roles: RESTING_ROLES,
    call: ({ participant }, { token }) =>
      participant.quiesce({
        operation: WITHOUT_OPERATION,
        token,
        allowReads: true,
        timeoutMs: 1000,
        leaseMs: 1000,
      }),
  },
  {
    what: 'Quiesce without token',
    roles: RESTING_ROLES,
    call: ({ participant }, { operation }) =>
      participant.quiesce({ operation, token: NO_TOKEN, allowReads: true, timeoutMs: 1000, leaseMs: 1000 }),
  },
  {
    what: 'Resume without token',
    roles: RESTING_ROLES,
    call: ({ participant }, { operation }) => participant.resume({ operation, token: NO_TOKEN }),
  },
  {
    what: 'SwitchJournal without token',
    roles: RESTING_ROLES,
    call: ({ participant }, { operation }) => participant.switchJournal({ operation, token: NO_TOKEN }),
  },
  {
    what: 'SuspendWriting with lease_ms 0',
    roles: NODE,
    call: ({ participant }, { operation }) => participant.suspendWriting({ operation, leaseMs: 0 }),
  },
  {
    what: 'SuspendWriting without operation',
    roles: NODE,
    call: ({ participant }) => participant.suspendWriting({ operation: WITHOUT_OPERATION, leaseMs: 1000 }),
  },
  {
    what: 'EnterMaintenance with lease_ms 0',
    roles: NODE,
    call: ({ participant }, { operation }) => participant.enterMaintenance({ operation, leaseMs: 0 }),
  },
  {
    what: 'EnterMaintenance without operation',
    roles: NODE,
    call: ({ participant }) => participant.enterMaintenance({ operation: WITHOUT_OPERATION, leaseMs: 1000 }),
  },
  {
    what: 'ResumeWriting with retain_journal and lease_ms 0',
    roles: NODE,
    call: ({ participant }, { operation }) =>
      participant.resumeWriting({ operation, retainJournal: true, leaseMs: 0 }),
  },
  {
    what: 'Release without operation',
    roles: RESTING_ROLES,
    call: ({ participant }) => participant.release({ operation: WITHOUT_OPERATION }),
  },
  {
    what: 'Renew without operation',
    roles: RESTING_ROLES,
    call: ({ participant }) => participant.renew({ operation: WITHOUT_OPERATION }),
  },
];

/** What holds for every call. */
export const callPromises: readonly ContractPromise[] = [
  {
    id: 'calls-of-the-role',
    says: 'Calls by role: a process of this role has this call.',
    roles: EVERY_ROLE,
    async check({ participant, description: { role } }) {
      const calls = (Object.keys(ROLES_OF) as CallName[]).filter((call) => ROLES_OF[call].includes(role));
      const missing: string[] = [];
      for (const call of calls) {
        // With nothing in it: where the call is there, it is malformed.
        const { status } = await perform(participant, { call });
        if (status === 'UNIMPLEMENTED') missing.push(protoName(call));
      }
      if (missing.length > 0) throw new Broken(`UNIMPLEMENTED: ${missing.join(', ')}`);
      return `${calls.length} calls`;
    },
  },
  {
    id: 'calls-of-other-roles',
    says: 'Errors: UNIMPLEMENTED, a process of this role has no such call.',
    roles: EVERY_ROLE,
    async check(lab) {
      const others = CALLS.filter(({ roles }) => !roles.includes(lab.description.role));
      for (const { name, call } of others) {
        await lab.refusal(name, call(lab, lab.attempt()), 'participant-unsupported');
      }
      return `${others.length} calls of other roles are UNIMPLEMENTED`;
    },
  },
  {
    id: 'malformed-refused',
    hiddenBy: ['calls-of-the-role'],
    says: 'Errors: INVALID_ARGUMENT, the request is malformed. After an error the process is as it was before.',
    roles: RESTING_ROLES,
    async check(lab) {
      const requests = MALFORMED.filter(({ roles }) => roles.includes(lab.description.role));
      for (const { what, call } of requests) {
        await lab.refusal(what, call(lab, lab.attempt()), 'participant-invalid');
      }
      const { held } = await lab.participant.describe();
      if (holdsAny(held)) throw new Broken(`after requests that were refused it holds ${brief(held)}`);
      return `${requests.length} malformed requests are refused`;
    },
  },
  {
    id: 'errors-in-one-line',
    says: 'Errors: the message is one line for a person: fact, then "hint:" and the remedy.',
    roles: RESTING_ROLES,
    async check(lab) {
      const error = await lab
        .refusal('SwitchJournal', lab.participant.switchJournal(lab.attempt()), 'participant-wrong-state')
        .catch(() => null);
      if (error === null) throw new Unjudged('no refusal was seen');
      const details = (error.cause as { details?: string } | undefined)?.details ?? '';
      if (!/^\S.*hint:\s*\S/.test(details) || details.includes('\n')) throw new Broken(brief(details));
      return brief(details);
    },
  },
  {
    id: 'release-in-every-state',
    says: 'Release ends everything that this operation holds, in whatever state. Never fails but for UNAVAILABLE.',
    roles: EVERY_ROLE,
    async check(lab) {
      const { participant } = lab;
      const states = ['nothing', ...holdKinds(lab).map(({ name }) => name)];
      await participant.release(lab.attempt());
      for (const kind of holdKinds(lab)) {
        const attempt = lab.attempt();
        await kind.take(lab, attempt, LONG_MS);
        await participant.release(attempt);
        const { held } = await participant.describe();
        if (holdsAny(held)) throw new Broken(`${kind.name}, released, and it holds ${brief(held)}`);
        await participant.release(attempt);
      }
      return `released from: ${states.join(', ')}`;
    },
  },
  {
    id: 'release-frees-clients',
    hiddenBy: ['rest-clients-wait'],
    says: 'Release ends everything that this operation holds: clients go on.',
    roles: RESTING_ROLES,
    needs: ['writer'],
    async check(lab) {
      await lab.busyWriter();
      const attempt = lab.attempt();
      await lab.quiesce(attempt);
      await lab.hold();
      await lab.participant.release(attempt);
      if (await lab.progress()) return 'writes are acknowledged again';
      throw new Broken('no write is acknowledged after Release');
    },
  },
];

function holdsAny(held: ParticipantHolds): boolean {
  return held.quiesced || held.writingSuspended || held.journalRetained || held.maintenance;
}

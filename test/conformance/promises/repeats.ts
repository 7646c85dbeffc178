import { setTimeout as pause } from 'node:timers/promises';
import { broughtUp, servesContract } from '../brought-up.ts';
import { holdKinds, toldHoldKinds, type HoldKind } from '../holds.ts';
import type { Lab } from '../lab.ts';
import { Broken, EVERY_ROLE, RESTING_ROLES, Unjudged, type ContractPromise } from '../promise.ts';
import { recovered } from './state.ts';

const TRIES = 5;

/** What a repeat does not do, and what does not outlive a process. */
export const repeatPromises: readonly ContractPromise[] = [
  {
    id: 'repeats-keep-leases',
    says: 'Repeats: Quiesce, SuspendWriting and EnterMaintenance repeated do not count the lease anew.',
    roles: RESTING_ROLES,
    hiddenBy: ['lease-ends', 'lease-lasts', 'quiesce-repeats', 'suspend-repeats'],
    async check(lab) {
      const kinds = (await toldHoldKinds(lab)).filter(({ name }) => name !== 'journalRetained');
      for (const kind of kinds) {
        let { leaseMs } = lab.pace;
        let outcome = await repeated(lab, kind, leaseMs);
        for (let tries = 1; tries < TRIES && outcome === 'too late'; tries += 1)
          outcome = await repeated(lab, kind, (leaseMs *= 2));
        if (outcome === 'held')
          throw new Broken(`${kind.name}, repeated again and again, is held long after its lease`);
        if (outcome === 'too late')
          throw new Unjudged('this machine is too busy to repeat a call in time; give --lease-ms more');
      }
      return `${kinds.map(({ name }) => name).join(', ')}: over when the lease was`;
    },
  },
  {
    id: 'restart-is-another',
    says: 'Describe: the incarnation changes with every start. Nothing is held, and no token is known, after it.',
    roles: EVERY_ROLE,
    needs: ['files', 'start', 'socket'],
    hiddenBy: ['mark-restores', 'recovery-taken'],
    excuse: ({ role, primary }) =>
      role === 'proxy' || (role === 'realm-service' && !primary) ? 'it has no files to start with' : null,
    async check(lab) {
      const isNode = lab.description.role === 'node';
      if (isNode && lab.writer === undefined) throw new Unjudged('needs --writer and --reader');
      const { again } = isNode ? await broughtUp(lab) : await recovered(lab);
      if (again === null || !servesContract(lab)) throw new Unjudged('it was not started twice');
      const { first, second, older } = again;
      if (first.incarnation === second.incarnation)
        throw new Broken(`${first.incarnation} after both starts`);
      if (second.held.operation !== '')
        throw new Broken(`started again, it is held for ${second.held.operation}`);
      if (older !== null) throw new Broken(`started again, it refuses a token: ${older}`);
      return `${holdKinds(lab).length} kinds of holds: none after a start; another incarnation`;
    },
  },
];

/** Asks for a hold again and again, each time before its lease is over. */
async function repeated(lab: Lab, kind: HoldKind, leaseMs: number): Promise<'held' | 'over' | 'too late'> {
  const { graceMs } = lab.pace;
  const attempt = lab.attempt();
  const from = performance.now();
  await kind.take(lab, attempt, leaseMs);
  let longestMs = 0;
  let isHeld = true;
  for (let last = from; isHeld && performance.now() - from < leaseMs + graceMs;) {
    await pause(leaseMs / 6);
    // After its end it is refused.
    await kind.take(lab, attempt, leaseMs).catch(() => undefined);
    const now = performance.now();
    longestMs = Math.max(longestMs, now - last);
    last = now;
    isHeld = (await lab.participant.describe()).held[kind.name];
  }
  await lab.participant.release(attempt);
  if (isHeld) return 'held';
  return longestMs < leaseMs * 0.8 ? 'over' : 'too late';
}

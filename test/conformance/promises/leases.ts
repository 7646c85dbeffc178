import { setTimeout as pause } from 'node:timers/promises';
import { brief, LONG_MS, type Lab } from '../lab.ts';
import { holdKinds, toldHoldKinds, type HoldKind } from '../holds.ts';
import { Broken, RESTING_ROLES, Unjudged, type ContractPromise } from '../promise.ts';

const RENEW_ROUNDS = 5;
const TRIES = 5;
/** A clock that is right for one length may be wrong for another. */
const LENGTHS = [1, 1.5, 3];

/** How long it is held when nobody is there any more. */
export const leasePromises: readonly ContractPromise[] = [
  {
    id: 'lease-ends',
    hiddenBy: ['rest-clients-wait'],
    says: 'Deadlines: whatever a call holds back ends by itself when lease_ms has passed since the last Renew.',
    roles: RESTING_ROLES,
    async check(lab) {
      const { leaseMs } = lab.pace;
      for (const kind of await toldHoldKinds(lab)) {
        const attempt = lab.attempt();
        await kind.take(lab, attempt, leaseMs);
        if (!(await lab.endsByItself(kind.name, leaseMs))) {
          throw new Broken(`${kind.name} with a lease of ${leaseMs} ms is held seconds after it`);
        }
        if (!(await lab.progress())) throw new Broken(`${kind.name} has ended, and no write is acknowledged`);
        await lab.participant.release(attempt);
      }
      return `${names(lab)}: over when a lease of ${leaseMs} ms was`;
    },
  },
  {
    id: 'lease-lasts',
    says: 'Deadlines: what a call holds back is held until lease_ms has passed.',
    roles: RESTING_ROLES,
    async check(lab) {
      const { leaseMs } = lab.pace;
      for (const kind of holdKinds(lab)) {
        const long = lab.attempt();
        await kind.take(lab, long, LONG_MS);
        await lab.hold();
        const { held, cause } = await kind.end(lab, long);
        if (!held) throw new Broken(`${kind.name} with a lease of ${LONG_MS} ms was not held: ${cause}`);
      }
      for (const kind of await toldHoldKinds(lab)) {
        for (const length of LENGTHS.map((times) => times * leaseMs)) {
          const lasted = await lastsMs(lab, kind, length);
          if (lasted < length)
            throw new Broken(`${kind.name} ended after ${Math.round(lasted)} of ${length} ms`);
        }
      }
      return `${names(lab)}: held for as long as leases of ${LENGTHS.join(', ')} times ${leaseMs} ms`;
    },
  },
  {
    id: 'lease-renewed',
    says: 'Renew counts every lease of this operation anew from now. Answers with what is still held.',
    roles: RESTING_ROLES,
    async check(lab) {
      for (const kind of await toldHoldKinds(lab)) await renewed(lab, kind);
      return `${names(lab)}: held for longer than the lease, by Renew`;
    },
  },
  {
    id: 'expired-not-held',
    says: 'Deadlines: the answer to the call that would have ended it says that it had ended before.',
    roles: RESTING_ROLES,
    async check(lab) {
      const { leaseMs } = lab.pace;
      const judged: string[] = [];
      for (const kind of await toldHoldKinds(lab)) {
        const attempt = lab.attempt();
        await kind.take(lab, attempt, leaseMs);
        if (await lab.endsByItself(kind.name, leaseMs)) {
          const { held, cause } = await kind.end(lab, attempt);
          if (held) throw new Broken(`${kind.name} had ended by its lease, and ${kind.ending} says held`);
          if (kind.name === 'quiesced' && cause === '')
            throw new Broken('Resume says not held, without a cause');
          judged.push(kind.ending);
        }
        await lab.participant.release(attempt);
      }
      if (judged.length === 0) throw new Unjudged('no lease ended');
      return `${judged.join(', ')}: not held`;
    },
  },
  {
    id: 'endings-repeat',
    says: 'Repeats: a call repeated with the same operation and token has the same effect and the same answer as once.',
    roles: RESTING_ROLES,
    async check(lab) {
      for (const kind of holdKinds(lab)) {
        const attempt = lab.attempt();
        await kind.take(lab, attempt, LONG_MS);
        const once = await kind.end(lab, attempt);
        const twice = await kind.end(lab, attempt);
        if (once.held !== twice.held)
          throw new Broken(`${kind.ending} twice: held ${once.held}, then ${twice.held}`);
        await lab.participant.release(attempt);
      }
      return `${holdKinds(lab)
        .map(({ ending }) => ending)
        .join(', ')}: the same answer twice`;
    },
  },
];

/** Renews in time, or begins again with twice the lease: a machine that stopped us for as long as that proves nothing. */
async function renewed(lab: Lab, kind: HoldKind): Promise<void> {
  const { participant, pace } = lab;
  for (let tries = 0; tries < TRIES; tries += 1) {
    const leaseMs = pace.leaseMs * 2 ** tries;
    const attempt = lab.attempt();
    const { operation } = attempt;
    let last = performance.now();
    let inTime = true;
    const call = async <T>(promise: () => Promise<T>): Promise<T> => {
      const asked = performance.now();
      const answer = await promise();
      inTime &&= performance.now() - last < leaseMs;
      last = asked;
      return answer;
    };
    await kind.take(lab, attempt, leaseMs);
    let complaint: string | null = null;
    for (let round = 0; round < RENEW_ROUNDS && inTime && complaint === null; round += 1) {
      await pause(leaseMs / 3);
      const held = await call(() => participant.renew({ operation }));
      if (!held[kind.name]) complaint = `Renew in time: held is ${brief(held)}`;
    }
    const { held, cause } = await call(() => kind.end(lab, attempt));
    if (!held) complaint ??= `renewed in time, and ${kind.ending} says not held: ${cause}`;
    await participant.release({ operation });
    if (!inTime) continue;
    if (complaint !== null) await blame(lab, kind, complaint);
    return;
  }
  throw new Unjudged('this machine is too busy to renew a lease in time; give --lease-ms more');
}

/** A hold that does not last by itself, short lease or long, is no fault of Renew. */
async function blame(lab: Lab, kind: HoldKind, complaint: string): Promise<never> {
  const lasts = (await lastsMs(lab, kind)) >= lab.pace.leaseMs;
  const attempt = lab.attempt();
  await kind.take(lab, attempt, LONG_MS);
  await pause(lab.pace.leaseMs * 2);
  const { held } = await kind.end(lab, attempt);
  throw held && lasts ? new Broken(complaint) : new Unjudged('it does not hold for as long as its lease');
}

/** How long it is held with a lease that nobody renews. */
async function lastsMs(lab: Lab, kind: HoldKind, leaseMs = lab.pace.leaseMs): Promise<number> {
  const attempt = lab.attempt();
  const from = performance.now();
  await kind.take(lab, attempt, leaseMs);
  await lab.endsByItself(kind.name, leaseMs);
  // The answer left it after we asked for the hold: less than the lease from there to here is too little.
  const lasted = performance.now() - from;
  await lab.participant.release(attempt);
  return lasted;
}

function names(lab: Lab): string {
  return holdKinds(lab)
    .map(({ name }) => name)
    .join(', ');
}

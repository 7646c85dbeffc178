import { Random } from './random.ts';
import type { Fault, Model, Scenario } from './scenario.ts';

const SHARE = 0.2;

/**
 * An agent dies, with its guard or without, or is stopped, mostly while its member is armed or frozen; and the server
 * cannot be reached at once, or another answers at its address. By a chance of its own.
 */
export function undoScenarioOf(seed: number): Scenario | null {
  const random = new Random(seed + 0xbead);
  if (!random.chance(SHARE)) return null;
  const more = random.pick([[], ['commitFence'], ['writeFence'], ['observer']] as const);
  const models: Model[] = ['commitFence', ...more];
  return {
    seed,
    models,
    isPatient: true,
    clients: 1,
    allowsLogical: false,
    faults: faultsOf(random, models.length).toSorted((a, b) => a.step - b.step),
    storage: { earlier: 0, isAbandoned: false, operators: [], faults: [] },
    undoes: true,
  };
}

function faultsOf(random: Random, members: number): Fault[] {
  const member = random.below(members);
  if (random.chance(0.2)) return slowGrid(random, members);
  if (random.chance(0.2)) return lateGuard(random, member, members);
  // From the arm to the thaw, mostly while they are frozen.
  const step = random.chance(0.7)
    ? 7 * members + random.below(3 * members)
    : 3 * members + random.below(10 * members);
  const loss: Fault = {
    kind: random.pick(['killAgent', 'killAgent', 'pauseAgent', 'powerLoss'] as const),
    step,
    member,
    forTime: Math.floor(
      random.chance(0.3) ? random.between(4_000_000, 8_000_000) : random.scaled(1000, 1_000_000),
    ),
  };
  const isRestarted = random.chance(0.6);
  const away = { step, member, forTime: Math.floor(random.scaled(20_000, 3_000_000)) };
  const kinds = random.pick([
    [],
    ['fillPool'],
    ['moveAddress'],
    ['failOver'],
    ['fillPool', 'failOver'],
  ] as const);
  return [
    ...(isRestarted ? [{ ...away, kind: 'crashEngine' } as const] : []),
    loss,
    ...kinds.map((kind): Fault => ({ ...away, kind })),
  ];
}

/** An agent is back soon and undoes what its guard could not yet; then others freeze anew, and the guard tries again. */
function lateGuard(random: Random, member: number, members: number): Fault[] {
  const one = { step: 7 * members + random.below(3 * members), member };
  const away = Math.floor(random.between(300_000, 3_000_000));
  const crash = { ...one, kind: 'crashEngine', forTime: 4000 } as const;
  const killed = { ...one, kind: 'killAgent', forTime: Math.floor(random.scaled(2000, 1_000_000)) } as const;
  const others = Array.from({ length: 8 }, () => ({
    ...one,
    kind: 'anotherCoordinator' as const,
    forTime: Math.floor(away + random.between(0, 2_000_000)),
  }));
  // So that somebody is frozen for a good part of the time in which the guard may try again.
  const slow = others.map(() => ({
    ...one,
    kind: 'engineSlow' as const,
    call: 'freeze' as const,
    forTime: Math.floor(random.between(100_000, 600_000)),
  }));
  return [crash, killed, { ...one, kind: 'fillPool', forTime: away }, ...slow, ...others];
}

/** Nothing is wrong, and the attempt takes longer than a guard that hears nothing waits. */
function slowGrid(random: Random, members: number): Fault[] {
  const member = members - 1;
  return (['arm', 'freeze', 'thaw'] as const).map((call) => ({
    kind: 'engineSlow',
    call,
    step: 0,
    member,
    forTime: Math.floor(random.between(680_000, 780_000)),
  }));
}

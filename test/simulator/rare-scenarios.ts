import { Random } from './random.ts';
import type { Fault, Model, Scenario } from './scenario.ts';

const SHARE = 0.04;

/**
 * What no chance brings about often enough: faults whose moments must fit each other to some milliseconds. By a chance
 * of its own, so that the other seeds stay as they are.
 */
export function rareScenarioOf(seed: number): Scenario | null {
  const random = new Random(seed + 0xface);
  if (!random.chance(SHARE)) return null;
  const { models, faults } = random.pick([withLateMarks, withTokenUnderWay, withFinalCause])(random);
  return {
    seed,
    models,
    isPatient: true,
    clients: random.pick([1, 2, 3]),
    allowsLogical: false,
    faults: faults.toSorted((a, b) => a.step - b.step),
    storage: null,
  };
}

interface Rare {
  readonly models: readonly Model[];
  readonly faults: readonly Fault[];
}

/** A mark of the first attempt comes again in the second, behind that of its own member and before the last. */
function withLateMarks(random: Random): Rare {
  const models = fenced(random, 2);
  const [slow, leaking] = [random.below(models.length), random.below(models.length)];
  const marked = stepOf('marked', models.length);
  const forTime = Math.floor(random.between(2000, 14_000));
  return {
    models,
    faults: [
      { kind: 'duplicateMessages', step: 0, member: 0, forTime: 0 },
      { kind: 'leak', step: 0, member: leaking, forTime: 0 },
      { kind: 'engineSlow', call: 'freeze', step: marked, member: slow, forTime },
    ],
  };
}

/** The stream closes while the token of an arm is on its way to a disk that then refuses it. */
function withTokenUnderWay(random: Random): Rare {
  const models = fenced(random, 1);
  const arming = stepOf('arming', models.length);
  const member = random.below(models.length);
  const kind = random.pick([
    'killCoordinator',
    'killCoordinator',
    'coordinatorPowerLoss',
    'killGuard',
  ] as const);
  return {
    models,
    faults: [
      { kind: 'diskFails', step: 0, member, forTime: 0 },
      { kind, step: arming + random.below(2 * models.length), member, forTime: 1000 },
    ],
  };
}

/** An arm fails by a cause that no later one finds otherwise; perhaps after one that is worth another try. */
function withFinalCause(random: Random): Rare {
  const models = fenced(random, 1);
  const one = { step: 0, member: random.below(models.length), forTime: 0, call: 'arm' } as const;
  const before: Fault[] = random.chance(0.5) ? [{ ...one, kind: 'engineFails' }] : [];
  return { models, faults: [...before, { ...one, kind: 'engineRefuses' }] };
}

function fenced(random: Random, least: number): Model[] {
  const count = least + random.below(3);
  return Array.from({ length: count }, () =>
    random.pick(['commitFence', 'commitFence', 'writeFence'] as const),
  );
}

/** So many events have found a machine when the first of so many members comes to this, if nothing goes wrong. */
function stepOf(moment: 'arming' | 'marked', members: number): number {
  return 1 + (moment === 'arming' ? 3 : 8) * members;
}

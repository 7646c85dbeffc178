import { Random } from './random.ts';
import type { Fault, Model, Scenario } from './scenario.ts';

const SHARE = 0.06;

/**
 * Two or three members that are held and copied together by one of them, the second by name as often as another, and
 * mostly somebody else. By a chance of its own.
 */
export function domainScenarioOf(
  seed: number,
  anyFault: (random: Random, members: number) => Fault,
): Scenario | null {
  const random = new Random(seed + 0xd03a);
  if (!random.chance(SHARE)) return null;
  const fence: Model = random.chance(0.7) ? 'commitFence' : 'writeFence';
  const size = random.pick([2, 2, 3]);
  const others: Model[] = random.chance(0.7) ? [random.pick(['commitFence', 'writeFence'] as const)] : [];
  const models = [...others, ...Array.from({ length: size }, () => fence)];
  const shared = Array.from({ length: size }, (_, index) => others.length + index);
  const lead = random.pick(shared);
  const faults = Array.from({ length: random.pick([0, 0, 1, 1, 2, 3]) }, () =>
    anyFault(random, models.length),
  );
  return {
    seed,
    models,
    isPatient: random.chance(0.3),
    clients: random.pick([1, 2, 3]),
    allowsLogical: false,
    faults: faults.toSorted((a, b) => a.step - b.step),
    storage: null,
    domain: [lead, ...shared.filter((member) => member !== lead)],
    undoes: false,
  };
}

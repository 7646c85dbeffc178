import type { EngineCall } from '../../shared/protocol/member-machine.ts';
import { Random } from './random.ts';

/** How a member is held still, and by what kind of fence. */
export type Model = 'commitFence' | 'writeFence' | 'observer' | 'instant';

/** What may go wrong. Times are in microseconds. */
export type Fault = {
  /** When this many events have found their machine. */
  readonly step: number;
  readonly member: number;
  readonly forTime: number;
} & (
  | {
      readonly kind:
        | 'loseConnection'
        | 'halfOpen'
        | 'killAgent'
        | 'pauseAgent'
        | 'powerLoss'
        | 'killGuard'
        | 'guardThaws'
        | 'diskFails'
        | 'leak'
        | 'crashEngine'
        | 'loseAcknowledgements'
        | 'killCoordinator'
        | 'coordinatorPowerLoss'
        | 'pauseCoordinator'
        | 'cancel'
        | 'anotherCoordinator'
        | 'ignorantCoordinator'
        | 'commitFails'
        | 'loseMessages'
        | 'duplicateMessages'
        | 'reorderMessages'
        | 'slowNetwork';
    }
  | { readonly kind: 'partition'; readonly direction: 'toAgent' | 'toCoordinator' | 'both' }
  | {
      readonly kind: 'engineFails' | 'engineHangs' | 'engineSlow';
      readonly call: Exclude<EngineCall['type'], 'abort'>;
    }
);

export interface Scenario {
  readonly seed: number;
  readonly models: readonly Model[];
  /** Whether preparing and collecting may take as long as they take. */
  readonly isPatient: boolean;
  readonly clients: number;
  readonly faults: readonly Fault[];
}

const ENGINE_CALLS = ['prepare', 'arm', 'freeze', 'freeze', 'thaw', 'thaw', 'collect'] as const;

/** Each as often as it is named. */
const PLAIN = [
  'loseConnection',
  'loseConnection',
  'halfOpen',
  'killAgent',
  'killAgent',
  'pauseAgent',
  'pauseAgent',
  'powerLoss',
  'killGuard',
  'guardThaws',
  'diskFails',
  'leak',
  'leak',
  'crashEngine',
  'crashEngine',
  'crashEngine',
  'loseAcknowledgements',
  'killCoordinator',
  'coordinatorPowerLoss',
  'pauseCoordinator',
  'cancel',
  'cancel',
  'anotherCoordinator',
  'ignorantCoordinator',
  'commitFails',
  'loseMessages',
  'duplicateMessages',
  'duplicateMessages',
  'reorderMessages',
  'reorderMessages',
  'slowNetwork',
] as const;

/** The scenario of a seed: the grid, its clients, and what goes wrong when. */
export function scenarioOf(seed: number): Scenario {
  const random = new Random(seed);
  const models: Model[] = [random.chance(0.8) ? 'commitFence' : 'writeFence'];
  const more = random.pick([0, 1, 1, 2, 2, 2, 3]);
  for (let index = 0; index < more; index += 1) models.push(anotherModel(random, models));
  const faults: Fault[] = [];
  const count = random.pick([0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 6]);
  // So many events find a machine in a checkpoint in which nothing goes wrong.
  const steps = 8 + 14 * models.length;
  for (let index = 0; index < count; index += 1) faults.push(...faultsOf(random, models.length, steps));
  return {
    seed,
    models,
    isPatient: random.chance(0.3),
    clients: random.pick([1, 2, 3]),
    faults: faults.sort((a, b) => a.step - b.step),
  };
}

function anotherModel(random: Random, models: readonly Model[]): Model {
  const model = random.pick(['commitFence', 'commitFence', 'writeFence', 'observer', 'instant'] as const);
  // Preflight refuses a grid with two consistency domains of this kind.
  return model === 'instant' && models.includes('instant') ? 'commitFence' : model;
}

function faultsOf(random: Random, members: number, steps: number): Fault[] {
  const member = random.below(members);
  const step = random.below(steps);
  const forTime = Math.floor(random.scaled(500, 3_000_000));
  const one = { step, member, forTime };
  const sort = random.next();
  if (sort < 0.08) {
    return [{ ...one, kind: 'partition', direction: random.pick(['toAgent', 'toCoordinator', 'both']) }];
  }
  if (sort < 0.28) {
    const kind = random.pick(['engineFails', 'engineHangs', 'engineSlow', 'engineSlow'] as const);
    // From the beginning: the call itself decides when.
    return [{ ...one, step: random.chance(0.7) ? 0 : step, kind, call: random.pick(ENGINE_CALLS) }];
  }
  const kind = random.pick(PLAIN);
  if (kind === 'leak' && random.chance(0.5)) {
    // Whoever is tried again and again: the cut cannot be proven in any attempt.
    return [one, one, one].map((each) => ({ ...each, kind, step: 0 }));
  }
  return [{ ...one, kind }];
}

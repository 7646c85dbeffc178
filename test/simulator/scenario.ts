import type { EngineCall } from '../../shared/protocol/member-machine.ts';
import { domainScenarioOf } from './domain-scenario.ts';
import { holdScenarioOf, type HoldScenario } from './hold-scenario.ts';
import { Random } from './random.ts';
import { rareScenarioOf, rareStorageScenarioOf } from './rare-scenarios.ts';
import { undoScenarioOf } from './undo-scenario.ts';
import { storageScenarioOf, type StorageScenario } from './storage-scenario.ts';

/** How a member is held still, and by what kind of fence. */
export type Model = 'commitFence' | 'writeFence' | 'observer' | 'instant';

/** What may go wrong. Times are in microseconds. */
export type Fault = {
  /** When this many events have found their machine. */
  readonly step: number;
  readonly member: number;
  readonly forTime: number;
  /** Set: not by its step, but when a job has had the grid for so long. */
  readonly heldFor?: number;
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
        | 'daemonResumes'
        | 'askWithToken'
        | 'askWithWrongToken'
        | 'askWithoutToken'
        | 'force'
        | 'terminate'
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
        | 'slowNetwork'
        | 'fillPool'
        | 'moveAddress'
        | 'failOver'
        | (typeof COMINGS)[number];
    }
  | { readonly kind: 'partition'; readonly direction: 'toAgent' | 'toCoordinator' | 'both' }
  | {
      readonly kind: 'engineFails' | 'engineRefuses' | 'engineHangs' | 'engineSlow';
      readonly call: Exclude<EngineCall['type'], 'abort'>;
    }
);

export interface Scenario {
  readonly seed: number;
  readonly models: readonly Model[];
  /** Whether preparing and collecting may take as long as they take. */
  readonly isPatient: boolean;
  readonly clients: number;
  /** May a consumer outside of the grid get what nobody sees yet? */
  readonly allowsLogical: boolean;
  readonly faults: readonly Fault[];
  /** With the real repository on a simulated disk; null: with a model of it. */
  readonly storage: StorageScenario | null;
  /** Members that share a domain, the first of which leads it; not set: each stands for itself. */
  readonly domain?: readonly number[];
  /** Not set: all come for a checkpoint. */
  readonly hold?: HoldScenario;
  /** With the real guard and undo in the place of a model of them; only with the real repository. */
  readonly undoes: boolean;
}

/** Somebody who has a member's log comes, or an observer's stream breaks. */
const COMINGS = [
  'strangerComes',
  'namesakeComes',
  'blindComes',
  'consumerComes',
  'subscriptionComes',
  'streamBreaks',
] as const;

/** Of so many seeds one runs with the real repository: such a run takes as long as some of the others. */
export const STORAGE_SHARE = 8;

const ENGINE_CALLS = [
  'prepare',
  'pause',
  'arm',
  'arm',
  'disarm',
  'freeze',
  'freeze',
  'thaw',
  'thaw',
  'collect',
] as const;

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

/** What it takes some faults together to see. */
const TOGETHER: readonly (readonly Fault['kind'][])[] = [
  ['duplicateMessages', 'reorderMessages', 'leak'],
  ['duplicateMessages', 'reorderMessages', 'leak', 'leak'],
  ['duplicateMessages', 'leak'],
  ['leak', 'leak', 'leak'],
  ['cancel', 'cancel'],
  ['engineHangs', 'coordinatorPowerLoss'],
  ['pauseAgent', 'coordinatorPowerLoss'],
  ['pauseAgent', 'killCoordinator'],
  ['diskFails', 'killCoordinator'],
  ['engineSlow', 'pauseCoordinator'],
  ['engineSlow', 'pauseCoordinator'],
  ['loseConnection', 'loseConnection'],
  ['loseConnection', 'engineFails'],
  ['diskFails', 'diskFails'],
  ['engineFails', 'leak', 'leak'],
  Array.from({ length: 8 }, () => 'engineFails'),
];

const FROM_THE_BEGINNING: readonly Fault['kind'][] = [
  'duplicateMessages',
  'reorderMessages',
  'leak',
  'engineHangs',
  'diskFails',
];

/** The scenario of a seed: the grid, its clients, and what goes wrong when. */
export function scenarioOf(seed: number): Scenario {
  const random = new Random(seed);
  if (seed % STORAGE_SHARE === 0)
    return undoScenarioOf(seed) ?? rareStorageScenarioOf(seed) ?? withStorage(seed, random);
  const hold = holdScenarioOf(seed, anyFault);
  if (hold !== null) return hold;
  const rare = rareScenarioOf(seed);
  if (rare !== null) return rare;
  const domain = domainScenarioOf(seed, anyFault);
  if (domain !== null) return domain;
  if (random.chance(0.03)) return withLateObserver(seed, random);
  const models: Model[] = [random.chance(0.8) ? 'commitFence' : 'writeFence'];
  const more = random.pick([0, 1, 1, 2, 2, 2, 3]);
  for (let index = 0; index < more; index += 1) models.push(anotherModel(random, models));
  const faults: Fault[] = random.chance(0.12) ? together(random, models.length) : [];
  // What takes some faults together stays alone: it is rare enough.
  const comers = comingOf(seed, models.length, faults.length === 0);
  const count = random.pick(faults.length > 0 ? [0, 0, 1] : [0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 6]);
  for (let index = 0; index < count; index += 1) faults.push(anyFault(random, models.length));
  return {
    seed,
    models,
    isPatient: random.chance(0.3),
    clients: random.pick([1, 2, 3]),
    allowsLogical: comers.allowsLogical,
    // Where somebody comes, that is mostly all that goes on.
    faults: [
      ...(comers.faults.length > 0 ? faults.slice(0, seed % 3 === 0 ? 2 : 0) : faults),
      ...comers.faults,
    ].sort((a, b) => a.step - b.step),
    storage: null,
    undoes: false,
  };
}

/** By a chance of its own, so that the other seeds stay as they are. */
function comingOf(
  seed: number,
  members: number,
  mayCome: boolean,
): { allowsLogical: boolean; faults: Fault[] } {
  const random = new Random(seed + 0xc0ffee);
  const allowsLogical = random.chance(0.5);
  if (!mayCome || !random.chance(0.2)) return { allowsLogical, faults: [] };
  const faults = Array.from({ length: random.pick([1, 1, 1, 2, 2, 3]) }, (): Fault => {
    const step = random.chance(0.2) ? 0 : random.below(stepsOf(members));
    const forTime = random.chance(0.3) ? LONGEST : Math.floor(random.scaled(500, 300_000));
    return { step, member: random.below(members), forTime, kind: random.pick(COMINGS) };
  });
  return { allowsLogical, faults };
}

/** A small grid, and what goes wrong is mostly the disk. */
function withStorage(seed: number, random: Random): Scenario {
  const models: Model[] = ['commitFence'];
  if (random.chance(0.6)) models.push(anotherModel(random, models));
  const faults = Array.from({ length: random.pick([0, 0, 0, 0, 1, 2]) }, () =>
    anyFault(random, models.length),
  );
  return {
    seed,
    models,
    isPatient: true,
    clients: 1,
    allowsLogical: false,
    faults: faults.sort((a, b) => a.step - b.step),
    storage: storageScenarioOf(random),
    undoes: false,
  };
}

/** It cannot pause for long; or it fails to while its stream is lost, which is told to who comes back for it. */
function withLateObserver(seed: number, random: Random): Scenario {
  const one = { step: 0, member: 1, forTime: LONGEST };
  const lost = {
    member: 1,
    kind: 'partition',
    direction: 'both',
    step: 4 + random.below(8),
    forTime: random.chance(0.5) ? LONGEST : Math.floor(random.between(4_000_000, 5_800_000)),
  } as const;
  const faults: Fault[] = random.chance(0.3)
    ? [{ ...one, kind: 'engineSlow', call: 'pause' }]
    : [{ ...one, kind: 'engineHangs', call: 'pause' }, lost];
  return {
    seed,
    models: ['commitFence', 'observer'],
    isPatient: true,
    clients: 1,
    allowsLogical: false,
    faults,
    storage: null,
    undoes: false,
  };
}

function anotherModel(random: Random, models: readonly Model[]): Model {
  const model = random.pick(['commitFence', 'commitFence', 'writeFence', 'observer', 'instant'] as const);
  // Preflight refuses a grid with two consistency domains of this kind.
  return model === 'instant' && models.includes('instant') ? 'commitFence' : model;
}

function anyFault(random: Random, members: number): Fault {
  const [step, member] = [random.below(stepsOf(members)), random.below(members)];
  const one = { step, member, forTime: someTime(random) };
  const sort = random.next();
  if (sort < 0.08) {
    return { ...one, kind: 'partition', direction: random.pick(['toAgent', 'toCoordinator', 'both']) };
  }
  if (sort < 0.28) {
    const kind = random.pick(['engineFails', 'engineHangs', 'engineSlow', 'engineSlow'] as const);
    // From the beginning: the call itself decides when.
    return { ...one, step: random.chance(0.7) ? 0 : step, kind, call: random.pick(ENGINE_CALLS) };
  }
  const kind = random.pick(PLAIN);
  // Longer than a lease, shorter than a guard waits.
  if (kind === 'pauseAgent' && random.chance(0.5)) {
    return { ...one, kind, forTime: Math.floor(random.between(950_000, 1_250_000)) };
  }
  return { ...one, kind };
}

function together(random: Random, members: number): Fault[] {
  const member = random.below(members);
  return random.pick(TOGETHER).map((kind) => {
    const one = { member, forTime: someTime(random) };
    // What hangs or leaks does so when its call comes; the weather is bad from the beginning.
    const step = FROM_THE_BEGINNING.includes(kind) ? 0 : random.below(stepsOf(members));
    // The lease ends meanwhile, and what ends by it takes long.
    const long = Math.floor(random.between(1_050_000, 2_500_000));
    if (kind === 'engineSlow') return { ...one, kind, step: 0, forTime: long, call: 'thaw' };
    if (kind === 'pauseCoordinator') return { ...one, kind, step, forTime: long };
    if (kind === 'engineFails') return { ...one, kind, step: 0, call: 'arm' };
    return (
      kind === 'engineHangs' ? { ...one, kind, step, call: 'freeze' } : { ...one, kind, step }
    ) as Fault;
  });
}

/** So many events find a machine in a checkpoint in which nothing goes wrong. */
function stepsOf(members: number): number {
  return 4 + 17 * members;
}

/** As long as any fault lasts, in microseconds; a call that is slow by so much may be under way when faults stop. */
export const LONGEST = 20_000_000;

/** Half a millisecond to some seconds, or the longest. */
function someTime(random: Random): number {
  return random.chance(0.1) ? LONGEST : Math.floor(random.scaled(500, 3_000_000));
}

import { Random } from './random.ts';
import type { Fault, Model, Scenario } from './scenario.ts';
import type { StorageFault, StorageScenario } from './storage-scenario.ts';

const SHARE = 0.08;
const READER_SHARE = 0.02;

/**
 * What no chance brings about often enough: faults whose moments must fit each other to some milliseconds. By a chance
 * of its own, so that the other seeds stay as they are.
 */
export function rareScenarioOf(seed: number): Scenario | null {
  const random = new Random(seed + 0xface);
  if (!random.chance(SHARE)) return null;
  const { models, faults } = random.pick([
    withLateMarks,
    withTokenUnderWay,
    withFinalCause,
    withLateInterrupt,
    withSecondPrepare,
  ])(random);
  return {
    seed,
    models,
    isPatient: true,
    clients: random.pick([1, 2, 3]),
    allowsLogical: false,
    faults: faults.toSorted((a, b) => a.step - b.step),
    storage: null,
    undoes: false,
  };
}

/** A prepare that arrives twice, the second time when the first was aborted because the guard died. */
function withSecondPrepare(random: Random): { models: readonly Model[]; faults: readonly Fault[] } {
  const models: Model[] = random.chance(0.5) ? ['commitFence'] : ['commitFence', 'observer'];
  const one = { member: random.below(models.length), forTime: 0 };
  return {
    models,
    faults: [
      { ...one, kind: 'duplicateMessages', step: 0 },
      { ...one, kind: 'killGuard', step: 1 + random.below(2 * models.length) },
    ],
  };
}

/** The same for the repository: who must be stopped, or lose power, at one of a few calls. */
export function rareStorageScenarioOf(seed: number): Scenario | null {
  const random = new Random(seed + 0xfade);
  const reader = new Random(seed + 0x4ead);
  if (reader.chance(READER_SHARE)) return storedAlone(seed, ['commitFence'], withReaderBeside(reader));
  if (!random.chance(SHARE)) return null;
  const models = random.pick([['commitFence'], ['commitFence', 'observer']] as const);
  const storage = random.pick([withStoppedCollection, withCutDeletion, withStoppedStore])(random);
  return storedAlone(seed, models, storage);
}

/** Nothing goes wrong but there. */
function storedAlone(seed: number, models: readonly Model[], storage: StorageScenario): Scenario {
  return {
    seed,
    models,
    isPatient: true,
    clients: 1,
    allowsLogical: false,
    faults: [],
    storage,
    undoes: false,
  };
}

/**
 * Who commits is stopped when its commit object is there, until others took it for dead; it takes that back while somebody
 * reads what it had committed.
 */
function withReaderBeside(random: Random): StorageScenario {
  const forTime = Math.floor(random.between(60_000, 200_000));
  const fault: StorageFault = {
    kind: 'stopCallerForLong',
    by: 'committer',
    name: null,
    call: 40 + random.below(20),
    forTime,
  };
  const operators = Array.from({ length: 2 }, () => ({
    kind: 'restore' as const,
    at: Math.floor(random.between(50_000, 50_000 + forTime)),
  }));
  return { earlier: 0, isAbandoned: random.chance(0.5), operators, faults: [fault] };
}

/**
 * A collection that knows what is needed is stopped: until others took it for dead and have committed, or for so short a
 * while that who begins must wait for it.
 */
function withStoppedCollection(random: Random): StorageScenario {
  const fault: StorageFault = {
    kind: random.chance(0.5) ? 'stopCallerForLong' : 'stopCaller',
    by: 'operator',
    name: random.pick(['read', 'readdir'] as const),
    call: random.below(30),
    forTime: Math.floor(random.between(400_000, 2_000_000)),
  };
  const operators = [{ kind: 'collect', at: Math.floor(random.scaled(100, 3000)) } as const];
  return { earlier: 1 + random.below(2), isAbandoned: random.chance(0.5), operators, faults: [fault] };
}

/** An agent has seen that a chunk of an abandoned checkpoint is there, and is stopped until others have collected it. */
function withStoppedStore(random: Random): StorageScenario {
  const fault: StorageFault = {
    kind: 'stopCallerForLong',
    by: 'agent',
    name: random.pick(['link', 'unlink', 'sync', 'read'] as const),
    call: random.below(100),
    forTime: Math.floor(random.scaled(20_000, 800_000)),
  };
  // Whoever works beside it has been silent for just as long by then.
  const ahead: StorageFault = { kind: 'clocksGoAhead', by: null, name: null, call: 0, forTime: 0 };
  return { earlier: 1, isAbandoned: true, operators: [], faults: [ahead, fault] };
}

/** Power is lost when a deletion has begun to remove what its checkpoint had named. */
function withCutDeletion(random: Random): StorageScenario {
  const fault: StorageFault = {
    kind: 'powerCut',
    by: 'operator',
    name: random.pick(['rmdir', 'rmdir', 'unlink', 'sync'] as const),
    call: random.below(60),
    forTime: Math.floor(random.scaled(1000, 500_000)),
  };
  const operators = [{ kind: 'delete', at: Math.floor(random.scaled(100, 3000)) } as const];
  return { earlier: 1 + random.below(2), isAbandoned: false, operators, faults: [fault] };
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

/** A person interrupts when everything is stored, about when the commit begins. */
function withLateInterrupt(random: Random): Rare {
  const models = fenced(random, 1);
  const stored = stepOf('stored', models.length) - random.below(2 * models.length);
  return { models, faults: [{ kind: 'cancel', step: stored, member: 0, forTime: 0 }] };
}

function fenced(random: Random, least: number): Model[] {
  const count = least + random.below(3);
  return Array.from({ length: count }, () =>
    random.pick(['commitFence', 'commitFence', 'writeFence'] as const),
  );
}

/** So many events have found a machine when the first of so many members comes to this, if nothing goes wrong. */
function stepOf(moment: 'arming' | 'marked' | 'stored', members: number): number {
  return 1 + { arming: 3, marked: 8, stored: 17 }[moment] * members;
}

import { lastsUntilLetGo, type Purpose } from '../../shared/domain/purpose.ts';
import { DEADLINES } from './limits.ts';
import { Random } from './random.ts';
import type { Fault, Model, Scenario } from './scenario.ts';

/** Of these seeds each runs a journal checkpoint, a quiesce or a freeze. */
export const HOLD_SHARE = 8;
const HOLD_SEED = 4;

/** An operator's own tool copies one member, whatever else goes on. */
export interface OperatorsBackup {
  readonly member: number;
  /** From the beginning, or from when a job has the grid. */
  readonly at: number;
  readonly isWhileHeld: boolean;
  readonly takes: number;
}

/** What jobs come for, and how long each takes for its work when it has the grid. */
export interface HoldScenario {
  readonly purpose: Purpose;
  readonly worksFor: number;
  /** Of the jobs after the first one, in turn. */
  readonly others: readonly Purpose[];
  readonly backups: readonly OperatorsBackup[];
  /** So many updates have room in each member's memory while it writes no file; null: as many as come. */
  readonly room: number | null;
}

/** What may happen while a job has the grid; each as often as it is named. */
const WHILE_HELD = [
  'killCoordinator',
  'killCoordinator',
  'coordinatorPowerLoss',
  'coordinatorPowerLoss',
  'pauseCoordinator',
  'pauseCoordinator',
  'pauseCoordinator',
  'cancel',
  'anotherCoordinator',
  'anotherCoordinator',
  'ignorantCoordinator',
  'killAgent',
  'killAgent',
  'powerLoss',
  'pauseAgent',
  'pauseAgent',
  'killGuard',
  'guardThaws',
  'guardThaws',
  'leak',
  'leak',
  'crashEngine',
  'crashEngine',
  'daemonResumes',
  'daemonResumes',
  'loseConnection',
  'halfOpen',
  'loseMessages',
  'duplicateMessages',
  'reorderMessages',
  'slowNetwork',
  'commitFails',
  'askWithToken',
  'askWithToken',
  'askWithWrongToken',
  'askWithoutToken',
  'force',
  'terminate',
] as const;

const ASKS = [
  'askWithToken',
  'askWithToken',
  'askWithWrongToken',
  'askWithoutToken',
  'force',
  'terminate',
] as const;

/** Each as often as it is named; the last is whatever else may go wrong. */
const SORTS = [
  'nothing',
  'nothing',
  'slow',
  'slow',
  'slow',
  'badWeather',
  'badWeather',
  'interruptedTwice',
  'asks',
  'asks',
  ...Array.from({ length: 10 }, () => 'others' as const),
] as const;

/** The seeds in which somebody is held for a job, as they are numbered for themselves. */
export function holdSeed(run: number): number {
  return (run - 1) * HOLD_SHARE + HOLD_SEED;
}

/** Null: another scenario has this seed. `anyFault`: one of those by steps. */
export function holdScenarioOf(
  seed: number,
  anyFault: (random: Random, members: number) => Fault,
): Scenario | null {
  if (seed % HOLD_SHARE !== HOLD_SEED) return null;
  const random = new Random(seed + 0x401d);
  const purpose = anyPurpose(random);
  const models = modelsOf(random, purpose);
  const worksFor = random.chance(0.05)
    ? Math.floor(random.between(60_000_000, 600_000_000))
    : Math.floor(random.scaled(2000, random.chance(0.3) ? 60_000_000 : 5_000_000));
  if (random.chance(0.06)) return guardLost(seed, random);
  const faults = faultsOf(random, { purpose, worksFor, members: models.length, anyFault });
  return {
    seed,
    models,
    isPatient: random.chance(0.3),
    clients: random.pick([1, 2, 3]),
    allowsLogical: false,
    faults: faults.toSorted((a, b) => a.step - b.step),
    storage: null,
    undoes: false,
    hold: {
      purpose,
      worksFor,
      others: Array.from({ length: 3 }, () => (random.chance(0.4) ? purpose : anyPurpose(random, models))),
      backups: backupsOf(random, models, worksFor),
      room: roomOf(seed),
    },
  };
}

/** The only member has ended by itself, and nobody is left to wait for. */
function guardLost(seed: number, random: Random): Scenario {
  const purpose = { type: 'quiesce', allowReads: false, timeOutMs: DEADLINES.freezeMs } as const;
  const worksFor = Math.floor(random.scaled(20_000, 500_000));
  const heldFor = random.below(worksFor);
  return {
    seed,
    models: ['commitFence'],
    isPatient: true,
    clients: 1,
    allowsLogical: false,
    faults: [{ kind: 'killGuard', step: 0, heldFor, member: 0, forTime: 0 }],
    storage: null,
    undoes: false,
    hold: { purpose, worksFor, others: [purpose], backups: [], room: null },
  };
}

function anyPurpose(random: Random, models: readonly Model[] = []): Purpose {
  const type = random.pick(['journalCheckpoint', 'quiesce', 'quiesce', 'freeze', 'freeze'] as const);
  if (type === 'journalCheckpoint' || (type === 'quiesce' && models.includes('instant')))
    return { type: 'journalCheckpoint' };
  if (type === 'freeze') return { type, timeOutMs: Math.floor(random.scaled(500, 600_000)) };
  return { type, allowReads: random.chance(0.5), timeOutMs: random.pick([DEADLINES.freezeMs, 2000, 4000]) };
}

/** By a chance of its own, so that all else stays as it is. */
function roomOf(seed: number): number | null {
  const random = new Random(seed + 0xb0ff);
  return random.chance(0.5) ? random.pick([1, 2, 3, 5, 8, 13, 21]) : null;
}

/** A member of one moment has nothing that a quiesce could keep shut. */
function modelsOf(random: Random, { type }: Purpose): Model[] {
  const models: Model[] = [random.chance(0.6) ? 'commitFence' : 'writeFence'];
  for (let more = random.pick([0, 1, 1, 2, 2]); more > 0; more -= 1) {
    const model = random.pick(['commitFence', 'writeFence', 'observer', 'instant'] as const);
    const isUnfit = model === 'instant' && (type === 'quiesce' || models.includes('instant'));
    models.push(isUnfit ? 'writeFence' : model);
  }
  return models;
}

function faultsOf(
  random: Random,
  given: {
    readonly purpose: Purpose;
    readonly worksFor: number;
    readonly members: number;
    readonly anyFault: (random: Random, members: number) => Fault;
  },
): Fault[] {
  const { purpose, worksFor, members, anyFault } = given;
  switch (random.pick(SORTS)) {
    case 'nothing':
      return [];
    case 'slow':
      if (purpose.type === 'quiesce') return slowToRest(random, purpose.timeOutMs, members);
      if (purpose.type === 'freeze') return lostInPrepare(random, members);
      return badWeather(random, members);
    case 'badWeather':
      return badWeather(random, members);
    case 'interruptedTwice':
      return interruptedTwice(random, worksFor, members);
    case 'asks':
      return asks(random, worksFor, members);
    default:
      break;
  }
  const isHeld = lastsUntilLetGo(purpose) && random.chance(0.6);
  const count = random.pick([1, 1, 1, 2, 2, 3]);
  return Array.from({ length: count }, () =>
    isHeld ? whileHeld(random, worksFor, members) : anyFault(random, members),
  );
}

/** Its write daemon waits already, while another is still to be prepared. */
function lostInPrepare(random: Random, members: number): Fault[] {
  const member = random.below(members);
  // When all but that one are prepared, or any time before.
  const step = random.chance(0.6) ? 3 * members - 1 : 1 + random.below(4 * members);
  const one = { member, step };
  const forTime = Math.floor(random.between(200_000, 3_000_000));
  const kind = random.pick([
    'loseConnection',
    'loseConnection',
    'halfOpen',
    'pauseAgent',
    'partition',
  ] as const);
  const direction = random.pick(['toAgent', 'toCoordinator', 'both'] as const);
  return [
    { kind: 'engineSlow', call: 'prepare', step: 0, member: (member + 1) % members, forTime },
    kind === 'partition' ? { ...one, kind, direction, forTime } : { ...one, kind, forTime },
  ];
}

/** What was said in an attempt that was none comes again in the next, at best while another member is late with it. */
function badWeather(random: Random, members: number): Fault[] {
  const member = random.below(members);
  const one = { step: 0, member, forTime: 0 };
  const late = { ...one, member: (member + 1) % members };
  const slow = Array.from({ length: members > 1 ? 2 : 0 }, (): Fault => {
    const forTime = Math.floor(random.between(3000, 12_000));
    return { ...late, kind: 'engineSlow', call: 'thaw', forTime };
  });
  return [
    { ...one, kind: 'duplicateMessages' },
    random.chance(0.5) ? { ...one, kind: 'reorderMessages' } : { ...one, kind: 'leak' },
    { ...one, kind: 'leak' },
    ...(random.chance(0.7) ? slow : []),
  ];
}

/** About when the job lets go one member is not reached, and a person does not wait for it. */
function interruptedTwice(random: Random, worksFor: number, members: number): Fault[] {
  const one = { step: 0, member: random.below(members), forTime: 5_000_000 };
  const heldFor = Math.max(0, worksFor + Math.floor(random.between(-1000, 500)));
  const cancel = { ...one, kind: 'cancel' } as const;
  const first = heldFor + random.below(6000);
  return [
    { ...one, kind: 'partition', direction: random.pick(['toAgent', 'both']), heldFor },
    { ...cancel, heldFor: first },
    { ...cancel, heldFor: first + random.below(4000) },
  ];
}

/** From other streams: when the job has the grid, or before. */
function asks(random: Random, worksFor: number, members: number): Fault[] {
  const kind = random.pick(ASKS);
  return Array.from({ length: random.pick([1, 1, 2]) }, (): Fault => {
    const one = { kind, member: random.below(members), forTime: 0 };
    if (random.chance(0.2)) return { ...one, step: random.below(20 * members) };
    return { ...one, step: 0, heldFor: random.below(worksFor) };
  });
}

/** Some time into the hold, or just when it ends. */
function whileHeld(random: Random, worksFor: number, members: number): Fault {
  const heldFor = Math.max(
    0,
    Math.floor(random.chance(0.6) ? random.between(0, worksFor) : worksFor + random.between(-6000, 6000)),
  );
  const forTime = Math.floor(
    random.chance(0.5) ? random.between(900_000, 3_000_000) : random.scaled(500, 900_000),
  );
  const one = { step: 0, heldFor, member: random.below(members), forTime };
  if (random.chance(0.06))
    return { ...one, kind: 'partition', direction: random.pick(['toAgent', 'toCoordinator', 'both']) };
  return { ...one, kind: random.pick(WHILE_HELD) };
}

/** What a member writes takes its time, mostly less than it may. */
function slowToRest(random: Random, timeOutMs: number, members: number): Fault[] {
  const count = random.pick([1, 2, 3]);
  return Array.from({ length: Math.min(count, members) }, (_, member): Fault => {
    const forTime = Math.floor(timeOutMs * 1000 * random.between(0.2, random.chance(0.8) ? 0.9 : 1.5));
    return { kind: 'engineSlow', call: 'freeze', step: 0, member, forTime };
  });
}

/** Of members that have data of their own, at any time. */
function backupsOf(random: Random, models: readonly Model[], worksFor: number): OperatorsBackup[] {
  const own = models.flatMap((model, member) => (model === 'observer' ? [] : [member]));
  return Array.from({ length: random.pick([0, 1, 1, 2, 3]) }, () => ({
    member: random.pick(own),
    ...(random.chance(0.5)
      ? { isWhileHeld: false, at: Math.floor(random.scaled(100, 200_000)) }
      : { isWhileHeld: true, at: random.below(worksFor) }),
    takes: Math.floor(random.scaled(500, random.chance(0.5) ? 200_000 : worksFor)),
  }));
}

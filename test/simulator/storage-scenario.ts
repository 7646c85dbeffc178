import type { Random } from './random.ts';

export type OperatorKind = 'delete' | 'prune' | 'collect' | 'verify' | 'restore';

const CALL_NAMES = ['link', 'unlink', 'rename', 'sync', 'write', 'read', 'stat', 'readdir', 'mkdir'] as const;
/** Each as often as it is named. The committer is a coordinator from its commit on. */
const CALLERS = ['agent', 'agent', 'coordinator', 'committer', 'committer', 'operator', 'operator'] as const;
type CallName = (typeof CALL_NAMES)[number];

/** What may go wrong with the disk and those who use it. Times are in microseconds. */
export interface StorageFault {
  /** When so many calls of the file system were made (for a committer: since its commit began), at the first of this kind by one of these processes. */
  readonly call: number;
  readonly name: CallName | 'rmdir' | null;
  readonly by: (typeof CALLERS)[number] | null;
  readonly forTime: number;
  readonly kind:
    | 'killCaller'
    | 'stopCaller'
    /** Stopped for longer than a silent marker is believed. */
    | 'stopCallerForLong'
    | 'interruptCaller'
    | 'powerCut'
    | 'diskFull'
    | 'diskErrors'
    | 'oneDiskError'
    | 'diskReadOnly'
    | 'slowDisk'
    | 'bitRot'
    | 'clocksGoAhead';
}

export interface StorageScenario {
  /** So many checkpoints were made before. */
  readonly earlier: number;
  /** And another was begun, whose coordinator was killed before the commit. */
  readonly isAbandoned: boolean;
  readonly operators: readonly { readonly kind: OperatorKind; readonly at: number }[];
  readonly faults: readonly StorageFault[];
}

/** Each as often as it is named. */
const KINDS: readonly StorageFault['kind'][] = [
  'killCaller',
  'killCaller',
  'killCaller',
  'stopCaller',
  'stopCaller',
  'stopCallerForLong',
  'stopCallerForLong',
  'stopCallerForLong',
  'stopCallerForLong',
  'interruptCaller',
  'powerCut',
  'powerCut',
  'powerCut',
  'diskFull',
  'diskErrors',
  'oneDiskError',
  'oneDiskError',
  'oneDiskError',
  'diskReadOnly',
  'slowDisk',
  'bitRot',
  'bitRot',
  'bitRot',
  'bitRot',
  'clocksGoAhead',
];

/** So many calls make a commit. */
const COMMIT_CALLS = 60;
/** So many calls make a checkpoint of two members and what operators do beside it. */
const CALLS = 500;
/** A checkpoint takes so long when nothing goes wrong. */
const CHECKPOINT = 60_000;

export function storageScenarioOf(random: Random): StorageScenario {
  const operators = Array.from({ length: random.pick([0, 1, 1, 2, 2, 3]) }, () => ({
    kind: random.pick([
      'delete',
      'delete',
      'prune',
      'prune',
      'collect',
      'collect',
      'verify',
      'restore',
      'restore',
    ] as const),
    at: Math.floor(random.scaled(100, 2 * CHECKPOINT)),
  }));
  const faults = Array.from({ length: random.pick([0, 0, 1, 1, 1, 2, 2, 3]) }, () => ({
    ...placeOf(random),
    forTime: Math.floor(random.scaled(1000, 2_000_000)),
    kind: random.pick(KINDS),
  }));
  const [earlier, isAbandoned] = [random.pick([0, 1, 2]), random.chance(0.5)];
  return { earlier, isAbandoned, operators, faults: faults.sort((a, b) => a.call - b.call) };
}

function placeOf(random: Random): Pick<StorageFault, 'call' | 'name' | 'by'> {
  const by = random.chance(0.5) ? null : random.pick(CALLERS);
  const call = random.below(by === 'committer' ? COMMIT_CALLS : CALLS);
  return { by, call, name: random.chance(0.5) ? null : random.pick(CALL_NAMES) };
}

import { assertNever } from '../../shared/domain/assert-never.ts';
import { Random } from '../../test/simulator/random.ts';
import { FAULT_KINDS, type FaultKind, type FaultName, type Moment } from './fault-kinds.ts';

/** One fault: what, when, to the host or server of which member, and for how long. */
export interface Fault {
  readonly kind: FaultName;
  readonly moment: Moment;
  readonly member: string;
  /** 0 where it has no length. */
  readonly lastsMs: number;
}

/** One checkpoint of the run. */
export interface Turn {
  readonly fault: Fault | null;
  /** From the beginning of this checkpoint to that of the next; at once where it takes longer. */
  readonly everyMs: number;
}

export interface Victim {
  readonly name: string;
  readonly standby: boolean;
  /** Whether the agent of its host may be killed. */
  readonly mortal: boolean;
}

const FAULT_SHARE = 1 / 3;

/**
 * An endless plan, and the same for the same seed. About one checkpoint in three has a fault, but not the
 * first, which is what memory is measured against. Every kind of fault comes before one comes again.
 */
export function* planOf(input: {
  seed: number;
  everyMs: number;
  victims: readonly Victim[];
  withFaults: boolean;
}): Generator<Turn, never> {
  const pauses = new Random(input.seed);
  // A stream of its own: without faults the pauses are the same.
  const random = new Random(input.seed + 0x5eed);
  let kinds: FaultKind[] = [];
  for (let number = 1; ; number += 1) {
    const everyMs = Math.round(input.everyMs * pauses.between(0.5, 1.5));
    if (!input.withFaults || number === 1 || !random.chance(FAULT_SHARE)) {
      yield { fault: null, everyMs };
      continue;
    }
    if (kinds.length === 0) kinds = [...FAULT_KINDS];
    const [kind] = kinds.splice(random.below(kinds.length), 1);
    yield { fault: kind === undefined ? null : faultOf(kind, random, input.victims), everyMs };
  }
}

function faultOf(kind: FaultKind, random: Random, victims: readonly Victim[]): Fault {
  const possible = victims.filter((victim) => isVictim(kind, victim));
  const [from, to] = kind.lastsMs ?? [0, 0];
  return {
    kind: kind.name,
    moment: random.pick(kind.moments),
    member: random.pick(possible).name,
    lastsMs: kind.lastsMs === undefined ? 0 : Math.round(random.scaled(from, to)),
  };
}

function isVictim({ victims }: FaultKind, { standby, mortal }: Victim): boolean {
  switch (victims) {
    case 'any':
      return true;
    case 'mortal':
      return mortal;
    case 'primary':
      return !standby;
    case 'standby':
      return standby;
    default:
      return assertNever(victims);
  }
}

export function kindOf(fault: Fault): FaultKind {
  const found = FAULT_KINDS.find(({ name }) => name === fault.kind);
  if (found === undefined) throw new Error(`no fault is called ${fault.kind}`);
  return found;
}

export function tellFault({ kind, moment, member, lastsMs }: Fault): string {
  const length = lastsMs === 0 ? '' : ` for ${(lastsMs / 1000).toFixed(1)} s`;
  return `${kind}${length}, ${moment === 'before' ? '' : `at '${moment}' of `}${member}`;
}

import { BY_ITSELF } from '../domain/assignment.ts';
import type { MemberCommand } from '../domain/messages.ts';
import type { Token } from '../domain/token.ts';
import type {
  Attempt,
  CoordinatorConfig,
  CoordinatorEffect,
  CoordinatorState,
  CoordinatorStep,
  Round,
} from './coordinator-state.ts';
import { Heard } from './heard.ts';

/** What every phase of the coordinator says: nothing happens, who is meant, tell each of them. */
export function stay(state: CoordinatorState): CoordinatorStep {
  return { state, effects: [] };
}

export function names({ config }: CoordinatorState): readonly string[] {
  return rosterOf(config).names;
}

/** Who is armed, frozen and thawed: all but those whom the lead of their domain holds. */
export function holders({ config }: CoordinatorState, kind: Round | 'any' = 'any'): readonly string[] {
  return rosterOf(config).holders[kind];
}

interface Roster {
  readonly names: readonly string[];
  readonly holders: Readonly<Record<Round | 'any', readonly string[]>>;
}

/** Every answer asks for them, and a configuration stays as it is. */
const rosters = new WeakMap<CoordinatorConfig, Roster>();

function rosterOf(config: CoordinatorConfig): Roster {
  const known = rosters.get(config);
  if (known !== undefined) return known;
  const held = config.members.filter(({ assignment = BY_ITSELF }) => assignment.hold !== 'none');
  const of = (kind: Round): string[] => held.filter((member) => member.kind === kind).map(({ name }) => name);
  const roster: Roster = {
    names: config.members.map(({ name }) => name),
    holders: {
      any: held.map(({ name }) => name),
      observer: of('observer'),
      fenced: of('fenced'),
      instant: of('instant'),
    },
  };
  rosters.set(config, roster);
  return roster;
}

export function tokenOf({ config: { epoch, counter } }: CoordinatorState, attempt: number): Token {
  return { epoch, counter, attempt };
}

export function toEach(members: readonly string[], command: MemberCommand): CoordinatorEffect[] {
  return members.map((member) => ({ type: 'send', member, command }));
}

/** From the first fence being asked for to the last being known open; null where one of them is not open yet. */
export function windowMs(state: CoordinatorState, { fencedFrom, released }: Attempt): number | null {
  const marking = [...holders(state, 'fenced'), ...holders(state, 'instant')];
  if (!isComplete(marking, released)) return null;
  if (fencedFrom === null) return 0;
  return Math.max(...marking.map((name) => released.get(name)?.at ?? 0)) - fencedFrom;
}

/** Counting, apart from what is counted: which of the expected have not answered yet, in their order. */
export function missing<T>(
  expected: readonly string[],
  answered: ReadonlyMap<string, T> | ReadonlySet<string>,
): string[] {
  return expected.filter((name) => !answered.has(name));
}

export function isComplete<T>(
  expected: readonly string[],
  answered: ReadonlyMap<string, T> | ReadonlySet<string>,
): boolean {
  return answered.size >= expected.length && expected.every((name) => answered.has(name));
}

/** A map with one more entry; the one given stays as it was. */
export function withEntry<T>(map: ReadonlyMap<string, T>, name: string, value: T): ReadonlyMap<string, T> {
  return Heard.of(map).with(name, value);
}

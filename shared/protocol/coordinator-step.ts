import { BY_ITSELF } from '../domain/assignment.ts';
import type { MemberCommand } from '../domain/messages.ts';
import type { Token } from '../domain/token.ts';
import type {
  Attempt,
  CoordinatorEffect,
  CoordinatorState,
  CoordinatorStep,
  Round,
} from './coordinator-state.ts';

/** What every phase of the coordinator says: nothing happens, who is meant, tell each of them. */
export function stay(state: CoordinatorState): CoordinatorStep {
  return { state, effects: [] };
}

export function names(state: CoordinatorState): string[] {
  return state.config.members.map(({ name }) => name);
}

/** Who is armed, frozen and thawed: all but those whom the lead of their domain holds. */
export function holders(state: CoordinatorState, kind?: Round): string[] {
  return state.config.members
    .filter(({ assignment = BY_ITSELF }) => assignment.hold !== 'none')
    .filter((member) => kind === undefined || member.kind === kind)
    .map(({ name }) => name);
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
  return expected.every((name) => answered.has(name));
}

/** A map with one more entry; the one given stays as it was. */
export function withEntry<T>(map: ReadonlyMap<string, T>, name: string, value: T): ReadonlyMap<string, T> {
  return new Map(map).set(name, value);
}

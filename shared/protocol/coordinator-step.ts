import type { MemberCommand } from '../domain/messages.ts';
import type { Token } from '../domain/token.ts';
import type { CoordinatorEffect, CoordinatorState, CoordinatorStep, Round } from './coordinator-state.ts';

/** What every phase of the coordinator says: nothing happens, who is meant, tell each of them. */
export function stay(state: CoordinatorState): CoordinatorStep {
  return { state, effects: [] };
}

export function names(state: CoordinatorState, kind?: Round): string[] {
  return state.config.members
    .filter((member) => kind === undefined || member.kind === kind)
    .map((member) => member.name);
}

export function tokenOf({ config: { epoch, counter } }: CoordinatorState, attempt: number): Token {
  return { epoch, counter, attempt };
}

export function toEach(members: readonly string[], command: MemberCommand): CoordinatorEffect[] {
  return members.map((member) => ({ type: 'send', member, command }));
}

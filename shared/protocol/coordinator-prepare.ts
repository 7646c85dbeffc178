import type { MemberAnswer } from '../domain/messages.ts';
import { becomeArming } from './coordinator-attempt.ts';
import type { CoordinatorPhase, CoordinatorState, CoordinatorStep } from './coordinator-state.ts';
import { names, stay, toEach } from './coordinator-step.ts';
import { isComplete } from './tally.ts';

/**
 * Prepare: all that takes long and holds nobody, the base copies. It is done once, before the first attempt:
 * a cut that could not be proven is tried again over the same copies. No token exists yet, so nobody can be
 * frozen.
 */
type Preparing = Extract<CoordinatorPhase, { name: 'preparing' }>;

export function becomePreparing(state: CoordinatorState, now: number): CoordinatorStep {
  const { checkpoint, maintenance, deadlines } = state.config;
  const deadline = deadlines.prepareMs === null ? null : now + deadlines.prepareMs;
  return {
    state: { ...state, phase: { name: 'preparing', prepared: new Set(), deadline } },
    effects: [
      { type: 'enter', phase: 'prepare', attempt: 1 },
      ...toEach(names(state), { type: 'prepare', checkpoint, maintenance }),
    ],
  };
}

export function prepareAnswered(
  state: CoordinatorState,
  phase: Preparing,
  member: string,
  answer: MemberAnswer,
  now: number,
): CoordinatorStep {
  if (answer.type !== 'prepared') return stay(state);
  const prepared = new Set(phase.prepared).add(member);
  const next = { ...state, phase: { ...phase, prepared } };
  return isComplete(names(state), prepared) ? becomeArming(next, 1, now) : stay(next);
}

import type { Attempt, CoordinatorPhase, CoordinatorState, CoordinatorStep } from './coordinator-state.ts';
import { becomeCollecting } from './coordinator-commit.ts';
import { stay, toEach, holders } from './coordinator-step.ts';

/**
 * The grid is held for a job that takes its time: for a quiesce between the last mark and the thaw, for a freeze between
 * the thaw and what ends the suspension of the write daemons. Only the word of the job goes on from here, and any failure
 * of anybody ends it everywhere. What was held is worth something only when it is proven to have been, at the end.
 */
export function becomeHolding(state: CoordinatorState, attempt: Attempt): CoordinatorStep {
  const phase: CoordinatorPhase = { name: 'holding', attempt };
  const marks = state.config.members.map(({ name }) => ({
    name,
    mark: attempt.marked.get(name)?.mark ?? null,
  }));
  const held = { token: attempt.token, marks };
  return { state: { ...state, phase }, effects: [{ type: 'holding', held }] };
}

/** Before everybody is held, and after, there is nothing to let go of: the word is for nobody. */
export function letGo(state: CoordinatorState, now: number): CoordinatorStep {
  const { phase, config } = state;
  if (phase.name !== 'holding') return stay(state);
  const { attempt } = phase;
  return config.purpose?.type === 'freeze'
    ? becomeCollecting(state, attempt, now)
    : becomeThawing(state, attempt, now);
}

/** The thaw is sent only when all have marked. */
export function becomeThawing(state: CoordinatorState, attempt: Attempt, now: number): CoordinatorStep {
  return {
    state: { ...state, phase: { name: 'thawing', attempt, deadline: now + state.config.deadlines.thawMs } },
    effects: [
      ...toEach(holders(state), { type: 'thaw', token: attempt.token }),
      { type: 'enter', phase: 'thaw', attempt: attempt.token.attempt },
    ],
  };
}

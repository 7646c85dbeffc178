import type { MemberAnswer, MemberCommand } from '../domain/messages.ts';
import { formatToken } from '../domain/token.ts';
import type {
  EngineCall,
  MemberEffect,
  MemberMachineState,
  MemberPhase,
  MemberStep,
} from './member-state.ts';

/** What every phase of a member does: nothing, answer, refuse, or call the engine and wait for it. */
export function stay(state: MemberMachineState): MemberStep {
  return { state, effects: [] };
}

export function answer(state: MemberMachineState, message: MemberAnswer): MemberStep {
  return { state, effects: [{ type: 'answer', answer: message }] };
}

/** Answers, and keeps the answer for a repeated command. */
export function answerFirst(state: MemberMachineState, key: string, message: MemberAnswer): MemberStep {
  return answer({ ...state, answers: new Map(state.answers).set(key, message) }, message);
}

export function refuse(state: MemberMachineState, code: string, message: string): MemberStep {
  const hint = 'start the checkpoint again; only the newest attempt of the newest run counts';
  return answer(state, {
    type: 'refused',
    failure: { code, message: `${state.config.member}: ${message}`, hint },
  });
}

/** Starts an engine call and enters the phase that waits for it. */
export function call(
  state: MemberMachineState,
  action: EngineCall,
  phase: (call: number) => MemberPhase,
  before: readonly MemberEffect[] = [],
): MemberStep {
  const number = state.nextCall;
  return {
    state: { ...state, nextCall: number + 1, phase: phase(number) },
    effects: [...before, { type: 'engine', call: number, action }],
  };
}

/** By this a command is known again when it is repeated. */
export function keyOf(command: MemberCommand): string {
  return 'token' in command && command.token !== null
    ? `${command.type} ${formatToken(command.token)}`
    : command.type;
}

export function inWords(phase: MemberPhase): string {
  return 'token' in phase ? `${phase.name} with ${formatToken(phase.token)}` : phase.name;
}

/** A quiesce or a freeze holds the member, and what is copied of it now is of that moment. */
export function isHeldForJob({ phase, purpose, guardThawed }: MemberMachineState): boolean {
  if (guardThawed) return false;
  if (purpose.type === 'quiesce') return phase.name === 'frozen';
  return purpose.type === 'freeze' && phase.name === 'thawed' && phase.held;
}

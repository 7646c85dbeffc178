import { assertNever } from '../domain/assert-never.ts';
import type { ThawProof } from '../domain/messages.ts';
import type { Token } from '../domain/token.ts';
import { renewLease } from './lease.ts';
import { becomeAborted, engineFailed } from './member-abort.ts';
import { armFailed, becomeDisarmed, becomeDisarming } from './member-disarm.ts';
import { becomeReleased } from './member-lease.ts';
import type { EngineResult, MemberMachineState, MemberPhase, MemberStep } from './member-state.ts';
import { answer, answerFirst, keyOf, stay } from './member-step.ts';

/**
 * What the engine has done, said on to the coordinator. One call is waited for at a time, by its number; what
 * an older one answers is no longer heard. Whether the member held is the engine's word, passed on as it is.
 */
export function engineAnswered(
  state: MemberMachineState,
  number: number,
  result: EngineResult,
  now: number,
): MemberStep {
  const { phase } = state;
  // The answer of a call that an abort has overtaken: a thaw has opened the fence all the same.
  if (!('call' in phase) || phase.call !== number)
    return stay(phase.name === 'aborting' && isOpen(result) ? opened(state) : state);
  if (result.type === 'failed' && phase.name === 'arming' && result.failure.isFinal !== true)
    return armFailed(state, phase, result.failure, now);
  if (result.type === 'failed') return engineFailed(state, result.failure);
  switch (phase.name) {
    case 'preparing':
      if (result.type !== 'prepared') return stay(state);
      return answerFirst({ ...state, phase: { name: 'prepared' } }, 'prepare', { type: 'prepared' });
    case 'pausing':
      return result.type === 'paused' ? becomePaused(state, phase.token) : stay(state);
    case 'arming':
      return result.type === 'armed' ? becomeArmed(state, phase, result, now) : stay(state);
    case 'disarming':
      return result.type === 'disarmed' || result.type === 'thawed'
        ? becomeDisarmed(opened(state), phase)
        : stay(state);
    case 'freezing':
      return result.type === 'marked' ? becomeFrozen(state, phase, result) : stay(state);
    case 'thawing':
      return thawAnswered(state, phase.token, result);
    case 'releasing':
      return result.type === 'thawed' ? becomeReleased(opened(state), phase) : stay(state);
    case 'collecting':
      return result.type === 'collected' ? becomeCollected(state, phase.token, result) : stay(state);
    case 'aborting':
      return result.type === 'aborted' ? becomeAborted(opened(state), phase, result.state) : stay(state);
    default:
      return assertNever(phase);
  }
}

const ENDED_BY_GUARD = {
  held: false,
  cause: 'the guard thawed it: the agent was silent for too long',
} as const;

function isOpen({ type }: EngineResult): boolean {
  return type === 'released' || type === 'thawed';
}

function opened(state: MemberMachineState): MemberMachineState {
  return state.isFrozen ? { ...state, isFrozen: false } : state;
}

function becomePaused(state: MemberMachineState, token: Token): MemberStep {
  return answerFirst({ ...state, phase: { name: 'paused', token } }, keyOf({ type: 'pause', token }), {
    type: 'paused',
    token,
  });
}

function becomeArmed(
  state: MemberMachineState,
  { token, lease, asked }: Extract<MemberPhase, { name: 'arming' }>,
  { incarnation, viewing }: Extract<EngineResult, { type: 'armed' }>,
  now: number,
): MemberStep {
  // Given up meanwhile.
  if (asked) return becomeDisarming(state, token, null, renewLease(lease, now));
  const phase: MemberPhase = { name: 'armed', token, incarnation, lease: renewLease(lease, now) };
  return answerFirst({ ...state, phase }, keyOf({ type: 'arm', token, leaseMs: 0 }), {
    type: 'armed',
    token,
    incarnation,
    ...(viewing !== undefined && { viewing }),
  });
}

function becomeFrozen(
  state: MemberMachineState,
  { token, incarnation, lease }: Extract<MemberPhase, { name: 'freezing' }>,
  result: Extract<EngineResult, { type: 'marked' }>,
): MemberStep {
  const phase: MemberPhase = { name: 'frozen', token, incarnation, lease };
  return answerFirst({ ...state, phase }, keyOf({ type: 'freeze', token, leaseMs: 0 }), {
    type: 'marked',
    token,
    incarnation: result.incarnation,
    mark: result.mark,
    fenceMs: result.fenceMs,
    markMs: result.markMs,
  });
}

function thawAnswered(state: MemberMachineState, token: Token, result: EngineResult): MemberStep {
  if (result.type === 'released')
    return answer(opened(state), { type: 'released', token, thawMs: result.thawMs });
  if (result.type !== 'thawed') return stay(state);
  const proof = provenBy(state, result.proof);
  const phase: MemberPhase = { name: 'thawed', token, held: proof.type === 'held' };
  const key = keyOf({ type: 'thaw', token });
  return answerFirst({ ...opened(state), phase }, key, { type: 'thawed', token, proof });
}

/** The engine cannot know that the guard thawed it, if the guard was quick. */
function provenBy({ guardThawed }: MemberMachineState, proof: ThawProof): ThawProof {
  if (proof.type !== 'held' || !guardThawed) return proof;
  return { type: 'broken', incarnation: proof.incarnation, cause: ENDED_BY_GUARD.cause };
}

function becomeCollected(
  state: MemberMachineState,
  token: Token,
  result: Extract<EngineResult, { type: 'collected' }>,
): MemberStep {
  const { manifestDigest, sizeBytes, storedBytes } = result;
  const suspension =
    result.suspension?.held === true && state.guardThawed ? ENDED_BY_GUARD : result.suspension;
  return answerFirst({ ...state, phase: { name: 'collected', token } }, keyOf({ type: 'collect', token }), {
    type: 'collected',
    token,
    manifestDigest,
    sizeBytes,
    storedBytes,
    ...(suspension !== undefined && { suspension }),
  });
}

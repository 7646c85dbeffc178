import { assertNever } from '../domain/assert-never.ts';
import type { Failure, MemberState as StateInWords } from '../domain/errors.ts';
import type { MemberAnswer, MemberCommand } from '../domain/messages.ts';
import { compareTokens, formatToken, sameToken, type Token } from '../domain/token.ts';
import { grantLease, leaseEndsAt, leaseHasEnded, renewLease } from './lease.ts';
import type {
  EngineCall,
  EngineResult,
  MemberConfig,
  MemberEffect,
  MemberEvent,
  MemberMachineState,
  MemberPhase,
  MemberStep,
} from './member-state.ts';

export type * from './member-state.ts';

/**
 * The member's side of a checkpoint, as a pure function of what happens to it.
 *
 * The problem: be held still on somebody else's word, and never longer than that word lasts. The coordinator
 * may die, the network may deliver its messages late, twice or never, this agent may be restarted. The
 * intuition: a member may always let go; what it must never do is say that it held when it did not. So every
 * danger (silence, a closed stream, a lease that ran out, an engine that fails) ends in letting go, and the
 * only thing that is guarded with care is the word "held": it is said once, for one token, by the engine
 * that held, in answer to the thaw.
 *
 * Why simpler answers fail. A timeout alone: a delayed freeze of a dead coordinator would freeze again after
 * the thaw, hence tokens that only grow, on disk before the fence. Answering a repeated thaw with "done": the
 * second asker would take it for a proof, hence first answers are kept and repeated to the letter.
 *
 *   idle → preparing → prepared → arming → armed → freezing → frozen → thawing → thawed → collecting → collected
 *                         ↑ a newer token arms again from: thawed, letGo
 *   armed, frozen → lettingGo → letGo   when the lease runs out; what was prepared stays
 *   every phase → aborting → aborted → closed
 */
export function initialMember(config: MemberConfig, highest: Token | null, now = 0): MemberMachineState {
  return { config, phase: { name: 'idle' }, highest, heardAt: now, nextCall: 1, answers: new Map() };
}

export function stepMember(state: MemberMachineState, event: MemberEvent): MemberStep {
  switch (event.type) {
    case 'commandReceived':
      return commandReceived(heard(state, event.now), event.command, event.now);
    case 'wordReceived':
      return stay(heard(state, event.now));
    case 'streamClosed':
      return streamClosed(state);
    case 'engineAnswered':
      return engineAnswered(state, event.call, event.result, event.now);
    case 'timePassed':
      return timePassed(state, event.now);
    default:
      return assertNever(event);
  }
}

/** When `timePassed` is wanted next; null when nothing waits for time. */
export function nextMemberDeadline(state: MemberMachineState): number | null {
  const { phase } = state;
  if (
    phase.name === 'aborting' ||
    phase.name === 'aborted' ||
    phase.name === 'closed' ||
    phase.name === 'idle'
  )
    return null;
  const silent = state.heardAt + state.config.operationSilenceMs;
  return 'lease' in phase ? Math.min(silent, leaseEndsAt(phase.lease)) : silent;
}

function stay(state: MemberMachineState): MemberStep {
  return { state, effects: [] };
}

/** Any word renews the lease of what is armed or frozen: the coordinator lives and knows what it asked. */
function heard(state: MemberMachineState, now: number): MemberMachineState {
  const { phase } = state;
  if (phase.name !== 'armed' && phase.name !== 'frozen') return { ...state, heardAt: now };
  // A lease that has run out is not renewed, even if nobody has noticed yet.
  if (leaseHasEnded(phase.lease, now)) return { ...state, heardAt: now };
  return { ...state, heardAt: now, phase: { ...phase, lease: renewLease(phase.lease, now) } };
}

function answer(state: MemberMachineState, message: MemberAnswer): MemberStep {
  return { state, effects: [{ type: 'answer', answer: message }] };
}

/** Answers, and keeps the answer for a repeated command. */
function answerFirst(state: MemberMachineState, key: string, message: MemberAnswer): MemberStep {
  return answer({ ...state, answers: new Map(state.answers).set(key, message) }, message);
}

function refuse(state: MemberMachineState, code: string, message: string): MemberStep {
  const hint = 'start the checkpoint again; only the newest attempt of the newest run counts';
  return answer(state, {
    type: 'refused',
    failure: { code, message: `${state.config.member}: ${message}`, hint },
  });
}

/** Starts an engine call and enters the phase that waits for it. */
function call(
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

function keyOf(command: MemberCommand): string {
  return 'token' in command && command.token !== null
    ? `${command.type} ${formatToken(command.token)}`
    : command.type;
}

function commandReceived(state: MemberMachineState, command: MemberCommand, now: number): MemberStep {
  const { phase } = state;
  if (command.type === 'renew') return stay(state);
  if (command.type === 'abort') return abortReceived(state);
  if (phase.name === 'aborting' || phase.name === 'aborted' || phase.name === 'closed') {
    return refuse(state, 'operation-over', `${command.type} after the abort`);
  }
  const first = state.answers.get(keyOf(command));
  if (first !== undefined) return answer(state, first);
  switch (command.type) {
    case 'prepare':
      if (phase.name === 'preparing') return stay(state);
      if (phase.name !== 'idle') return refuse(state, 'out-of-order', `prepare while ${phase.name}`);
      return becomePreparing(state, command);
    case 'arm':
      return armReceived(state, command.token, command.leaseMs, now);
    case 'freeze':
      return freezeReceived(state, command.token, command.leaseMs, now);
    case 'thaw':
      return thawReceived(state, command.token, now);
    case 'collect':
      return collectReceived(state, command.token);
    default:
      return assertNever(command);
  }
}

function becomePreparing(
  state: MemberMachineState,
  { checkpoint, maintenance }: Extract<MemberCommand, { type: 'prepare' }>,
): MemberStep {
  return call(state, { type: 'prepare', checkpoint, maintenance }, (number) => ({
    name: 'preparing',
    call: number,
  }));
}

function armReceived(state: MemberMachineState, token: Token, leaseMs: number, now: number): MemberStep {
  const { phase, highest } = state;
  if (phase.name === 'arming' && sameToken(phase.token, token)) return stay(state);
  if (highest !== null && compareTokens(token, highest) <= 0) {
    return refuse(
      state,
      'stale-token',
      `token ${formatToken(token)} is not newer than ${formatToken(highest)}`,
    );
  }
  if (phase.name !== 'prepared' && phase.name !== 'thawed' && phase.name !== 'letGo') {
    return refuse(state, 'out-of-order', `arm while ${phase.name}`);
  }
  return becomeArming(state, token, leaseMs, now);
}

/** The token is on disk before the engine changes anything: that order is the effects' order. */
function becomeArming(state: MemberMachineState, token: Token, leaseMs: number, now: number): MemberStep {
  return call(
    { ...state, highest: token },
    { type: 'arm', token },
    (number) => ({ name: 'arming', call: number, token, lease: grantLease(leaseMs, now) }),
    [{ type: 'record', token }],
  );
}

function freezeReceived(state: MemberMachineState, token: Token, leaseMs: number, now: number): MemberStep {
  const { phase } = state;
  if (phase.name === 'freezing' && sameToken(phase.token, token)) return stay(state);
  if (phase.name !== 'armed' || !sameToken(phase.token, token)) {
    return refuse(state, 'stale-token', `freeze of ${formatToken(token)} while ${inWords(phase)}`);
  }
  const { incarnation } = phase;
  return call(state, { type: 'freeze', token }, (number) => ({
    name: 'freezing',
    call: number,
    token,
    incarnation,
    lease: grantLease(leaseMs, now),
  }));
}

function thawReceived(state: MemberMachineState, token: Token, now: number): MemberStep {
  const { phase } = state;
  if ('token' in phase && sameToken(phase.token, token)) {
    // A lease that has run out, noticed or not: the member lets go, and does not say that it held.
    if (phase.name === 'frozen' && leaseHasEnded(phase.lease, now))
      return becomeLettingGo(state, phase, now, true);
    if (phase.name === 'frozen' || phase.name === 'armed') return becomeThawing(state, phase, now);
    if (phase.name === 'thawing') return stay(state);
    if (phase.name === 'lettingGo') return stay({ ...state, phase: { ...phase, asked: true } });
    if (phase.name === 'letGo') return answerAlreadyResumed(state, phase);
  }
  return refuse(state, 'stale-token', `thaw of ${formatToken(token)} while ${inWords(phase)}`);
}

function becomeThawing(
  state: MemberMachineState,
  phase: Extract<MemberPhase, { name: 'frozen' | 'armed' }>,
  now: number,
): MemberStep {
  const { token, lease } = phase;
  return call(state, { type: 'thaw', token }, (number) => ({
    name: 'thawing',
    call: number,
    token,
    lease: renewLease(lease, now),
  }));
}

function becomeLettingGo(
  state: MemberMachineState,
  phase: Extract<MemberPhase, { name: 'frozen' | 'armed' }>,
  now: number,
  asked: boolean,
): MemberStep {
  const { token, incarnation, lease } = phase;
  const cause = `its lease of ${lease.leaseMs} ms ran out`;
  return call(state, { type: 'thaw', token }, (number) => ({
    name: 'lettingGo',
    call: number,
    token,
    incarnation,
    cause,
    asked,
    lease: renewLease(lease, now),
  }));
}

function answerAlreadyResumed(
  state: MemberMachineState,
  phase: { token: Token; incarnation: string; cause: string },
): MemberStep {
  const { token, incarnation, cause } = phase;
  const proof = { type: 'alreadyResumed', incarnation, cause } as const;
  return answerFirst(state, keyOf({ type: 'thaw', token }), { type: 'thawed', token, proof });
}

function collectReceived(state: MemberMachineState, token: Token): MemberStep {
  const { phase } = state;
  if (phase.name === 'collecting' && sameToken(phase.token, token)) return stay(state);
  if (phase.name !== 'thawed' || !phase.held || !sameToken(phase.token, token)) {
    return refuse(state, 'out-of-order', `collect of ${formatToken(token)} while ${inWords(phase)}`);
  }
  return call(state, { type: 'collect', token }, (number) => ({ name: 'collecting', call: number, token }));
}

function abortReceived(state: MemberMachineState): MemberStep {
  const { phase } = state;
  if (phase.name === 'aborted') return answer(state, { type: 'aborted', state: phase.state });
  if (phase.name === 'aborting') return stay({ ...state, phase: { ...phase, asked: true } });
  if (phase.name === 'closed') return stay(state);
  return becomeAborting(state, { asked: true, closing: false });
}

function becomeAborting(
  state: MemberMachineState,
  { asked, closing }: { asked: boolean; closing: boolean },
  before: readonly MemberEffect[] = [],
): MemberStep {
  return call(
    state,
    { type: 'abort' },
    (number) => ({ name: 'aborting', call: number, asked, closing }),
    before,
  );
}

function streamClosed(state: MemberMachineState): MemberStep {
  const { phase } = state;
  switch (phase.name) {
    case 'closed':
      return stay(state);
    case 'idle':
    case 'aborted':
      return becomeClosed(state);
    case 'aborting':
      return stay({ ...state, phase: { ...phase, closing: true } });
    default:
      return becomeAborting(state, { asked: false, closing: true });
  }
}

function becomeClosed(state: MemberMachineState): MemberStep {
  return { state: { ...state, phase: { name: 'closed' } }, effects: [{ type: 'closed' }] };
}

function engineAnswered(
  state: MemberMachineState,
  number: number,
  result: EngineResult,
  now: number,
): MemberStep {
  const { phase } = state;
  // The answer of a call that an abort has overtaken.
  if (!('call' in phase) || phase.call !== number) return stay(state);
  if (result.type === 'failed') return engineFailed(state, result.failure);
  switch (phase.name) {
    case 'preparing':
      if (result.type !== 'prepared') return stay(state);
      return answerFirst({ ...state, phase: { name: 'prepared' } }, 'prepare', { type: 'prepared' });
    case 'arming':
      return result.type === 'armed' ? becomeArmed(state, phase, result.incarnation, now) : stay(state);
    case 'freezing':
      return result.type === 'marked' ? becomeFrozen(state, phase, result) : stay(state);
    case 'thawing':
      return thawAnswered(state, phase.token, result);
    case 'lettingGo':
      return result.type === 'thawed' ? becomeLetGo(state, phase) : stay(state);
    case 'collecting':
      return result.type === 'collected' ? becomeCollected(state, phase.token, result) : stay(state);
    case 'aborting':
      return result.type === 'aborted' ? becomeAborted(state, phase, result.state) : stay(state);
    default:
      return assertNever(phase);
  }
}

function becomeArmed(
  state: MemberMachineState,
  { token, lease }: Extract<MemberPhase, { name: 'arming' }>,
  incarnation: string,
  now: number,
): MemberStep {
  const phase: MemberPhase = { name: 'armed', token, incarnation, lease: renewLease(lease, now) };
  return answerFirst({ ...state, phase }, keyOf({ type: 'arm', token, leaseMs: 0 }), {
    type: 'armed',
    token,
    incarnation,
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
  if (result.type === 'released') return answer(state, { type: 'released', token, thawMs: result.thawMs });
  if (result.type !== 'thawed') return stay(state);
  const phase: MemberPhase = { name: 'thawed', token, held: result.proof.type === 'held' };
  return answerFirst({ ...state, phase }, keyOf({ type: 'thaw', token }), {
    type: 'thawed',
    token,
    proof: result.proof,
  });
}

function becomeLetGo(
  state: MemberMachineState,
  phase: Extract<MemberPhase, { name: 'lettingGo' }>,
): MemberStep {
  const { token, incarnation, cause, asked } = phase;
  const next = { ...state, phase: { name: 'letGo', token, incarnation, cause } as const };
  return asked ? answerAlreadyResumed(next, next.phase) : stay(next);
}

function becomeCollected(
  state: MemberMachineState,
  token: Token,
  result: Extract<EngineResult, { type: 'collected' }>,
): MemberStep {
  const { manifestDigest, sizeBytes, storedBytes } = result;
  return answerFirst({ ...state, phase: { name: 'collected', token } }, keyOf({ type: 'collect', token }), {
    type: 'collected',
    token,
    manifestDigest,
    sizeBytes,
    storedBytes,
  });
}

function becomeAborted(
  state: MemberMachineState,
  { asked, closing }: Extract<MemberPhase, { name: 'aborting' }>,
  inTheEnd: StateInWords,
): MemberStep {
  const next: MemberMachineState = { ...state, phase: { name: 'aborted', state: inTheEnd } };
  const answers: MemberEffect[] = asked
    ? [{ type: 'answer', answer: { type: 'aborted', state: inTheEnd } }]
    : [];
  if (!closing) return { state: next, effects: answers };
  const closed = becomeClosed(next);
  return { state: closed.state, effects: [...answers, ...closed.effects] };
}

/** A member that failed may not wait for the coordinator's abort: it may be frozen right now. */
function engineFailed(state: MemberMachineState, failure: Failure): MemberStep {
  const { name } = state.phase;
  const mayBeFrozen = name === 'freezing' || name === 'thawing' || name === 'lettingGo';
  return becomeAborting(state, { asked: false, closing: false }, [
    { type: 'answer', answer: { type: 'failed', failure, state: mayBeFrozen ? 'frozen' : 'running' } },
  ]);
}

function timePassed(state: MemberMachineState, now: number): MemberStep {
  const { phase } = state;
  const deadline = nextMemberDeadline(state);
  if (deadline === null || now < deadline) return stay(state);
  if ((phase.name === 'armed' || phase.name === 'frozen') && leaseHasEnded(phase.lease, now)) {
    return becomeLettingGo(state, phase, now, false);
  }
  // An engine call that outlives its lease is not waited for, and its outcome not trusted: abort. So is an
  // operation whose coordinator has been silent for too long.
  return becomeAborting(state, { asked: false, closing: false });
}

function inWords(phase: MemberPhase): string {
  return 'token' in phase ? `${phase.name} with ${formatToken(phase.token)}` : phase.name;
}

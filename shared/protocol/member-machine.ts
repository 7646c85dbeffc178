import { assertNever } from '../domain/assert-never.ts';
import { FOR_CHECKPOINT } from '../domain/purpose.ts';
import type { Token } from '../domain/token.ts';
import { leaseEndsAt, leaseHasEnded } from './lease.ts';
import { becomeAborting, becomeClosed, operationEnded, streamClosed, streamResumed } from './member-abort.ts';
import { commandReceived } from './member-commands.ts';
import { engineAnswered } from './member-engine.ts';
import { becomeReleasing, messageReceived, wordReceived } from './member-lease.ts';
import type { MemberConfig, MemberEvent, MemberMachineState, MemberStep } from './member-state.ts';
import { stay } from './member-step.ts';

export { mayBeResumed } from './member-abort.ts';
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
 *                         ↑ a newer token arms again from: thawed, released, disarmed
 *   observers: → pausing → paused → before every arming
 *   arming, armed → disarming → disarmed   when the attempt is given up; what was prepared stays
 *   armed, frozen → releasing → released   when the lease runs out; what was prepared stays
 *   every phase → aborting → aborted → closed
 *
 * Here every event finds its place. What follows from it: member-commands (the coordinator asks),
 * member-engine (the engine has done it), member-lease (letting go unasked), member-disarm, member-abort
 * (and the stream that is lost and resumed before the first arm).
 */
export function initialMember(config: MemberConfig, highest: Token | null, now = 0): MemberMachineState {
  return {
    config,
    phase: { name: 'idle' },
    highest,
    wasArmed: false,
    maintenance: false,
    purpose: FOR_CHECKPOINT,
    isHeldByLead: false,
    leaseMs: config.leaseMs,
    isFrozen: false,
    guardThawed: false,
    streamLost: false,
    heardAt: now,
    nextCall: 1,
    answers: new Map(),
  };
}

export function stepMember(state: MemberMachineState, event: MemberEvent): MemberStep {
  switch (event.type) {
    case 'commandReceived':
      return commandReceived(messageReceived(state, event.now), event.command, event.now);
    case 'messageReceived':
      return wordReceived(state, event.now);
    case 'streamClosed':
      return streamClosed(state);
    case 'streamResumed':
      return streamResumed(state, event.now);
    case 'operationEnded':
      return operationEnded(state);
    case 'engineAnswered':
      return engineAnswered(state, event.call, event.result, event.now);
    case 'guardThawed':
      return stay({ ...state, guardThawed: true });
    case 'timePassed':
      return timePassed(state, event.now);
    default:
      return assertNever(event);
  }
}

/** When `timePassed` is wanted next; null when nothing waits for time. */
export function nextMemberDeadline(state: MemberMachineState): number | null {
  const { phase, streamLost } = state;
  if (phase.name === 'aborting' || phase.name === 'closed' || phase.name === 'idle') return null;
  // What was aborted while nobody listened waits to be told, and not for ever.
  if (phase.name === 'aborted' && !streamLost) return null;
  const silent = state.heardAt + silenceMs(state);
  return 'lease' in phase ? Math.min(silent, leaseEndsAt(phase.lease)) : silent;
}

/** What costs the grid nothing is kept for long. A write daemon that waits is held, and waits no longer than a lease. */
function silenceMs({ purpose, phase, leaseMs, config }: MemberMachineState): number {
  return purpose.type === 'freeze' && phase.name !== 'collected' ? leaseMs : config.operationSilenceMs;
}

function timePassed(state: MemberMachineState, now: number): MemberStep {
  const { phase } = state;
  const deadline = nextMemberDeadline(state);
  if (deadline === null || now < deadline) return stay(state);
  if ((phase.name === 'armed' || phase.name === 'frozen') && leaseHasEnded(phase.lease, now)) {
    return becomeReleasing(state, phase, now, false);
  }
  if (phase.name === 'aborted') return becomeClosed(state);
  // An engine call that outlives its lease is not waited for, and its outcome not trusted: abort. So is an
  // operation whose coordinator has been silent for too long.
  return becomeAborting(state, { closing: state.streamLost });
}

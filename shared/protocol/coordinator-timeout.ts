import { assertNever } from '../domain/assert-never.ts';
import type { Failure, Phase } from '../domain/errors.ts';
import type { CoordinatorState } from './coordinator-state.ts';
import { holders, names, missing } from './coordinator-step.ts';

/** What is said when a phase took longer than it may: names the first member that has not answered. */
export function timeOut(state: CoordinatorState, now: number): Failure {
  const { phase, config } = state;
  const [gone] = [...state.away].filter(([, { until }]) => now >= until);
  if (gone !== undefined) return notBack(gone[0], gone[1].failure, config.deadlines.reconnectMs);
  const late = (
    answered: ReadonlySet<string> | ReadonlyMap<string, unknown>,
    expected = holders(state),
  ): string => missing(expected, answered)[0] ?? 'a member';
  switch (phase.name) {
    case 'preparing':
      return timeOutFailure(
        'prepare-timeout',
        late(phase.prepared, names(state)),
        'was not prepared',
        config.deadlines.prepareMs,
        'prepare',
      );
    case 'pausing':
      return timeOutFailure(
        'pause-timeout',
        [...phase.missing][0] ?? 'an observer',
        'did not stop showing new data',
        config.deadlines.pauseMs,
        'prepare',
      );
    case 'disarming':
      return timeOutFailure(
        'disarm-timeout',
        late(phase.disarmed),
        'was not disarmed',
        config.deadlines.disarmMs,
        'prepare',
      );
    case 'arming':
      return timeOutFailure(
        'arm-timeout',
        late(phase.attempt.armed),
        'was not armed',
        config.deadlines.armMs,
        'prepare',
      );
    case 'freezing':
      return timeOutFailure(
        'fence-not-reached',
        late(phase.attempt.marked, holders(state, phase.round)),
        'did not reach its fence and mark',
        config.deadlines.freezeMs,
        'freeze',
      );
    case 'thawing':
      return timeOutFailure(
        'thaw-unconfirmed',
        late(phase.attempt.proofs),
        'did not confirm its thaw',
        config.deadlines.thawMs,
        'thaw',
      );
    case 'collecting':
      return timeOutFailure(
        'collect-timeout',
        late(phase.collected, names(state)),
        'was not collected',
        config.deadlines.collectMs,
        'collect',
      );
    case 'idle':
    case 'waiting':
    case 'holding':
    case 'committing':
    case 'aborting':
    case 'over':
      throw new Error(`nothing is waited for while ${phase.name}`);
    default:
      return assertNever(phase);
  }
}

function notBack(member: string, failure: Failure, reconnectMs: number): Failure {
  return {
    ...failure,
    message: `${failure.message}; it did not come back in ${reconnectMs / 1000} s`,
    member,
    phase: 'prepare',
  };
}

function timeOutFailure(
  code: string,
  member: string,
  what: string,
  limitMs: number | null,
  phase: Phase,
): Failure {
  return {
    code,
    message: `${member} ${what} in ${limitMs ?? 0} ms`,
    hint: 'look at the load and the log of its server and of its agent',
    member,
    phase,
  };
}

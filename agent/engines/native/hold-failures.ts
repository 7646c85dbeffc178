import { StillpointError } from '../../../shared/domain/errors.ts';

/** Something that was held for long ended before it was to. */
export function notHeld(member: string, what: string, cause: string): StillpointError {
  return new StillpointError({
    code: 'hold-lost',
    message: `${what} on ${member} did not last until the checkpoint had it${cause === '' ? '' : `: ${cause}`}`,
    hint: "see the process's log: was it restarted, or its host stopped for a while? Then create the checkpoint again",
    isFinal: true,
  });
}

/** A quiesce or freeze ended while its job still needed it. */
export function holdLost(member: string, cause: string): StillpointError {
  return new StillpointError({
    code: 'hold-lost',
    message: `${member} was not held until the job let go: ${cause}`,
    hint: "what was copied meanwhile is not to be trusted: see the process's log, then hold again, and copy again",
    isFinal: true,
  });
}

export function notQuiesced(
  member: string,
  activities: readonly string[],
  timeoutMs: number,
): StillpointError {
  return new StillpointError({
    code: 'fence-not-reached',
    message: `${member} did not come to rest in ${timeoutMs} ms: ${activities.join(', ') || 'it did not say what'}`,
    hint: 'end what it names, or wait for it, then try again',
  });
}

export function roleChanged(member: string): StillpointError {
  return new StillpointError({
    code: 'role-changed',
    message: `${member} changed its role during the checkpoint`,
    hint: 'a process took over from another; create the checkpoint again',
    isFinal: true,
  });
}

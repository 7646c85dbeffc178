import { status, type ServiceError } from '@grpc/grpc-js';
import { EXIT, StillpointError } from '../domain/errors.ts';

/** A call's status, as the contract of proto/participant.proto means it: code, and the remedy where it names none. */
const MEANINGS: Partial<Record<status, readonly [code: string, hint: string]>> = {
  [status.INVALID_ARGUMENT]: [
    'participant-invalid',
    'run versions of stillpoint and of the process that fit',
  ],
  [status.UNIMPLEMENTED]: [
    'participant-unsupported',
    "correct role in the agent file, or let the process serve the calls of its role (docs/participant.md, 'Calls by role')",
  ],
  [status.FAILED_PRECONDITION]: [
    'participant-wrong-state',
    'stillpoint grid status shows what is held; it ends by itself with its lease: try again then',
  ],
  [status.ABORTED]: [
    'participant-superseded',
    'a newer attempt or another operation has the process: wait for it',
  ],
  [status.RESOURCE_EXHAUSTED]: ['participant-no-space', "make room on the process's disk"],
  [status.UNAVAILABLE]: [
    'participant-unavailable',
    'it starts, stops or has lost its quorum, as its log says: wait, or start what it lacks, and try again',
  ],
  [status.DEADLINE_EXCEEDED]: [
    'participant-timeout',
    'the process hangs, or its host is overloaded: its log and top say which; restart it if it hangs',
  ],
};

const CONTRACT_HINT = 'run stillpoint-conformance against the process and report what it finds to its makers';

/** `answered`: the status is the process's own, and not what gRPC makes of a connection that failed. */
export function callFailure(input: {
  target: string;
  call: string;
  error: ServiceError;
  answered: boolean;
}): StillpointError {
  const { target, call, error, answered } = input;
  const lost = error.code === status.CANCELLED || (error.code === status.UNAVAILABLE && !answered);
  if (lost) return unreachable(target, error.details, error);
  const { fact, hint } = inParts(error.details);
  const meaning = MEANINGS[error.code];
  if (meaning === undefined) {
    return contractBroken(target, `${call} failed with ${status[error.code]}: ${fact}`, error);
  }
  const message = `the process at ${target} did not do ${call}: ${fact}`;
  return failure(meaning[0], message, hint ?? meaning[1], error);
}

export function unreachable(target: string, why: string, cause?: unknown): StillpointError {
  const message = `the process at ${target} cannot be reached: ${why}`;
  return failure(
    'participant-unreachable',
    message,
    'start it if it is down; where it runs, participant in the agent file must be the socket or address that it serves',
    cause,
  );
}

/** An answer that the contract does not allow: nothing is to be built on it. */
export function contractBroken(target: string, what: string, cause?: unknown): StillpointError {
  const message = `the process at ${target} does not keep the contract of participants: ${what}`;
  return failure('participant-contract', message, CONTRACT_HINT, cause);
}

export function unsafe(target: string, why: string, hint: string): StillpointError {
  return failure('participant-unsafe', `the process at ${target} is not called: ${why}`, hint);
}

function failure(code: string, message: string, hint: string, cause?: unknown): StillpointError {
  return new StillpointError({ code, message, hint }, EXIT.refused, { cause });
}

function inParts(details: string): { fact: string; hint: string | undefined } {
  const [, fact, hint] = /^(.*?)[;,.]?\s*hint:\s*(.*)$/s.exec(details) ?? [];
  return { fact: oneLine(fact ?? details), hint: hint === undefined ? undefined : oneLine(hint) };
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}

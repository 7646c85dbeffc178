import { EXIT, StillpointError, type Failure } from '../shared/domain/errors.ts';
import type { AgentResponse } from '../shared/domain/wire.ts';

/** What a connection to an agent may end with, besides what the agent says. */
export function silent(host: string, timeoutMs: number): StillpointError {
  return new StillpointError({
    code: 'agent-silent',
    message: `the agent on ${host} accepted the connection but said nothing for ${timeoutMs} ms`,
    hint: `look at the agent's log on ${host}: journalctl -u stillpoint-agent`,
    host,
  });
}

export function unanswered(host: string, what: string, timeoutMs: number): StillpointError {
  return new StillpointError(
    {
      code: 'agent-silent',
      message: `the agent on ${host} was asked to ${what} and has not answered in ${timeoutMs / 1000} s`,
      hint: `a member or a file system of ${host} hangs: journalctl -u stillpoint-agent there names it; end what hangs, and ask again`,
      host,
    },
    EXIT.refused,
  );
}

export function streamEnded(host: string): Failure {
  return {
    code: 'agent-lost',
    message: `the connection to the agent on ${host} ended`,
    hint: `look at the agent's log on ${host}: journalctl -u stillpoint-agent`,
    host,
  };
}

export function unexpected(response: AgentResponse, host: string): StillpointError {
  return new StillpointError({
    code: 'bad-message',
    message: `the agent on ${host} answered with '${response.type}', which was not asked for`,
    hint: 'run the same version of stillpoint everywhere',
    host,
  });
}

export function withoutTrace(host: string): StillpointError {
  return new StillpointError({
    code: 'agent-without-trace',
    message: `the agent on ${host} has noted no steps: it is of an older version`,
    hint: 'install the same version of stillpoint on every host',
    host,
  });
}

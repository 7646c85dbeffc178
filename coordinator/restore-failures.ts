import { EXIT, StillpointError, type Failure } from '../shared/domain/errors.ts';
import { refused } from './agents.ts';
import type { PlannedMember } from './planned-member.ts';
import type { RestorePlan } from './restore-plan.ts';

// How a restore as a whole fails; what its steps meet on a host is the agents' to say.

export function stillRunning(plan: RestorePlan, running: ReadonlySet<PlannedMember>): StillpointError {
  const [first] = running;
  const named = [...running].map((member) => `${member.name} on ${member.to.host}`);
  return new StillpointError(
    {
      code: 'member-running',
      message: `${named.join(', ')} still running`,
      hint: 'stop every process of the target grid first, or let --stop do it',
      ...(first !== undefined && { host: first.to.host, member: first.name }),
      phase: 'stop check',
      members: plan.members.map((member) => ({
        name: member.name,
        state: running.has(member) ? 'running' : 'stopped',
      })),
    },
    EXIT.refused,
  );
}

export function takenForDead(): StillpointError {
  return new StillpointError({
    code: 'repository-busy',
    message: 'this restore was silent for so long that the repository forgot it: what it read may be gone',
    hint: 'look at why the repository could not be written, then restore again',
  });
}

export function decidedForward(restoreId: string, failure: Failure): StillpointError {
  return new StillpointError({
    code: 'restored-not-open',
    message: `the restore is decided, and this command could not go on: ${failure.message}`,
    hint: `the agents go on by themselves; see to the end with: stillpoint restore --finish ${restoreId}`,
  });
}

export function refusedInPlan(error: unknown): never {
  const refusal = refused(error);
  throw new StillpointError({ ...refusal.failure, phase: 'plan' }, EXIT.refused, { cause: error });
}

export function repositoryDiffers(host: string, location: string): StillpointError {
  return new StillpointError(
    {
      code: 'repository-differs',
      message: `the agent on ${host} reads another repository than ${location}`,
      hint: 'let `repository` in its agent file name the same directory, mounted on every host',
      host,
      phase: 'plan',
    },
    EXIT.refused,
  );
}

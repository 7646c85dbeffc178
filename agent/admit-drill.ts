import { EXIT, StillpointError } from '../shared/domain/errors.ts';
import type { AgentMember } from './agent-member.ts';

/**
 * A drill works only where nothing is: in places that the agent's own file gives to drills, that are empty, and where
 * nothing runs or is left. So whatever it takes away again is its own.
 */
export async function admitDrill(member: AgentMember): Promise<void> {
  if (!member.mayDrill) {
    throw new StillpointError(
      {
        code: 'drill-not-allowed',
        message: `the agent file does not give the place of ${member.name} to drills`,
        hint: 'write `drill: true` for the member, or for the agent, in the agent file of a host that is there for drills',
        member: member.name,
      },
      EXIT.refused,
    );
  }
  await mustBeEmpty(member);
  const { left } = await member.engine.restorePlace();
  if (left !== null) throw occupied(member, 'an earlier restore or drill has left something there');
}

/** Rejects `drill-occupied` where a drill would touch what is not its own. */
export async function mustBeEmpty(member: AgentMember): Promise<void> {
  const { isOccupied } = await member.engine.restorePlace();
  if (isOccupied) throw occupied(member, 'its data directory is not empty');
  if (await member.engine.isRunning()) throw occupied(member, 'its process runs');
}

function occupied({ name }: AgentMember, why: string): StillpointError {
  return new StillpointError(
    {
      code: 'drill-occupied',
      message: `the place of ${name} is not free for a drill: ${why}`,
      hint: 'nothing was touched; drill onto members whose data directories are empty or absent, and whose processes do not run',
      member: name,
    },
    EXIT.refused,
  );
}

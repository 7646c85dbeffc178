import { EXIT, StillpointError } from '../shared/domain/errors.ts';
import type { MemberDescription } from '../shared/domain/grid.ts';
import type { GridManifestMember } from '../shared/domain/manifest.ts';
import type { PlannedMember } from './planned-member.ts';
import type { RestorePlan } from './restore-plan.ts';

/** What an agent that looks at a stopped member's files says where they are none of that engine's. */
const NOT_OF_THE_ENGINE = 'data-foreign';

/**
 * A restore replaces what lies in its targets. Whatever their files tell is held against the checkpoint: data of
 * another identity is another grid's, and is not taken away because an agent file names the wrong place. There is no
 * option that lifts this: who means it moves the directory away first. Rejects `target-holds-other`, exit code 3.
 */
export async function checkTargets(input: {
  plan: RestorePlan;
  described: readonly { readonly host: { readonly members: readonly MemberDescription[] } }[];
  identityOf: (source: GridManifestMember) => Promise<string>;
}): Promise<void> {
  const members = new Map(
    input.described.flatMap(({ host }) => host.members.map((member) => [member.name, member] as const)),
  );
  for (const planned of input.plan.members) {
    const description = members.get(planned.to.member);
    if (description === undefined) continue;
    const foreign = description.problems.find(({ code }) => code === NOT_OF_THE_ENGINE);
    if (foreign !== undefined) throw holdsOther(planned, foreign.message);
    if (description.dataIdentity === '' || description.traits.restoresRunning) continue;
    const captured = await input.identityOf(planned.source);
    if (captured === '' || captured === description.dataIdentity) continue;
    throw holdsOther(planned, `it has the data ${description.dataIdentity}; the checkpoint has ${captured}`);
  }
}

function holdsOther({ name, to }: PlannedMember, fact: string): StillpointError {
  return new StillpointError(
    {
      code: 'target-holds-other',
      message: `the target of ${name} on ${to.host} holds something else than what was captured: ${fact}`,
      hint: `correct \`data\` in the agent file on ${to.host}; where nobody needs what is there, move it away first: ${to.dataDirectory || 'its data directory'}`,
      host: to.host,
      member: to.member,
      phase: 'plan',
    },
    EXIT.refused,
  );
}

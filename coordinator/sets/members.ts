import { EXIT, StillpointError } from '../../shared/domain/errors.ts';
import type { MemberDescription } from '../../shared/domain/grid.ts';
import type { AgentConnection } from '../agents.ts';
import type { DescribedHost } from '../with-grid.ts';

/** A member that stores data, and the agent that has it. */
export interface StoringMember {
  readonly connection: AgentConnection;
  readonly host: string;
  readonly description: MemberDescription;
}

/** Everybody whose backup a set needs: who only shows what another stores is built from that. */
export function storingMembers(described: readonly DescribedHost[]): StoringMember[] {
  return described
    .flatMap(({ connection, host }) =>
      host.members.map((description) => ({ connection, host: host.host, description })),
    )
    .filter(({ description }) => isStoring(description));
}

function isStoring({ role, freezeKind, traits }: MemberDescription): boolean {
  return role === 'node' && freezeKind !== 'observer' && traits.copies !== 'nobody';
}

/** Rejects `unknown-member`, and `backup-not-needed` of one that stores nothing of its own. */
export function storingMember(described: readonly DescribedHost[], name: string): StoringMember {
  const found = storingMembers(described).find(({ description }) => description.name === name);
  if (found !== undefined) return found;
  const other = described.flatMap(({ host }) => host.members).find((member) => member.name === name);
  throw new StillpointError(
    other === undefined
      ? {
          code: 'unknown-member',
          message: `no agent of the grid has a member ${name}`,
          hint: 'stillpoint grid status shows every member',
          member: name,
        }
      : {
          code: 'backup-not-needed',
          message: `${name} stores nothing of its own: a restore builds it from another, or leaves it as it is`,
          hint: 'name the node whose data it shows; without a name, stillpoint set begin takes every node that stores data',
          member: name,
        },
    EXIT.refused,
  );
}

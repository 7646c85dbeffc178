import type { FreezeKind } from '../domain/grid.ts';
import type { Viewer, Viewing } from '../domain/viewing.ts';

/**
 * Whether everyone who can see is held.
 *
 * A cut is proven member by member: each says that its own fence held. That proves nothing about a copy which
 * gets the journal of a fenced member and shows what is in it: a client could read there what no member shows
 * yet, and write because of it. So the members say who streams from them, the observers say under which name
 * they stream themselves, and here the two are compared.
 *
 * Names alone would not do. A copy that nobody knows may bear the name of a held one (all standbys are
 * called `walreceiver` where nobody named them), and a member that was down when the checkpoint began may
 * have come up. So they are counted: an observer that takes part, and streams at the time, accounts for one
 * viewer of its name, at one member. Whoever is left over is held by nobody.
 *
 * Who is called blind is the operator's word: it shows nothing, and nobody streams from it who does. No member
 * could see such a one. Where the word is wrong for an observer (it is found at no member, and a blind one is
 * there to stream from), that is told. It is no proof: a stranger of the observer's name would stand in its place.
 */
export interface ViewedMember {
  readonly name: string;
  readonly kind: FreezeKind;
  /** Undefined: its engine hands its journal to nobody. */
  readonly viewing: Viewing | undefined;
}

/** A failure without its phase: the caller knows when it looked. */
export interface Unheld {
  readonly code: 'unheld-standby' | 'observer-astray' | 'logical-member' | 'logical-outside';
  readonly member: string;
  readonly cause: string;
  readonly hint: string;
}

/** The first viewer that no fence holds; null when all are. */
export function findUnheld(members: readonly ViewedMember[], allowLogical: boolean): Unheld | null {
  return findLogical(members, allowLogical) ?? findStandby(members);
}

function findStandby(members: readonly ViewedMember[]): Unheld | null {
  const held = new Map<string, ViewedMember[]>();
  for (const member of members) {
    const key = member.viewing?.streamsAs;
    if (member.kind !== 'observer' || key === undefined || key === null) continue;
    held.set(key, [...(held.get(key) ?? []), member]);
  }
  const standbys = viewersOf(members, 'standby');
  for (const { member, viewer } of standbys) {
    const observer = held.get(viewer.key)?.pop();
    if (observer === undefined && !viewer.isBlind) return unheldStandby(member.name, viewer);
  }
  if (!standbys.some(({ viewer }) => viewer.isBlind)) return null;
  const [astray] = [...held.values()].flat();
  return astray === undefined ? null : observerAstray(astray.name);
}

function findLogical(members: readonly ViewedMember[], allowLogical: boolean): Unheld | null {
  for (const { member, viewer } of viewersOf(members, 'logical')) {
    for (const other of members) {
      const subscription = other.viewing?.subscriptions.find(({ key }) => key === viewer.key);
      if (subscription === undefined) continue;
      const { name, publications } = subscription;
      return {
        code: 'logical-member',
        member: other.name,
        cause: `its subscription ${name} to publication ${publications.join(', ')} reads ${viewer.words} of ${member.name}, and applies commits that the fence of ${member.name} still hides`,
        hint: `on ${other.name}: ALTER SUBSCRIPTION ${name} DISABLE for the time of the checkpoint, or take one of the two out of the grid; where ${name} reads from another server, give its slot a name of its own`,
      };
    }
    if (allowLogical) continue;
    return {
      code: 'logical-outside',
      member: member.name,
      cause: `a consumer outside of the grid reads ${viewer.words}: it gets commits that the fence still hides`,
      hint: 'stop it, or create the checkpoint with --allow-logical where nothing that it gets comes back into the grid',
    };
  }
  return null;
}

function viewersOf(
  members: readonly ViewedMember[],
  kind: Viewer['kind'],
): { member: ViewedMember; viewer: Viewer }[] {
  return members.flatMap((member) =>
    (member.viewing?.viewers ?? [])
      .filter((viewer) => viewer.kind === kind)
      .map((viewer) => ({ member, viewer })),
  );
}

function unheldStandby(member: string, viewer: Viewer): Unheld {
  return {
    code: 'unheld-standby',
    member,
    cause: `${viewer.words} replays its journal and is not held: clients may read there what the fence still hides`,
    hint: `name that standby in the agent file of its host and wait until it streams, or stop it; where it serves no reads, add its application_name to withoutReads of ${member}`,
  };
}

function observerAstray(observer: string): Unheld {
  return {
    code: 'observer-astray',
    member: observer,
    cause: 'it streams its journal from a server that is no member, so nobody can tell it from a stranger',
    hint: 'let it stream from a member of the grid, or name the server in between in an agent file',
  };
}

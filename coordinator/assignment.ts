import type { Assignment } from '../shared/domain/assignment.ts';
import type { FreezeKind, MemberDescription } from '../shared/domain/grid.ts';
import type { Warning } from '../shared/domain/warning.ts';

/** A member as a preflight let it through: it runs, and takes part. */
export interface TakingPart {
  readonly host: string;
  readonly description: MemberDescription;
  readonly kind: FreezeKind;
  readonly assignment: Assignment;
  /** The lead of its domain, where that holds it. */
  readonly heldBy: string | null;
}

/** What one member does, and who holds it in its place; null where it is not held by another. */
export interface Assigned {
  readonly assignment: Assignment;
  readonly heldBy: string | null;
}

/**
 * Who holds and who copies, from what engines declare of their members. The members are those that run. A domain is held
 * by one lead for all of it: its primary, where one runs, else the first by name. What it shares the lead stores too,
 * where its engine says that one copy is enough.
 */
export function assign(members: readonly MemberDescription[]): ReadonlyMap<string, Assigned> {
  return new Map(members.map((member) => [member.name, assigned(member, leadOf(member, members))]));
}

function assigned({ name, traits }: MemberDescription, lead: string | null): Assigned {
  const copies = traits.copies === 'each' || (traits.copies === 'one' && (lead === null || lead === name));
  const part = copies ? 'whole' : 'none';
  if (lead === null) return { assignment: { hold: 'member', part }, heldBy: null };
  return lead === name
    ? { assignment: { hold: 'lead', part }, heldBy: null }
    : { assignment: { hold: 'none', part }, heldBy: lead };
}

/**
 * Null where nobody else could hold it: it is a domain by itself, or an observer, which stops showing what others have
 * and makes no mark. The word of a domain is its engine's: another engine's may be the same.
 */
function leadOf(member: MemberDescription, all: readonly MemberDescription[]): string | null {
  const { name, engine, traits, freezeKind } = member;
  if (traits.domain === name || freezeKind === 'observer') return null;
  const domain = all.filter(
    (one) => one.engine === engine && one.traits.domain === traits.domain && one.freezeKind !== 'observer',
  );
  const primary = domain.find((one) => one.primary);
  return (primary ?? domain.toSorted((a, b) => (a.name < b.name ? -1 : 1))[0])?.name ?? null;
}

/** Of members that are held still, and of which nothing is in the checkpoint: it does not bring them back by itself. */
export function notCopied(
  members: readonly MemberDescription[],
  assignments: ReadonlyMap<string, Assigned>,
): Warning[] {
  const held = members.filter(
    ({ name, freezeKind, traits }) =>
      freezeKind !== 'observer' &&
      traits.copies === 'nobody' &&
      assignments.get(name)?.assignment.hold !== 'none',
  );
  return held.map(({ name }) => ({
    code: 'member-not-copied',
    about: name,
    text: 'it is held still for the mark, and nothing of it is copied: this checkpoint does not bring it back',
    hint: 'keep a copy of your own that is of its mark, and put that back before a restore',
  }));
}

import type { MemberDescription } from '../shared/domain/grid.ts';
import type { GridManifest, GridManifestMember } from '../shared/domain/manifest.ts';

/** A group of members: a copyset, or all of a role. */
type Kind = Pick<GridManifestMember, 'role' | 'copyset'>;

/** Whose artifacts build a member. */
export interface Sources {
  readonly source: GridManifestMember;
  /** Its own artifacts besides, where the source is another. */
  readonly own: GridManifestMember | null;
  /** Is it to follow the source's target? */
  readonly follows: boolean;
}

/**
 * A member that stored something at the mark is built from that. What stored nothing of its own (a standby, a
 * satellite) or was down is built from the lead of its group; what its domain stored once, from the member that did; a
 * proxy that was down, from the realm service. Of one that nobody ever copies its own manifest says what stood at the
 * mark: its engine holds that against what its owner put back. Null where the checkpoint has nothing for it.
 */
export function sourcesOf(
  target: MemberDescription,
  own: GridManifestMember | null,
  manifest: GridManifest,
): Sources | null {
  if (own !== null && (hasData(own) || own.role === 'proxy'))
    return { source: own, own: null, follows: false };
  const kind = own ?? target;
  const source =
    copierOf(kind, manifest) ??
    leadOf(kind.role === 'proxy' ? REALM : kind, manifest) ??
    (own?.assignment.part !== 'none' || own.traits.copies === 'nobody' ? own : null);
  if (source === null) return null;
  if (source === own) return { source, own: null, follows: false };
  return { source, own, follows: kind.traits.standbys === 'follow' };
}

const REALM = { role: 'realm-service', copyset: null } as const;

/** The member that the others of its group take their data from: the primary, else any that has a mark. */
export function leadOf(of: Kind, manifest: GridManifest): GridManifestMember | undefined {
  const group = manifest.members.filter(
    (member) =>
      member.role === of.role && (member.role !== 'node' || member.copyset === of.copyset) && hasData(member),
  );
  return group.find(({ primary }) => primary) ?? group[0];
}

/** Who stored what all of a domain share. */
function copierOf(
  { engine, traits }: Pick<GridManifestMember, 'engine' | 'traits'>,
  { members }: GridManifest,
): GridManifestMember | undefined {
  if (traits.copies !== 'one') return undefined;
  return members.find((one) => one.engine === engine && one.traits.domain === traits.domain && hasData(one));
}

/** An observer is not held by others, and has no mark: what it stored is no more than its configuration. */
function hasData({ primary, mark, assignment }: GridManifestMember): boolean {
  return assignment.part !== 'none' && (primary || mark !== null || assignment.hold === 'none');
}

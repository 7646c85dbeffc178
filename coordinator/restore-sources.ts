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
 * proxy that was down, from the realm service. Of what nobody ever copies the manifest of who has its mark says what
 * stood there: its engine holds that against what its owner put back. Null where the checkpoint has nothing for it.
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
    (own?.assignment.part === 'whole' ? own : markerOf(kind, own, manifest));
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

/** Of what nobody copies: who has its mark, itself or the lead that held it. */
function markerOf(
  { engine, traits }: Pick<GridManifestMember, 'engine' | 'traits'>,
  own: GridManifestMember | null,
  { members }: GridManifest,
): GridManifestMember | null {
  if (traits.copies !== 'nobody') return null;
  if (own !== null && own.assignment.hold !== 'none') return own;
  const isLead = ({ assignment }: GridManifestMember): boolean => assignment.hold === 'lead';
  return (
    members.find((one) => one.engine === engine && one.traits.domain === traits.domain && isLead(one)) ?? null
  );
}

/** An observer is not held by others, and has no mark: what it stored is no more than its configuration. */
function hasData({ primary, mark, assignment }: GridManifestMember): boolean {
  return assignment.part === 'whole' && (primary || mark !== null || assignment.hold === 'none');
}

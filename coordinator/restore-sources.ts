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
 * satellite) or was down is built from the lead of its group; a proxy that was down, from the realm service.
 * Null where the checkpoint has nothing for it.
 */
export function sourcesOf(
  target: MemberDescription,
  own: GridManifestMember | null,
  manifest: GridManifest,
): Sources | null {
  if (own !== null && (own.primary || own.mark !== null || own.role === 'proxy'))
    return { source: own, own: null, follows: false };
  const kind = own ?? target;
  const source = leadOf(kind.role === 'proxy' ? REALM : kind, manifest) ?? own;
  if (source === null) return null;
  if (source === own) return { source, own: null, follows: false };
  return { source, own, follows: kind.traits.standbys === 'follow' };
}

const REALM = { role: 'realm-service', copyset: null } as const;

/** The member that the others of its group take their data from: the primary, else any that has a mark. */
export function leadOf(of: Kind, manifest: GridManifest): GridManifestMember | undefined {
  const group = manifest.members.filter(
    ({ role, copyset }) => role === of.role && (role !== 'node' || copyset === of.copyset),
  );
  return group.find(({ primary }) => primary) ?? group.find(({ mark }) => mark !== null);
}

import type { Approach, BackupSet } from '../../shared/domain/backup-set.ts';
import { EXIT, StillpointError, type Failure } from '../../shared/domain/errors.ts';
import type { HostDescription } from '../../shared/domain/grid.ts';
import { judge, type Hold } from '../../shared/domain/judge-set.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import type { PlannedMember } from '../planned-member.ts';
import { listed } from '../restore-check.ts';
import { planRestore, type RestorePlan, type RestorePlanInput } from '../restore-plan.ts';

/** A set, and what it is to be restored to. */
export interface SetToRestore {
  readonly set: BackupSet;
  readonly hold: Hold;
  /** Of those under which its members were copied, what nothing proves to have held. */
  readonly unproven: readonly string[];
}

/**
 * How the set is brought to its moment. Rejects `set-unfit`, exit code 3, with everything that is in the way. `seen`: what
 * agents found when they looked at images again.
 */
export function approachOf(
  { set, hold, unproven }: SetToRestore,
  seen: ReadonlyMap<string, Failure> = new Map(),
): Approach {
  const { approach, reasons } = judge(set, hold, { seen, unproven });
  if (approach === null) throw setUnfit({ set, hold }, reasons);
  return approach;
}

export function setUnfit(
  { set, hold }: Pick<SetToRestore, 'set' | 'hold'>,
  reasons: readonly Failure[],
): StillpointError {
  const [first] = reasons;
  return refuse({
    code: 'set-unfit',
    message: `set ${set.name} cannot be restored to ${hold.checkpoint}: ${listed(reasons.map(({ message }) => message))}`,
    hint: `${first?.hint ?? ''}; stillpoint set describe ${set.name} --for ${hold.checkpoint} has the remedy of each`,
    ...(first?.member !== undefined && { member: first.member }),
  });
}

/**
 * A set has the nodes that store data. What governs them in a realm would stay as it is now: it would know of rows and
 * of leads that are not there any more, and from its own last checkpoint it would be of another moment.
 */
function mustBeNodes(hosts: readonly HostDescription[]): void {
  for (const { host, members } of hosts)
    for (const { name, role } of members)
      if (role !== 'node')
        throw refuse({
          code: 'set-of-nodes',
          message: `${name} on ${host} is a ${role}: a set has nodes alone, and what belongs to them would stay as it is`,
          hint: 'restore a checkpoint of the whole grid (stillpoint checkpoint list); sets are for grids of nodes (realm: none in the grid file)',
          host,
          member: name,
        });
}

/**
 * The plan of a restore from a set: as if the operation that only held its members had copied them, each into its image.
 * Throws, exit code 3, with all that is in the way.
 */
export function planFromSet(input: RestorePlanInput, from: SetToRestore): RestorePlan {
  const approach = approachOf(from);
  mustBeNodes(input.hosts.map(({ host }) => host));
  const plan = planRestore({ ...input, manifest: asCopied(input.manifest, from.set) });
  // Of who only shows what another stores, nothing is stored.
  const members = plan.members.map((member) => ({
    ...member,
    own: null,
    image: imageOf(from.set, member, approach),
  }));
  return { ...plan, members };
}

function asCopied(manifest: GridManifest, { backups }: BackupSet): GridManifest {
  const copied = new Set(backups.map(({ member }) => member));
  return {
    ...manifest,
    members: manifest.members.map((member) =>
      copied.has(member.name)
        ? { ...member, assignment: { ...member.assignment, part: 'whole' as const } }
        : member,
    ),
  };
}

/** The image of the member that it is built from. */
function imageOf(
  { name: set, backups }: BackupSet,
  { source }: PlannedMember,
  approach: Approach,
): NonNullable<PlannedMember['image']> {
  const { ended = null, image = null } = backups.find(({ member }) => member === source.name) ?? {};
  if (ended === null || image === null)
    throw new Error(`set ${set} was judged to have an image of ${source.name}`);
  return { name: ended.image, reference: { set, digest: image.digest, approach } };
}

function refuse(failure: Failure): StillpointError {
  return new StillpointError({ ...failure, phase: 'plan' }, EXIT.refused);
}

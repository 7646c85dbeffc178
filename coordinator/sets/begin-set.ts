import type { BackupSet, Stamp } from '../../shared/domain/backup-set.ts';
import { EXIT, StillpointError } from '../../shared/domain/errors.ts';
import { NAME, NAME_RULE } from '../../shared/domain/name.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { repositoryDiffers } from '../restore-failures.ts';
import type { DescribedHost, GridAgents } from '../with-grid.ts';
import { storingMember, storingMembers, type StoringMember } from './members.ts';
import type { BegunReport } from './set-reports.ts';

export interface SetInput {
  readonly grid: string;
  readonly set: string;
  readonly repository: Repository;
  readonly agents: GridAgents;
}

/**
 * From now on these members are copied. None named: every one that stores data. All of them are looked at before one is
 * recorded, so that a set of members that are shut down says of all that they were so at one moment.
 */
export async function beginSet(input: SetInput, names: readonly string[]): Promise<BegunReport> {
  const { grid, set: name, repository } = input;
  checkSetName(name);
  const described = await describedHosts(input);
  const members =
    names.length === 0
      ? storingMembers(described)
      : [...new Set(names)].map((member) => storingMember(described, member));
  if (members.length === 0) throw nobodyStores(grid);
  const known = await setOrNone(repository, grid, name);
  const again = members.find(({ description }) =>
    known.backups.some(({ member }) => member === description.name),
  );
  if (again !== undefined) throw alreadyBegun(name, again.description.name);
  const stamped = await Promise.all(
    members.map(async (member) => ({
      ...member,
      stamp: await member.connection.stampMember(member.description.name),
    })),
  );
  for (const { description, stamp } of stamped)
    await repository.beginBackup(grid, name, description.name, stamp);
  return { set: name, grid, members: stamped.map(begunMember) };
}

function begunMember({
  description: { name },
  host,
  stamp,
}: StoringMember & { stamp: Stamp }): BegunReport['members'][number] {
  return { name, host, ...standing(stamp) };
}

/** As reports have it. */
export function standing({
  epoch,
  counter,
  heldBy,
  stoppedAs,
}: Stamp): Pick<BegunReport['members'][number], 'epoch' | 'counter' | 'heldBy' | 'running'> {
  return { epoch, counter, heldBy: heldBy?.checkpoint ?? null, running: stoppedAs === null };
}

/** Every host, if all use this repository: what an agent reads is stored there. */
export async function describedHosts({ agents, repository }: SetInput): Promise<DescribedHost[]> {
  const described = await agents.describe();
  const other = described.find(({ repositoryId }) => repositoryId !== repository.id);
  if (other !== undefined) throw repositoryDiffers(other.host.host, repository.location);
  return described;
}

/** What the repository has of the set, and an empty one where it has nothing. */
export async function setOrNone(repository: Repository, grid: string, name: string): Promise<BackupSet> {
  return repository.readSet(grid, name).catch((error: unknown) => {
    if (error instanceof StillpointError && error.failure.code === 'set-missing')
      return { grid, name, backups: [] };
    throw error;
  });
}

export function checkSetName(name: string): void {
  if (NAME.test(name)) return;
  throw new StillpointError({
    code: 'bad-name',
    message: `'${name}' cannot be the name of a set: it ${NAME_RULE}`,
    hint: 'use 1 to 64 of them, and begin with a letter or digit',
  });
}

function nobodyStores(grid: string): StillpointError {
  return new StillpointError(
    {
      code: 'no-members',
      message: `no member of grid ${grid} stores data`,
      hint: 'stillpoint grid status shows every member',
    },
    EXIT.refused,
  );
}

function alreadyBegun(set: string, member: string): StillpointError {
  return new StillpointError(
    {
      code: 'backup-recorded',
      message: `set ${set} has a backup of ${member} already`,
      hint: 'a set has one backup of each member and never changes: take another name for this one',
      member,
    },
    EXIT.refused,
  );
}

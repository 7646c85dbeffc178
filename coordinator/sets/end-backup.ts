import type { Backup, BackupSet, EndedBackup, ImageSummary } from '../../shared/domain/backup-set.ts';
import { EXIT, StillpointError } from '../../shared/domain/errors.ts';
import { IMAGE_NAME } from '../../shared/domain/name.ts';
import type { ProgressView } from '../progress.ts';
import type { DescribedHost } from '../with-grid.ts';
import { checkSetName, describedHosts, setOrNone, standing, type SetInput } from './begin-set.ts';
import { commitCold } from './cold-hold.ts';
import { storingMember, type StoringMember } from './members.ts';
import type { EndedReport, ImageReport } from './set-reports.ts';

export interface EndInput extends SetInput {
  readonly member: string;
  readonly image: string;
  /** `added`: a backup that nobody told the set of when it began. */
  readonly type: EndedBackup['type'];
  /** While it is held, the grid is not to wait until every byte of an image is read. */
  readonly readLater: boolean;
  readonly signal: AbortSignal;
  readonly progress: ProgressView;
}

/** The hosts of the grid, and what is recorded of the set. */
export interface SeenSet {
  readonly described: readonly DescribedHost[];
  readonly set: BackupSet;
}

/** Once for all backups that end together: an agent is not asked for all its members by each of them. */
export async function seeSet(input: SetInput): Promise<SeenSet> {
  const described = await describedHosts(input);
  return { described, set: await setOrNone(input.repository, input.grid, input.set) };
}

/**
 * A backup has ended. How the member's host stands is recorded before anything else; then its agent reads the image. Told
 * again, it does what is left of that.
 */
export async function endBackup(input: EndInput): Promise<EndedReport> {
  checkSetName(input.set);
  checkImageName(input.image);
  return endSeen(input, await seeSet(input));
}

/** The same, of a set that was looked at. */
export async function endSeen(input: EndInput, { described, set }: SeenSet): Promise<EndedReport> {
  const { grid, set: name, member: memberName, image } = input;
  const member = storingMember(described, memberName);
  const backup = set.backups.find((one) => one.member === memberName) ?? null;
  mustBeAlike(input, backup);
  const ended = backup?.ended ?? (await recordEnd(input, member, set));
  const read = backup?.image ?? (input.readLater ? null : await readImage(input, member));
  const cold = read === null ? null : await commitCold(input, described);
  return {
    set: name,
    grid,
    member: memberName,
    host: member.host,
    image,
    ...standing(ended.stamp),
    read: read === null ? null : imageReport(ended.image, read),
    cold,
  };
}

async function recordEnd(
  { grid, set: name, repository, image, type }: EndInput,
  { connection, description }: StoringMember,
  set: BackupSet,
): Promise<EndedBackup> {
  const stamp = await connection.stampMember(description.name);
  const begunBefore = set.backups.filter(({ begun }) => begun !== null).map(({ member }) => member);
  const ended: EndedBackup = { type, image, stamp, begunBefore };
  await repository.endBackup(grid, name, description.name, ended);
  return ended;
}

async function readImage(
  { grid, set, repository, image, progress }: EndInput,
  { connection, description: { name, sizeBytes } }: StoringMember,
): Promise<ImageSummary> {
  progress.phase(null, 'read', `image ${image} of ${name}`);
  // How much there is to read nobody knows before.
  connection.events.progressed = ({ bytesDone }) =>
    progress.bytes(name, bytesDone, Math.max(sizeBytes, bytesDone + 1));
  const summary = await connection.readImage(set, name, image);
  await repository.recordImage(grid, set, name, summary);
  return summary;
}

export function imageReport(name: string, image: ImageSummary): ImageReport {
  const { digest, files, sizeBytes, firstJournalFile, journalFiles } = image;
  return { name, digest, files, sizeBytes, firstJournalFile, journalFiles };
}

function mustBeAlike({ set, member, image, type }: EndInput, backup: Backup | null): void {
  if (type === 'ended' && (backup === null || (backup.begun === null && backup.ended === null)))
    throw notBegun(set, member, image);
  const before = backup?.ended ?? null;
  if (backup === null || (type === 'ended' && before === null)) return;
  if (before !== null && before.type === type && before.image === image) return;
  throw recorded(set, member, before === null ? 'has begun' : `ended as image ${before.image}`);
}

export function checkImageName(image: string): void {
  if (IMAGE_NAME.test(image)) return;
  throw new StillpointError({
    code: 'bad-name',
    message: `'${image}' cannot be the name of an image`,
    hint: 'give its name below the directory that the agent file of its host names (images: DIR): no path leads out of it',
  });
}

function notBegun(set: string, member: string, image: string): StillpointError {
  return new StillpointError(
    {
      code: 'backup-not-begun',
      message: `set ${set} knows of no begin of a backup of ${member}`,
      hint: `say stillpoint set begin ${set} ${member} before it is copied; one that was made already is told by stillpoint set add ${set} ${member} --image ${image}`,
      member,
    },
    EXIT.refused,
  );
}

function recorded(set: string, member: string, fact: string): StillpointError {
  return new StillpointError(
    {
      code: 'backup-recorded',
      message: `set ${set}: the backup of ${member} ${fact} already`,
      hint: 'a set has one backup of each member and never changes: take another name for this one',
      member,
    },
    EXIT.refused,
  );
}

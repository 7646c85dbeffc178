import { EXIT, StillpointError, type Phase } from '../shared/domain/errors.ts';
import type { GridManifest } from '../shared/domain/manifest.ts';
import type { RestoreRoom } from '../shared/domain/wire.ts';
import type { Repository } from '../shared/repository/repository.ts';
import type { PlannedMember } from './planned-member.ts';

const MOST_LISTED = 20;

/** For one message: the first of them, and how many more there are. */
export function listed(lines: readonly string[]): string {
  const more = lines.length > MOST_LISTED ? `; and ${lines.length - MOST_LISTED} more` : '';
  return lines.slice(0, MOST_LISTED).join('; ') + more;
}

/**
 * Rejects `checkpoint-damaged` (exit code 6), naming files and members, unless what a restore would read is sound.
 * `sizes` costs a look at each chunk; `bytes` reads all of it, as staging does once more.
 */
export async function checkRestorable(input: {
  repository: Repository;
  manifest: GridManifest;
  depth: 'sizes' | 'bytes';
  phase: Phase;
  progress: (bytesDone: number, bytesTotal: number) => void;
}): Promise<void> {
  const { repository, manifest, depth, phase, progress } = input;
  const { grid, checkpoint } = manifest;
  const damage = await repository.verify(grid, checkpoint, progress, depth);
  const [first] = damage;
  if (first === undefined) return;
  const named = damage.map(({ member, file, cause }) => `${member ?? 'grid'}: ${file}: ${cause}`);
  throw new StillpointError(
    {
      code: 'checkpoint-damaged',
      message: `${checkpoint} is damaged: ${listed(named)}`,
      hint: `no host was touched; restore another checkpoint, and see all damage with stillpoint checkpoint verify ${checkpoint}`,
      phase,
      ...(first.member !== null && { member: first.member }),
    },
    EXIT.invalid,
  );
}

/** Rejects `restore-no-room` where old and new do not fit side by side: members of one host share its disks. */
export function checkRooms(
  found: readonly { readonly member: PlannedMember; readonly rooms: readonly RestoreRoom[] }[],
): void {
  const disks = new Map<string, { member: PlannedMember; path: string; needed: number; free: number }>();
  for (const { member, rooms } of found) {
    for (const { fileSystem, path, neededBytes, freeBytes } of rooms) {
      const key = `${member.to.agent} ${fileSystem}`;
      const disk = disks.get(key) ?? { member, path, needed: 0, free: freeBytes };
      disk.needed += neededBytes;
      disk.free = Math.min(disk.free, freeBytes);
      disks.set(key, disk);
    }
  }
  const short = [...disks.values()].find(({ needed, free }) => needed > free);
  if (short === undefined) return;
  const { member, path, needed, free } = short;
  throw new StillpointError(
    {
      code: 'restore-no-room',
      message: `the disk of ${path} on ${member.to.host} has ${free} bytes free, and the restore needs ${needed}`,
      hint: 'old and new stand side by side until the restore is decided: make room for both',
      host: member.to.host,
      member: member.name,
      phase: 'plan',
    },
    EXIT.refused,
  );
}

import { EXIT, StillpointError, type Phase } from '../shared/domain/errors.ts';
import type { GridManifest } from '../shared/domain/manifest.ts';
import type { Repository } from '../shared/repository/repository.ts';

const MOST_NAMED = 20;

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
  const more = named.length > MOST_NAMED ? `; and ${named.length - MOST_NAMED} more` : '';
  throw new StillpointError(
    {
      code: 'checkpoint-damaged',
      message: `${checkpoint} is damaged: ${named.slice(0, MOST_NAMED).join('; ')}${more}`,
      hint: `no host was touched; restore another checkpoint, and see all damage with stillpoint checkpoint verify ${checkpoint}`,
      phase,
      ...(first.member !== null && { member: first.member }),
    },
    EXIT.invalid,
  );
}

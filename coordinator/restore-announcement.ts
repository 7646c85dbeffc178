import type { GridManifest } from '../shared/domain/manifest.ts';
import type { OperationLease, Repository } from '../shared/repository/repository.ts';
import { refusedInPlan } from './restore-failures.ts';
import type { RestorePlan } from './restore-plan.ts';
import { withRepositoryLease } from './with-grid.ts';

/**
 * In the repository before anything is on a host: what a restore reads stays there, and only there it is decided. What
 * is announced is all that agents need to end it when its coordinator is gone.
 */
export async function whileAnnounced<T>(
  restore: {
    readonly repository: Repository;
    readonly manifest: Pick<GridManifest, 'grid' | 'checkpoint'>;
    readonly plan: Pick<RestorePlan, 'members'>;
    readonly restoreId: string;
    readonly lineage: string;
  },
  work: (lease: OperationLease) => Promise<T>,
): Promise<T> {
  const { repository, plan, restoreId, lineage } = restore;
  const { grid, checkpoint } = restore.manifest;
  return withRepositoryLease(
    repository,
    { grid, id: restoreId, holder: `the restore of ${checkpoint}`, reads: checkpoint },
    async (lease) => {
      const hosts = [...new Set(plan.members.map(({ to }) => to.host))];
      await repository.announceRestore(grid, restoreId, { checkpoint, hosts, lineage }).catch(refusedInPlan);
      return work(lease);
    },
    refusedInPlan,
  );
}

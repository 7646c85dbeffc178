import type { GridManifest } from '../shared/domain/manifest.ts';
import type { OperationLease, Repository } from '../shared/repository/repository.ts';
import { refusedInPlan } from './restore-failures.ts';
import type { RestorePlan } from './restore-plan.ts';

const REFRESH_MS = 30_000;

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
  const holder = `the restore of ${checkpoint}`;
  const lease = await repository
    .beginOperation({ grid, id: restoreId, holder, reads: checkpoint })
    .catch(refusedInPlan);
  const refreshing = setInterval(() => void lease.refresh().catch(() => undefined), REFRESH_MS);
  try {
    const hosts = [...new Set(plan.members.map(({ to }) => to.host))];
    await repository.announceRestore(grid, restoreId, { checkpoint, hosts, lineage }).catch(refusedInPlan);
    return await work(lease);
  } finally {
    clearInterval(refreshing);
    await lease.end().catch(() => undefined);
  }
}

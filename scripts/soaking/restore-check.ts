import type { RestoreReport } from '../../coordinator/reports.ts';
import { checkOrder } from '../../test/lab/causal-clients.ts';
import { differingRows, postgresShards } from '../../test/lab/shards.ts';
import { expectDone } from './catalogue.ts';
import type { SoakLab } from './lab.ts';

/**
 * Restores a checkpoint to other hosts, holds it against what the clients saw, and removes what was restored.
 * Returns what is wrong with it, in words; rejects when it cannot be restored.
 */
export async function restoreFindings(
  lab: SoakLab,
  checkpoint: string,
  acknowledgedBefore: number,
): Promise<string[]> {
  const { other, maps } = await lab.other();
  try {
    const args = ['restore', checkpoint, ...maps, '--yes', '--output', 'json', '--quiet'];
    const { verified } = expectDone(await other.run(args)).json as RestoreReport;
    const shards = postgresShards(other.primaries.map(({ server }) => server.url));
    const { missing, withoutCause, found } = await checkOrder(shards, lab.clients.writes, acknowledgedBefore);
    const standbys = other.members.filter(({ standby }) => standby);
    let differing = 0;
    for (const { copyset, server } of standbys) {
      const primary = other.primaries.find((one) => one.copyset === copyset);
      if (primary !== undefined) differing += await differingRows(primary.server, server);
    }
    const wrong: [boolean, string][] = [
      [!verified, 'the restore says that it is not verified'],
      [found === 0, 'the restored servers have no rows'],
      [missing > 0, `${missing} writes acknowledged before the checkpoint are missing`],
      [withoutCause > 0, `${withoutCause} times a B is there without its A`],
      [differing > 0, `${differing} rows differ between a primary and its standby`],
    ];
    return wrong.flatMap(([isWrong, text]) => (isWrong ? [text] : []));
  } finally {
    await other.close();
  }
}

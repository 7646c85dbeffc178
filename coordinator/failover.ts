import { parseCheckpointId } from '../shared/domain/checkpoint-id.ts';
import { EXIT, failureOf, StillpointError } from '../shared/domain/errors.ts';
import { EVERYTHING, type Repository } from '../shared/repository/repository.ts';
import { throwRefused } from './agents.ts';
import type { Cancellation } from './cancellation.ts';
import { planFailover } from './failover-plan.ts';
import type { GridFile } from './grid-file.ts';
import { checkBelonging } from './preflight.ts';
import type { ProgressView } from './progress.ts';
import type { FailoverReport } from './reports.ts';
import { type GridAgents, withAgents, withRepository } from './with-grid.ts';

export interface FailoverInput {
  readonly gridFile: GridFile;
  readonly cancellation: Cancellation;
  readonly progress: ProgressView;
}

/**
 * Raises the epoch after a disaster-recovery failover to this grid: checkpoints of the grid that was lost can
 * never be taken for later than those of this one. Durable in the repository first, then at every agent, so
 * that after a crash in between the same epoch is raised to the end, and not another one.
 */
export async function failOver(input: FailoverInput): Promise<FailoverReport> {
  const { gridFile, cancellation } = input;
  input.progress.phase(null, 'preflight');
  return withRepository(gridFile.repository, cancellation.signal, (repository) =>
    withAgents(gridFile, cancellation.signal, async (agents) => {
      await agents.claim('checkpoint').catch(throwRefused);
      return raise(input, repository, agents);
    }),
  );
}

async function raise(
  { gridFile, cancellation, progress }: FailoverInput,
  repository: Repository,
  agents: GridAgents,
): Promise<FailoverReport> {
  const { grid } = gridFile;
  const described = await agents.describe().catch(throwRefused);
  checkBelonging({ grid, hosts: described, repositoryId: repository.id });
  const { epoch } = planFailover({
    hosts: described.map(({ host }) => host),
    realm: gridFile.realm ?? null,
    repository: await repository.highestNumber(grid),
    usedEpoch: await usedEpoch(repository, grid),
  });
  cancellation.signal.throwIfAborted();
  progress.phase(null, 'failover', `epoch ${epoch}`);
  await repository.raiseEpoch(grid, epoch);
  await Promise.all(agents.connections.map((connection) => connection.raiseEpoch(epoch))).catch(cutShort);
  return { grid, epoch };
}

async function usedEpoch(repository: Repository, grid: string): Promise<number> {
  const entries = await repository.list(grid, EVERYTHING);
  return Math.max(0, ...entries.map(({ checkpoint }) => parseCheckpointId(checkpoint)?.epoch ?? 0));
}

/** The epoch stands in the repository: whatever comes next is in it. */
function cutShort(error: unknown): never {
  const failure = failureOf(error, { code: 'agent-failed', hint: "see the agent's log" });
  const hint = `${failure.hint}; then run it again: it goes on in the same epoch`;
  throw new StillpointError({ ...failure, hint }, EXIT.aborted, { cause: error });
}

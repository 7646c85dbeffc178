import { EXIT, failureOf, StillpointError } from '../shared/domain/errors.ts';
import type { Repository, RestoreOutcome } from '../shared/repository/repository.ts';
import { decideAnnounced, undecided } from '../shared/repository/restore-decision.ts';
import type { Cancellation } from './cancellation.ts';
import type { GridFile } from './grid-file.ts';
import type { ProgressView } from './progress.ts';
import { withAgents } from './with-grid.ts';

export interface FinishedRestore {
  readonly restore: string;
  readonly grid: string;
  readonly checkpoint: string;
  readonly outcome: RestoreOutcome;
  readonly members: readonly { readonly name: string; readonly state: 'ended' }[];
}

/**
 * Ends a restore whose command is gone: reads what was decided, decides `rolledBack` where nothing was, and has every
 * agent carry it out. Rejects `restore-undecided` (exit code 8) where it cannot be read, `restored-not-open` (6) where
 * members of a restored grid do not start.
 */
export async function finishRestore(input: {
  readonly gridFile: GridFile;
  readonly repository: Repository;
  readonly restoreId: string;
  /** What is decided where nothing was: a drill that was kept may go forward. */
  readonly undecided?: RestoreOutcome;
  readonly cancellation: Cancellation;
  readonly progress: ProgressView;
}): Promise<FinishedRestore> {
  const { gridFile, repository, restoreId, cancellation, progress } = input;
  const { grid } = gridFile;
  const announced = await repository.readRestore(grid, restoreId).catch((error: unknown) => {
    throw undecided(restoreId, failureOf(error, { code: '', hint: '' }).message, error);
  });
  if (announced === null) throw undecided(restoreId, `${repository.location} does not know of it`);
  return withAgents(gridFile, cancellation.signal, async (agents) => {
    const described = await agents.describe();
    const elsewhere = announced.hosts.filter((name) => !described.some(({ host }) => host.host === name));
    if (elsewhere.length > 0) throw ofOtherHosts(restoreId, elsewhere);
    // A command that still lives has the grid: then there is nothing to end.
    await agents.claim('restore');
    const { outcome } = await decideAnnounced(
      repository,
      { grid, restoreId, repositoryId: repository.id },
      input.undecided ?? 'rolledBack',
    );
    const parts = described.flatMap(({ connection, host }) =>
      host.members.map(({ name }) => ({ name, host: host.host, connection })),
    );
    const results = await Promise.allSettled(
      parts.map(async ({ name, connection }) => {
        progress.phase(name, outcome === 'restored' ? 'open' : 'rollBack');
        await connection.restore(name, { type: 'end', restoreId });
      }),
    );
    const failed = results.flatMap((result, index) => {
      const part = parts[index];
      if (result.status === 'fulfilled' || part === undefined) return [];
      return [{ ...part, failure: failureOf(result.reason, { code: 'finish', hint: '' }) }];
    });
    const [first] = failed;
    if (first === undefined) {
      const members = parts.map(({ name }) => ({ name, state: 'ended' as const }));
      return { restore: restoreId, grid, checkpoint: announced.checkpoint, outcome, members };
    }
    if (first.failure.code === 'restore-undecided')
      throw new StillpointError({ ...first.failure, host: first.host, member: first.name }, EXIT.undecided);
    throw new StillpointError(
      {
        code: outcome === 'restored' ? 'restored-not-open' : 'restore-unfinished',
        message: `the restore is decided (${outcome}), and not ended everywhere: ${failed.map(({ name, failure }) => `${name}: ${failure.message}`).join('; ')}`,
        hint: `${first.failure.hint}; agents go on trying, and stillpoint restore --finish ${restoreId} asks them again`,
        host: first.host,
        member: first.name,
      },
      outcome === 'restored' ? EXIT.invalid : EXIT.rolledBack,
    );
  });
}

/** A copy has a grid file of its own: what other hosts say of its restore would be true of none of its members. */
function ofOtherHosts(restoreId: string, hosts: readonly string[]): StillpointError {
  return new StillpointError(
    {
      code: 'restore-elsewhere',
      message: `restore ${restoreId} is of ${hosts.join(', ')} too, and the grid file does not name them`,
      hint: 'give the grid file that the restore was started with (--grid FILE)',
    },
    EXIT.refused,
  );
}

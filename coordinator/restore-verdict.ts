import { StillpointError } from '../shared/domain/errors.ts';
import { decideAnnounced } from '../shared/repository/restore-decision.ts';
import type { Repository, RestoreOutcome } from '../shared/repository/repository.ts';

const PATIENCE_MS = 30_000;
const FIRST_PAUSE_MS = 250;

export interface AnnouncedRestore {
  readonly grid: string;
  readonly restoreId: string;
  readonly repositoryId: string;
}

/**
 * The decision of one restore, as its coordinator sees it. Only this coordinator writes `restored`; so until it tried
 * to, the restore can only go back, whatever the repository says to others. Once it tried, what stands is what the
 * repository says, and while that cannot be read nothing is known.
 */
export class RestoreVerdict {
  readonly #repository: Repository;
  readonly #restore: AnnouncedRestore;
  #triedForward = false;

  constructor(repository: Repository, restore: AnnouncedRestore) {
    this.#repository = repository;
    this.#restore = restore;
  }

  /** The point of no return: the first decision stands, and every agent obeys it. Rejects `restore-undecided`. */
  async forward(waiting: (cause: string) => void, impatient: AbortSignal): Promise<RestoreOutcome> {
    this.#triedForward = true;
    const until = performance.now() + PATIENCE_MS;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs *= 2) {
      try {
        return await this.#decide('restored');
      } catch (error) {
        if (!(error instanceof StillpointError)) throw error;
        if (impatient.aborted || performance.now() + pauseMs > until) throw error;
        waiting(error.failure.message);
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }

  /** What everybody is to be told after a failure. Rejects `restore-undecided` where nobody may be told anything. */
  async afterFailure(): Promise<RestoreOutcome> {
    if (this.#triedForward) return this.#decide('rolledBack');
    // Written for agents that cannot be reached now; the others need not wait for it.
    return this.#decide('rolledBack').catch(() => 'rolledBack' as const);
  }

  async #decide(outcome: RestoreOutcome): Promise<RestoreOutcome> {
    return (await decideAnnounced(this.#repository, this.#restore, outcome)).outcome;
  }
}

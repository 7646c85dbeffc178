import type { HoldEnding } from '../../../shared/domain/participant.ts';
import type { Suspension } from '../../../shared/domain/messages.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { WriteSuspension } from '../engine.ts';
import { RESTARTED, type Operation } from './operation.ts';

/**
 * A node's write daemon waits, and its database files are durable and at rest, for as long as its operator copies them.
 * `updatesWaitAfterMs`: so long its clients go on in memory; 0: no time lets them wait.
 */
export class NodeSuspension implements WriteSuspension {
  readonly #operation: Operation;
  readonly #updatesWaitAfterMs: number;
  #firstJournalFile: string | null = null;

  constructor(operation: Operation, updatesWaitAfterMs: number) {
    this.#operation = operation;
    this.#updatesWaitAfterMs = updatesWaitAfterMs;
  }

  /** The first that the database files need; null before they are at rest. */
  get firstJournalFile(): string | null {
    return this.#firstJournalFile;
  }

  suspend(): Promise<void> {
    return this.#operation.calls.run(() => this.begin());
  }

  resume(): Promise<Suspension> {
    return this.#operation.calls.run(() => this.end());
  }

  /** As `suspend`, within a call of the hold. */
  async begin(): Promise<void> {
    const { participant, lease } = this.#operation;
    const updatesWaitAfterMs = this.#updatesWaitAfterMs;
    const { incarnation, firstJournalFile } = await participant.suspendWriting({
      ...lease,
      updatesWaitAfterMs,
    });
    this.#operation.mustBeSame(incarnation);
    this.#firstJournalFile = firstJournalFile;
    this.#operation.awaits('writingSuspended');
  }

  /** As `resume`, within a call of the hold. A process that is gone suspends nothing, and one that came anew never did. */
  async end(): Promise<Suspension> {
    const { participant, lease } = this.#operation;
    this.#operation.awaitsNoMore('writingSuspended');
    let ending: HoldEnding;
    try {
      ending = await participant.resumeWriting({ ...lease, retainJournal: false });
    } catch (error) {
      if (!(error instanceof StillpointError)) throw error;
      const cause = await this.#operation.whyOver();
      if (cause === null) throw error;
      return { held: false, cause };
    }
    if (!this.#operation.isSame(ending.incarnation)) return { held: false, cause: RESTARTED };
    if (ending.held) return { held: true };
    return { held: false, cause: ending.cause || 'it says that it had resumed writing before' };
  }
}

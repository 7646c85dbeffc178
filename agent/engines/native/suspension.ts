import type { HoldEnding } from '../../../shared/domain/participant.ts';
import type { Suspension } from '../../../shared/domain/messages.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { WriteSuspension } from '../engine.ts';
import { withParticipant } from './link.ts';
import { isProcessRunning } from './native-process.ts';
import type { Operation } from './operation.ts';
import type { NativeSettings } from './settings.ts';

/**
 * A node's write daemon waits, and its database files are durable and at rest, for as long as its operator copies them.
 * `updatesWaitAfterMs`: so long its clients go on in memory; 0: no time lets them wait.
 */
export class NodeSuspension implements WriteSuspension {
  readonly #settings: NativeSettings;
  readonly #operation: Operation;
  readonly #updatesWaitAfterMs: number;
  #firstJournalFile: string | null = null;

  constructor(settings: NativeSettings, operation: Operation, updatesWaitAfterMs: number) {
    this.#settings = settings;
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
      const cause = await this.#whyOver();
      if (cause === null) throw error;
      return { held: false, cause };
    }
    if (!this.#operation.isSame(ending.incarnation)) return { held: false, cause: RESTARTED };
    if (ending.held) return { held: true };
    return { held: false, cause: ending.cause || 'it says that it had resumed writing before' };
  }

  /** Null where the process may still be the one that was asked to suspend. */
  async #whyOver(): Promise<string | null> {
    try {
      const { incarnation, recovering } = await withParticipant(this.#settings, (participant) =>
        participant.describe(),
      );
      if (this.#operation.isSame(incarnation)) return null;
      return recovering === null ? RESTARTED : `${RESTARTED}, and is recovering: ${recovering}`;
    } catch (error) {
      if (error instanceof StillpointError && !(await isProcessRunning(this.#settings)))
        return 'it does not run any more: it was stopped, or it crashed';
      return null;
    }
  }
}

const RESTARTED = 'it was restarted meanwhile';

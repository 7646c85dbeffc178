import type { Client } from 'pg';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { JournalContext } from '../../engine.ts';
import { storeHistories } from '../copy/collect.ts';
import { JournalReceiver } from './journal-receiver.ts';
import { JournalSlot } from './journal-slot.ts';
import { JournalStore } from './journal-store.ts';
import type { Lsn } from './lsn.ts';
import type { ServerFacts } from '../server/server-facts.ts';
import { settledInTime } from '../server/wait-until.ts';
import type { PostgresSettings } from '../settings.ts';

/** For a session to answer, or to be known as lost. */
const ASK_MS = 2000;

/**
 * The journal of one checkpoint, on its way: the server keeps what was not received (the slot), the spool what is not
 * in the repository yet (receiver and store). Each moves on with the next, so that nothing grows with time.
 */
export class ReceivedJournal {
  readonly receiver: JournalReceiver;
  readonly store: JournalStore;
  readonly #slot: JournalSlot;
  readonly #context: Pick<JournalContext, 'artifacts'>;

  private constructor(
    slot: JournalSlot,
    receiver: JournalReceiver,
    store: JournalStore,
    context: Pick<JournalContext, 'artifacts'>,
  ) {
    this.#slot = slot;
    this.receiver = receiver;
    this.store = store;
    this.#context = context;
  }

  /** `lost` is called when any of it is, before `open` resolves or later; `release` is then the caller's. */
  static async open(input: {
    settings: PostgresSettings;
    facts: ServerFacts;
    context: Pick<JournalContext, 'artifacts' | 'spoolDirectory'>;
    signal: AbortSignal;
    lost: (error: unknown) => void;
  }): Promise<ReceivedJournal> {
    const { settings, facts, context, signal, lost } = input;
    const slot = await JournalSlot.open({ settings, mostBytes: settings.copy.mostJournal, lost });
    try {
      signal.throwIfAborted();
      let store: JournalStore | null = null;
      const early: bigint[] = [];
      const receiver = await JournalReceiver.start({
        settings,
        directory: context.spoolDirectory,
        segmentBytes: facts.walSegmentSizeBytes,
        filled: (segment) => (store === null ? early.push(segment) : store.filled(segment)),
        lost: (error) => void causeOf(slot, error).then(lost),
      });
      store = new JournalStore({
        artifacts: context.artifacts,
        files: receiver,
        from: receiver.start,
        serverVersion: facts.serverVersion,
        keepsPrepared: facts.maxPrepared > 0,
        failed: lost,
      });
      for (const segment of early) store.filled(segment);
      slot.follow(() => receiver.written);
      return new ReceivedJournal(slot, receiver, store, context);
    } catch (error) {
      slot.close();
      throw error;
    }
  }

  /** From now on files stay in the spool: the mark will be in one that is not complete yet, and its proof behind it. */
  hold(): void {
    this.store.keepFrom(this.receiver.written);
  }

  /** Everything up to the mark is stored. Nothing behind it is needed, so the server keeps nothing any more. */
  async finish(mark: Lsn): Promise<void> {
    await this.receiver.reached(mark);
    this.#slot.close();
    await this.receiver.stop();
    await this.store.finish(mark);
    await storeHistories(this.#context.artifacts, this.receiver.histories);
  }

  /** What it costs the server ends at once; resolves when nothing of it is under way here either. Idempotent. */
  async release(): Promise<void> {
    this.#slot.close();
    this.store.stop();
    await this.receiver.stop();
  }
}

/** Of a stream that was lost, and not of a disk of ours that is full; as it was told where the server does not say soon. */
async function causeOf(slot: JournalSlot, error: Error): Promise<Error> {
  if (!(error instanceof StillpointError) || error.failure.code !== 'journal-lost') return error;
  return await settledInTime('the state of the slot', slot.causeOf(error), ASK_MS).catch(() => error);
}

/** Why a session of ours has ended; null where it has not, or nobody can tell soon. */
export async function serverGone(control: Client | null): Promise<unknown> {
  const late = new Promise<null>((resolve) => setTimeout(resolve, ASK_MS, null).unref());
  const asked = control?.query('SELECT').then(
    () => null,
    (error: unknown) => error,
  );
  return Promise.race([asked ?? null, late]);
}

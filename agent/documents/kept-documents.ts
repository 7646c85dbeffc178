import type { KeptDocument, Status } from '../../shared/documents/document.ts';
import type { Logger } from '../../shared/runtime/log.ts';
import { DocumentStore, referenceOf, type Reference } from './document-store.ts';
import type { LogPart } from './documents.ts';

interface KeeperContext {
  /** The agent's state directory. */
  readonly state: string;
  readonly log: Logger;
  readonly now: () => Date;
}

/** The documents of an agent as they are now, each as it lies on the disk, with its log. */
export class KeptDocuments {
  readonly #context: KeeperContext;
  readonly store: DocumentStore;
  readonly #kept: Map<Reference, KeptDocument>;
  #changing: Promise<unknown> = Promise.resolve();

  private constructor(context: KeeperContext, store: DocumentStore, kept: readonly KeptDocument[]) {
    this.#context = context;
    this.store = store;
    this.#kept = new Map(kept.map((one) => [referenceOf(one), one]));
  }

  /** With what an earlier agent has left. Rejects `agent-state-damaged`. */
  static async open(context: KeeperContext): Promise<KeptDocuments> {
    const store = await DocumentStore.open(context.state);
    return new KeptDocuments(context, store, await store.all());
  }

  get size(): number {
    return this.#kept.size;
  }

  all(): KeptDocument[] {
    return [...this.#kept.values()];
  }

  get(reference: Reference): KeptDocument | undefined {
    return this.#kept.get(reference);
  }

  /** Durable on return. */
  async add(document: KeptDocument): Promise<void> {
    await this.store.save(document);
    this.#kept.set(referenceOf(document), document);
  }

  /** One after the other; told when it is on disk, or cannot be. One that is gone meanwhile is not changed. */
  change(reference: Reference, change: (kept: KeptDocument) => KeptDocument): Promise<void> {
    const changed = this.#changing.then(async () => {
      const kept = this.#kept.get(reference);
      if (kept === undefined) return;
      const next = change(kept);
      try {
        await this.store.save(next);
      } finally {
        this.#kept.set(reference, next);
      }
    });
    this.#changing = changed.catch(() => undefined);
    return changed;
  }

  /** What cannot be written is told all the same; the next agent finds out by itself how it ended. Never rejects. */
  async update(reference: Reference, change: Partial<Status>): Promise<void> {
    try {
      await this.change(reference, (kept) => ({ ...kept, status: { ...kept.status, ...change } }));
    } catch (error) {
      this.#context.log.error(
        { event: 'documentUnsaved', err: error },
        `the status of ${reference} cannot be written`,
      );
    }
  }

  /** Durable on return. */
  async remove(reference: Reference): Promise<void> {
    await this.store.remove(reference);
    this.#kept.delete(reference);
  }

  /** Adds a line to its log. */
  async say(reference: Reference, line: string): Promise<void> {
    await this.store.append(reference, `${this.#context.now().toISOString()} INFO  [stillpoint] ${line}\n`);
  }

  logPart(reference: Reference, offset: number): Promise<Omit<LogPart, 'ended'> & { isLast: boolean }> {
    return this.store.logPart(reference, offset);
  }
}

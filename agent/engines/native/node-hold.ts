import { join } from 'node:path';
import type { ThawProof } from '../../../shared/domain/messages.ts';
import type { Token } from '../../../shared/domain/token.ts';
import { AnchoredDirectory } from '../../anchored-directory.ts';
import { type Hold, type HoldContext, outOfOrder } from '../engine.ts';
import { standing } from './local-checkpoint.ts';
import { notHeld, type Operation } from './operation.ts';
import { liveOf, type NativeSettings } from './settings.ts';

/** Holds a node still, and refuses its clients' writes for longer where that is asked. */
export class NodeHold implements Hold {
  readonly #settings: NativeSettings;
  readonly #context: HoldContext;
  readonly #operation: Operation;
  /** The copy has asked the process to keep its journal: what it has by then must be there until the end. */
  readonly #isCopied: boolean;
  #journalDirectory: string | null = null;
  #journal: JournalWatch | null = null;
  /** As prepared: another node taking over means that what was prepared here may lack what it acknowledges. */
  #primary = false;
  /** How the journal stood right after the mark, from the file on that ends there. */
  #atMark: Promise<ReadonlyMap<string, string>> = Promise.resolve(new Map());

  constructor(settings: NativeSettings, context: HoldContext, operation: Operation, isCopied: boolean) {
    this.#settings = settings;
    this.#context = context;
    this.#operation = operation;
    this.#isCopied = isCopied;
  }

  /** As the process names it, relative to `live/`. */
  get journalDirectory(): string {
    if (this.#journalDirectory === null) throw outOfOrder('not prepared');
    return this.#journalDirectory;
  }

  /** How the file that ended at the mark stood right after it; null where it was not to be seen. */
  async closedFile(): Promise<string | null> {
    return (await this.#atMark.catch(() => null))?.get(this.#operation.cut.journalFile) ?? null;
  }

  prepare(): Promise<void> {
    const { calls } = this.#operation;
    return calls.run(async () => {
      const { journalDirectory, primary } = await this.#operation.begin();
      this.#primary = primary;
      const { participant, lease } = this.#operation;
      if (this.#context.maintenance) await participant.enterMaintenance(lease);
      calls.signal.throwIfAborted();
      this.#journalDirectory = journalDirectory;
      this.#journal = await JournalWatch.open(join(liveOf(this.#settings), journalDirectory));
    });
  }

  arm(): Promise<{ incarnation: string }> {
    return this.#operation.calls.run(() =>
      this.#operation.arm(({ held, primary }) => {
        if (this.#isCopied && !held.journalRetained)
          throw notHeld(this.#settings.name, 'the retention of its journal', '');
        return primary === this.#primary;
      }),
    );
  }

  /** An arm only looks. */
  disarm(): Promise<void> {
    return Promise.resolve();
  }

  freeze(token: Token): ReturnType<Hold['freeze']> {
    return this.#operation.calls.run(async () => {
      const frozen = await this.#operation.freeze(token);
      // Looked at beside the answer: nobody waits for it while clients do.
      this.#atMark = this.#readJournal();
      this.#atMark.catch(() => undefined);
      return frozen;
    });
  }

  /** Besides what the process says of itself, its journal shows that nothing was written while it was held. */
  thaw(token: Token, released: () => void): Promise<ThawProof> {
    return this.#operation.calls.run(async () => {
      const sights = Promise.all([this.#atMark, this.#readJournal()]);
      sights.catch(() => undefined);
      const [before, now] = await sights.then(
        ([atMark, since]) => [inWords(atMark), inWords(since)],
        () => ['', 'unreadable'],
      );
      const proof = await this.#operation.thaw(token, released);
      if (proof.type !== 'held' || before === now) return proof;
      const cause = `its journal was written while it was held: ${before || 'unknown'} became ${now}`;
      return { type: 'broken', incarnation: proof.incarnation, cause };
    });
  }

  async release(): Promise<void> {
    await this.#operation.release();
    await this.#journal?.close();
  }

  async #readJournal(): Promise<ReadonlyMap<string, string>> {
    if (this.#journal === null) throw outOfOrder('not prepared');
    return this.#journal.read(this.#operation.cut.journalFile);
  }
}

function inWords(stands: ReadonlyMap<string, string>): string {
  return [...stands].map(([name, stand]) => `${name} with ${stand}`).join(', ');
}

/** How a node's journal stands: the same at two times, and nothing was journaled between. */
class JournalWatch {
  readonly #directory: AnchoredDirectory;

  private constructor(directory: AnchoredDirectory) {
    this.#directory = directory;
  }

  static async open(path: string): Promise<JournalWatch> {
    return new JournalWatch(await AnchoredDirectory.open(path));
  }

  /**
   * How each file from this one on stands. Older ones are closed: that one of them goes is no sign of a write. Files that
   * are longer than what is in them show a write by its time alone.
   */
  async read(from: string): Promise<ReadonlyMap<string, string>> {
    const names = (await this.#directory.entries()).map(({ name }) => name).filter((name) => name >= from);
    const stands = new Map<string, string>();
    for (const name of names.toSorted()) {
      const stats = await this.#directory.stat(name);
      stands.set(name, stats === null ? 'gone' : standing(stats));
    }
    return stands;
  }

  close(): Promise<void> {
    return this.#directory.close();
  }
}

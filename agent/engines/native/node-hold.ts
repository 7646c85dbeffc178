import { join } from 'node:path';
import type { ThawProof } from '../../../shared/domain/messages.ts';
import type { Token } from '../../../shared/domain/token.ts';
import { type Hold, type HoldContext, outOfOrder } from '../engine.ts';
import type { Owner } from '../../foreign-files.ts';
import { inTime } from '../../in-time.ts';
import { ownerOf } from '../restore/owner.ts';
import type { HoldFacts } from './hold-facts.ts';
import { notHeld } from './hold-failures.ts';
import { JournalWatch, type MarkedJournal } from './marked-journal.ts';
import type { Operation } from './operation.ts';
import { liveOf, type NativeSettings } from './settings.ts';
import type { NodeSuspension } from './suspension.ts';

/** How long the process is kept at rest for a look at its journal, which a disk that hangs would never end. */
const LOOK_MS = 1000;
const UNREADABLE = 'it cannot be read';
const late = (): Error => new Error(`its journal could not be looked at in ${LOOK_MS} ms`);

interface HeldWith {
  readonly operation: Operation;
  /** The copy has asked the process to keep its journal: what it has by then must be there until the end. */
  readonly isCopied: boolean;
  /** Of a quiesce and a freeze; null else. */
  readonly suspension: NodeSuspension | null;
}

/**
 * Holds a node still, and refuses its clients' writes for longer where that is asked. In a quiesce its database files are
 * durable and at rest before it comes to rest itself, so that all of `live/` stands still until it is let go of.
 */
export class NodeHold implements Hold {
  readonly #settings: NativeSettings;
  readonly #context: HoldContext;
  readonly #operation: Operation;
  readonly #isCopied: boolean;
  readonly #suspension: NodeSuspension | null;
  #journalDirectory: string | null = null;
  #journal: JournalWatch | null = null;
  /** The process's user, asked for before anything is held: to ask may cost a process. */
  #owner: Owner | null = null;
  /** As prepared: another node taking over means that what was prepared here may lack what it acknowledges. */
  #primary = false;
  /** How the journal stood right after the mark, from the file on that ends there. */
  #atMark: Promise<ReadonlyMap<string, string>> = Promise.resolve(new Map());
  /** Of an operation that copies nothing: all of its journal then. */
  #marked: Promise<MarkedJournal> | null = null;
  #digest: Promise<string | null> = Promise.resolve(null);

  constructor(settings: NativeSettings, context: HoldContext, held: HeldWith) {
    this.#settings = settings;
    this.#context = context;
    this.#operation = held.operation;
    this.#isCopied = held.isCopied;
    this.#suspension = held.suspension;
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
      this.#owner = await ownerOf(this.#settings);
      this.#journal = await JournalWatch.open(join(liveOf(this.#settings), journalDirectory));
      if (this.#isQuiesce) await this.#suspension?.begin();
    });
  }

  arm(): Promise<{ incarnation: string }> {
    return this.#operation.calls.run(async () => {
      await this.#forgetMark();
      return this.#operation.arm(({ held, primary }) => {
        if (this.#isCopied && !held.journalRetained)
          throw notHeld(this.#settings.name, 'the retention of its journal', '');
        if (this.#suspension !== null && !held.writingSuspended)
          throw notHeld(this.#settings.name, 'the suspension of its write daemon', '');
        return primary === this.#primary;
      });
    });
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
      if (this.#context.purpose.type !== 'checkpoint') this.#marked = this.#readMarked();
      this.#marked?.catch(() => undefined);
      return frozen;
    });
  }

  /** Besides what the process says of itself, its journal shows that nothing was written while it was held. */
  thaw(token: Token, released: () => void): Promise<ThawProof> {
    return this.#operation.calls.run(async () => {
      const written = await inTime(this.#writtenSinceMark(), LOOK_MS, late).catch(() => UNREADABLE);
      const proof = await this.#operation.thaw(token, released);
      const proven = await this.#resumed(proof);
      this.#digest = this.#marked?.then((marked) => marked.digest()) ?? this.#digest;
      this.#digest.catch(() => undefined);
      if (proven.type !== 'held' || written === null) return proven;
      const cause = `its journal was written while it was held: ${written}`;
      return { type: 'broken', incarnation: proven.incarnation, cause };
    });
  }

  renew(): void {
    this.#operation.renew();
  }

  /** What a restore needs that begins with an operator's own copy. Asked after the thaw. */
  async facts(): Promise<HoldFacts> {
    const { cut } = this.#operation;
    if (this.#marked === null) throw outOfOrder('nothing is marked');
    return {
      kind: 'node',
      journalDirectory: this.journalDirectory,
      firstJournalFile: this.#suspension?.firstJournalFile ?? null,
      journalFile: cut.journalFile,
      length: cut.length,
      digest: await this.#digest,
      journalAtMark: [...(await this.#marked).files],
      content: cut.content,
    };
  }

  async release(): Promise<void> {
    await this.#operation.release();
    await this.#forgetMark();
    await this.#journal?.close();
  }

  get #isQuiesce(): boolean {
    return this.#context.purpose.type === 'quiesce';
  }

  /** The end of a quiesce: its database files may change again. One that never came to rest goes on as it is. */
  async #resumed(proof: ThawProof): Promise<ThawProof> {
    if (!this.#isQuiesce || this.#suspension === null || !this.#operation.isMarked) return proof;
    const suspended = await this.#suspension.end();
    if (suspended.held || proof.type !== 'held') return proof;
    const cause = `its database files could be written: ${suspended.cause}`;
    return { type: 'alreadyResumed', incarnation: proof.incarnation, cause };
  }

  async #readJournal(): Promise<ReadonlyMap<string, string>> {
    if (this.#journal === null) throw outOfOrder('not prepared');
    return this.#journal.read(this.#operation.cut.journalFile);
  }

  /** In words; null where nothing was. */
  async #writtenSinceMark(): Promise<string | null> {
    const [atMark, since] = await Promise.all([this.#atMark, this.#readJournal()]);
    return writtenBetween(atMark, since);
  }

  async #readMarked(): Promise<MarkedJournal> {
    if (this.#journal === null) throw outOfOrder('not prepared');
    const { journalFile, length } = this.#operation.cut;
    return this.#journal.marked(journalFile, length, this.#owner);
  }

  /** Of an attempt that nobody asks for any more: a digest that is under way ends with its file. */
  async #forgetMark(): Promise<void> {
    const marked = await this.#marked?.catch(() => null);
    this.#marked = null;
    await marked?.close();
    await this.#digest.catch(() => null);
  }
}

/** The first file that stands otherwise than before, in words; null where there is none. That one is gone is no write. */
function writtenBetween(
  before: ReadonlyMap<string, string>,
  now: ReadonlyMap<string, string>,
): string | null {
  for (const [name, stands] of now) {
    const stood = before.get(name) ?? 'not there';
    if (stood !== stands) return `${name}: ${stood}, then ${stands}`;
  }
  return null;
}

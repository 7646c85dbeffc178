import { join } from 'node:path';
import { EXIT, StillpointError } from '../../../shared/domain/errors.ts';
import type { HoldEnding } from '../../../shared/domain/participant.ts';
import { fullDisk } from '../../disk-error.ts';
import { within } from '../../safe-files.ts';
import { outOfOrder, type Copy, type CopyContext } from '../engine.ts';
import { breaksContract } from './contract.ts';
import { ownerOf } from '../restore/owner.ts';
import type { CopyFate } from './copy-fate.ts';
import { JournalFiles } from './journal-files.ts';
import { LocalCheckpoint, sweepCheckpoints } from './local-checkpoint.ts';
import { notHeld } from './hold-failures.ts';
import type { Operation } from './operation.ts';
import { liveOf, type NativeSettings } from './settings.ts';

/** The room of a node's files among its artifacts: what `live/` is made of. */
export const DATA_ROOM = 'data';

/** What the hold of the same node knows. */
interface HeldNode {
  readonly journalDirectory: string;
  closedFile(): Promise<string | null>;
}

/** What the beginning leaves for the end. */
interface Begun {
  readonly local: LocalCheckpoint;
  readonly journal: JournalFiles;
}

/**
 * A node's files. Its database files are copied while its write daemon waits and its clients go on; the journal goes with
 * them, up to the file that the process closes at the mark. All of it lies beside the live data first, and goes from
 * there to the repository.
 */
export class NodeCopy implements Copy {
  readonly #settings: NativeSettings;
  readonly #context: CopyContext;
  readonly #operation: Operation;
  readonly #hold: HeldNode;
  readonly #fate: CopyFate;
  #local: LocalCheckpoint | null = null;
  #journal: JournalFiles | null = null;
  #begun: Begun | null = null;

  constructor(
    settings: NativeSettings,
    context: CopyContext,
    shared: {
      readonly operation: Operation;
      readonly hold: HeldNode;
      readonly fate: CopyFate;
    },
  ) {
    this.#settings = settings;
    this.#context = context;
    this.#operation = shared.operation;
    this.#hold = shared.hold;
    this.#fate = shared.fate;
  }

  begin(): Promise<void> {
    return this.#operation.calls.run(() => this.#begin().catch((error: unknown) => this.#failed(error)));
  }

  async #begin(): Promise<void> {
    const { data } = this.#settings;
    const { participant, lease, calls } = this.#operation;
    const { journalDirectory } = this.#hold;
    const owner = await ownerOf(this.#settings);
    const local = new LocalCheckpoint(data, this.#context.checkpoint);
    await sweepCheckpoints(data);
    calls.signal.throwIfAborted();
    this.#local = local;
    await local.begin();
    const { incarnation, firstJournalFile } = await participant.suspendWriting(lease);
    this.#operation.mustBeSame(incarnation);
    this.#journal = await JournalFiles.watch({
      directory: join(liveOf(this.#settings), journalDirectory),
      first: firstJournalFile,
      local,
      place: `${DATA_ROOM}/${journalDirectory}`,
      owner,
      neverThere: (name, asked) => neverThere(this.#settings, name, asked),
    });
    const { signal } = calls;
    signal.throwIfAborted();
    // Everything but the journal. Nothing of it changes meanwhile.
    const files = await within(liveOf(this.#settings), (live) =>
      local.copyTree(live, DATA_ROOM, { except: journalDirectory, owner, signal }),
    );
    const { held, cause } = await this.#ended(participant.resumeWriting({ ...lease, retainJournal: true }));
    if (!held) throw notHeld(this.#settings.name, 'the suspension of its write daemon', cause);
    await this.#store(local, files);
    this.#begun = { local, journal: this.#journal };
  }

  finish(): Promise<unknown> {
    return this.#operation.calls.run(() => this.#finish().catch((error: unknown) => this.#failed(error)));
  }

  async #finish(): Promise<unknown> {
    const { local, journal } = this.#ready();
    const { journalDirectory } = this.#hold;
    const { cut, participant, id, calls } = this.#operation;
    const names = await journal.keepThrough(cut.journalFile);
    const room = join(DATA_ROOM, journalDirectory);
    // Before the process may do with its files what it likes. What lies behind the mark in the last is not of it.
    await this.#mustBeAsMarked(local, join(room, cut.journalFile));
    for (const name of names) {
      calls.signal.throwIfAborted();
      await local.detach(join(room, name), name === cut.journalFile ? cut.length : null);
    }
    const retained = await this.#ended(participant.releaseJournal({ operation: id }));
    if (!retained.held) throw notHeld(this.#settings.name, 'the retention of its journal', retained.cause);
    if (this.#context.maintenance) {
      const { held, cause } = await this.#ended(participant.leaveMaintenance({ operation: id }));
      if (!held) throw notHeld(this.#settings.name, 'its maintenance mode', cause);
    }
    for (const name of names) {
      calls.signal.throwIfAborted();
      const entry = { path: `${room}/${name}`, mode: 0o600, mtimeMs: Date.now() };
      await this.#context.artifacts.file(entry, local.content(entry.path, await local.lengthOf(entry.path)));
    }
    for (const path of ['', ...(await local.directories(DATA_ROOM))])
      this.#context.artifacts.directory({ path: join(DATA_ROOM, path), mode: 0o700 });
    await journal.end();
    await local.close();
    return { kind: 'node', journalDirectory, journalFiles: names, content: cut.content };
  }

  /** It has all that was said at the mark, and nobody has written to it since. */
  async #mustBeAsMarked(local: LocalCheckpoint, path: string): Promise<void> {
    const { name } = this.#settings;
    const { journalFile, length } = this.#operation.cut;
    const found = await local.lengthOf(path);
    if (found < length)
      throw journalChanged(
        `the journal file ${journalFile} of ${name} was ${length} bytes long at the mark and is ${found} now`,
      );
    const [atMark, now] = [await this.#hold.closedFile(), await local.standsAs(path)];
    if (atMark !== null && atMark !== now)
      throw journalChanged(
        `the journal file ${journalFile} of ${name} was written after the mark: ${atMark}, then ${now}`,
      );
  }

  /** What another process says of a hold is not about this one. */
  async #ended(ending: Promise<HoldEnding>): Promise<HoldEnding> {
    const ended = await ending;
    this.#operation.mustBeSame(ended.incarnation);
    return ended;
  }

  async abandon(): Promise<void> {
    await this.#operation.calls.ended();
    await this.#journal?.end();
    await this.#fate.abandon(this.#context.checkpoint, async () => this.#local?.remove());
    await this.#local?.close();
  }

  #failed(error: unknown): never {
    const code = fullDisk(error);
    if (code === null) throw error;
    const message = `no room for the copy of ${this.#settings.name} beside its data (${code})`;
    const hint = `make room below ${this.#settings.data}, or prune checkpoints (stillpoint checkpoint prune)`;
    throw new StillpointError({ code: 'host-disk-full', message, hint }, EXIT.aborted, { cause: error });
  }

  async #store(local: LocalCheckpoint, files: readonly string[]): Promise<void> {
    const { artifacts, progress } = this.#context;
    const sizes = await Promise.all(files.map((path) => local.lengthOf(`${DATA_ROOM}/${path}`)));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    let done = 0;
    for (const [index, path] of files.entries()) {
      this.#operation.calls.signal.throwIfAborted();
      const entry = { path: `${DATA_ROOM}/${path}`, mode: 0o600, mtimeMs: Date.now() };
      await artifacts.file(entry, local.content(entry.path, sizes[index] ?? 0));
      done += sizes[index] ?? 0;
      progress(done, total);
    }
  }

  #ready(): Begun {
    if (this.#begun === null) throw outOfOrder('not begun');
    return this.#begun;
  }
}

/** What a process names and never had is no file that was lost. */
function neverThere(settings: NativeSettings, name: string, asked: 'first' | 'last'): StillpointError {
  return asked === 'first'
    ? breaksContract(settings, `first_journal_file is ${name}, and there was no such file`, 'firstIsKept')
    : breaksContract(
        settings,
        `in the answer to SwitchJournal, journal_file is ${name}, and there was no such file`,
        'markNamesFile',
      );
}

function journalChanged(message: string): StillpointError {
  const hint = 'what SwitchJournal has closed must never be written again: see docs/participant.md';
  return new StillpointError({ code: 'journal-changed', message, hint });
}

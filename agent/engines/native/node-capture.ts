import { join } from 'node:path';
import { EXIT, StillpointError } from '../../../shared/domain/errors.ts';
import type { Mark } from '../../../shared/domain/grid.ts';
import type { ThawProof } from '../../../shared/domain/messages.ts';
import type { Token } from '../../../shared/domain/token.ts';
import { fullDisk } from '../../disk-error.ts';
import { within } from '../../safe-files.ts';
import type { Capture, CaptureContext } from '../engine.ts';
import { ownerOf } from '../restore/owner.ts';
import type { CopyFate } from './copy-fate.ts';
import { JournalFiles } from './journal-files.ts';
import { LocalCheckpoint, sweepCheckpoints } from './local-checkpoint.ts';
import { Calls } from './calls.ts';
import { Operation } from './operation.ts';
import { liveOf, type NativeSettings } from './settings.ts';

/** The room of a node's files among its artifacts: what `live/` is made of. */
export const DATA_ROOM = 'data';

/** What prepare leaves for the rest. */
interface Prepared {
  readonly local: LocalCheckpoint;
  readonly journal: JournalFiles;
  readonly journalDirectory: string;
}

/**
 * A node. Its database files are copied while its write daemon waits and its clients go on; the journal goes with
 * them, up to the file that the process closes at the mark. All of it lies beside the live data first, and goes from
 * there to the repository.
 */
export class NodeCapture implements Capture {
  readonly #settings: NativeSettings;
  readonly #context: CaptureContext;
  readonly #operation: Operation;
  readonly #calls = new Calls();
  readonly #fate: CopyFate;
  #local: LocalCheckpoint | null = null;
  #journal: JournalFiles | null = null;
  #prepared: Prepared | null = null;
  #mark: Mark | null = null;
  /** As prepared: another node taking over means that what was prepared here may lack what it acknowledges. */
  #primary = false;
  /** How the journal stood right after the mark. */
  #sight: Promise<string> = Promise.resolve('');

  constructor(settings: NativeSettings, context: CaptureContext, fate: CopyFate) {
    this.#settings = settings;
    this.#context = context;
    this.#operation = new Operation(settings, context);
    this.#fate = fate;
  }

  prepare(): Promise<void> {
    return this.#calls.run(() => this.#prepare().catch((error: unknown) => this.#failed(error)));
  }

  async #prepare(): Promise<void> {
    const { data } = this.#settings;
    const owner = await ownerOf(this.#settings);
    const local = new LocalCheckpoint(data, this.#context.checkpoint);
    await sweepCheckpoints(data);
    this.#calls.signal.throwIfAborted();
    const { journalDirectory, primary } = await this.#operation.begin();
    this.#primary = primary;
    const { participant, lease } = this.#operation;
    if (this.#context.maintenance) await participant.enterMaintenance(lease);
    this.#calls.signal.throwIfAborted();
    this.#local = local;
    await local.begin();
    const { firstJournalFile } = await participant.suspendWriting(lease);
    this.#journal = await JournalFiles.watch({
      directory: join(liveOf(this.#settings), journalDirectory),
      first: firstJournalFile,
      local,
      place: `${DATA_ROOM}/${journalDirectory}`,
      owner,
    });
    this.#calls.signal.throwIfAborted();
    const { signal } = this.#calls;
    // Everything but the journal. Nothing of it changes meanwhile.
    const files = await within(liveOf(this.#settings), (live) =>
      local.copyTree(live, DATA_ROOM, { except: journalDirectory, owner, signal }),
    );
    const { held, cause } = await participant.resumeWriting({ ...lease, retainJournal: true });
    if (!held) throw notHeld(this.#settings.name, 'the suspension of its write daemon', cause);
    await this.#store(local, files);
    this.#prepared = { local, journal: this.#journal, journalDirectory };
  }

  arm(): Promise<{ incarnation: string }> {
    return this.#calls.run(() =>
      this.#operation.arm(({ held, primary }) => {
        if (!held.journalRetained) throw notHeld(this.#settings.name, 'the retention of its journal', '');
        return primary === this.#primary;
      }),
    );
  }

  /** An arm only looks. */
  disarm(): Promise<void> {
    return Promise.resolve();
  }

  freeze(token: Token): ReturnType<Capture['freeze']> {
    return this.#calls.run(async () => {
      const { journal } = this.#ready();
      const frozen = await this.#operation.freeze(token);
      this.#mark = frozen.mark;
      // Looked at beside the answer: nobody waits for it while clients do.
      this.#sight = journal.sight();
      this.#sight.catch(() => undefined);
      return frozen;
    });
  }

  /** Besides what the process says of itself, its journal shows that nothing was written while it was held. */
  thaw(token: Token, released: () => void): Promise<ThawProof> {
    return this.#calls.run(() => this.#thaw(token, released));
  }

  async #thaw(token: Token, released: () => void): Promise<ThawProof> {
    const { journal } = this.#ready();
    const sights = Promise.all([this.#sight, journal.sight()]);
    sights.catch(() => undefined);
    const [before, now] = await sights.catch((): [string, string] => ['', 'unreadable']);
    const proof = await this.#operation.thaw(token, released);
    if (proof.type !== 'held' || before === now) return proof;
    const cause = `its journal grew while it was held: ${before || 'unknown'} became ${now}`;
    return { type: 'broken', incarnation: proof.incarnation, cause };
  }

  collect(): Promise<{ mark: Mark | null; engineFacts: unknown }> {
    return this.#calls.run(() => this.#collect());
  }

  async #collect(): Promise<{ mark: Mark | null; engineFacts: unknown }> {
    const { local, journal, journalDirectory } = this.#ready();
    const { cut, participant, id } = this.#operation;
    const names = await journal.keepThrough(cut.journalFile);
    const retained = await participant.releaseJournal({ operation: id });
    if (!retained.held) throw notHeld(this.#settings.name, 'the retention of its journal', retained.cause);
    if (this.#context.maintenance) {
      const { held, cause } = await participant.leaveMaintenance({ operation: id });
      if (!held) throw notHeld(this.#settings.name, 'its maintenance mode', cause);
    }
    const room = join(DATA_ROOM, journalDirectory);
    const length = await local.lengthOf(join(room, cut.journalFile));
    if (length !== cut.length)
      throw differentLength(this.#settings.name, cut.journalFile, cut.length, length);
    for (const name of names) {
      this.#calls.signal.throwIfAborted();
      const entry = { path: `${room}/${name}`, mode: 0o600, mtimeMs: Date.now() };
      await this.#context.artifacts.file(entry, local.content(entry.path, await local.lengthOf(entry.path)));
    }
    for (const path of ['', ...(await local.directories(DATA_ROOM))])
      this.#context.artifacts.directory({ path: join(DATA_ROOM, path), mode: 0o700 });
    return {
      mark: this.#mark,
      engineFacts: { kind: 'node', journalDirectory, journalFiles: names, content: cut.content },
    };
  }

  async abort(): Promise<void> {
    await this.#calls.abort({
      letGo: () => this.#operation.letGo(),
      end: () => this.#operation.end(),
    });
    await this.#journal?.end();
    await this.#fate.abandon(this.#context.checkpoint, async () => this.#local?.remove());
    await this.#local?.close();
  }

  async close(): Promise<void> {
    await this.#operation.end();
    await this.#journal?.end();
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
      this.#calls.signal.throwIfAborted();
      const entry = { path: `${DATA_ROOM}/${path}`, mode: 0o600, mtimeMs: Date.now() };
      await artifacts.file(entry, local.content(entry.path, sizes[index] ?? 0));
      done += sizes[index] ?? 0;
      progress(done, total);
    }
  }

  #ready(): Prepared {
    if (this.#prepared === null) throw new Error('a call out of order: not prepared');
    return this.#prepared;
  }
}

function notHeld(member: string, what: string, cause: string): StillpointError {
  return new StillpointError({
    code: 'hold-lost',
    message: `${what} on ${member} did not last until the checkpoint had it${cause === '' ? '' : `: ${cause}`}`,
    hint: "see the process's log: was it restarted, or its host stopped for a while? Then create the checkpoint again",
    isFinal: true,
  });
}

function differentLength(member: string, file: string, expected: number, found: number): StillpointError {
  return new StillpointError({
    code: 'journal-changed',
    message: `the journal file ${file} of ${member} was ${expected} bytes long at the mark and is ${found} now`,
    hint: 'a closed journal file must never change: see docs/participant.md',
  });
}

import { join } from 'node:path';
import type { Content } from '../../shared/rpc/generated/participant.ts';
import type { History, LogEntry, Position } from './calls.ts';
import { Database, historyAfter, termOf } from './database.ts';
import { Journal, type Place } from './journal.ts';
import { Pace } from './pace.ts';

type Update = Extract<LogEntry, { kind: 'update' }>;

const MAX_RECENT = 20_000;

/**
 * What a node has: first it is logged, which is durable, then applied, which is visible. A start applies all that is
 * logged. One caller at a time logs.
 */
export class NodeLog {
  readonly database: Database;
  readonly #journal: Journal;
  #logged: History;
  readonly #unapplied: { readonly entry: LogEntry; readonly place: Place }[] = [];
  /** The last of what is logged, for those that follow. */
  #recent: Update[] = [];
  #startedWith: Content | undefined;
  readonly #buffers: number;
  readonly #pace = new Pace();
  #suspended = false;
  #retained = false;
  #recovering: string | undefined = 'opening its database files';
  /** From then on updates wait for the end of the suspension, by `performance.now()`. */
  #updatesWaitFrom = Infinity;
  #resumed = Promise.withResolvers<void>();

  /** `buffers`: so many changed rows have room in memory while writing is suspended; 0: as many as come. */
  constructor(dataDirectory: string, journalBytes: number, { archive = '', buffers = 0 } = {}) {
    this.database = new Database(dataDirectory);
    this.#journal = new Journal(join(dataDirectory, 'live', 'journal'), journalBytes, archive);
    this.#logged = this.database.history;
    this.#buffers = buffers;
  }

  /** `mayGoOn`: before each file of the journal. */
  async begin(mayGoOn: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    const { place } = this.database;
    const files = this.#journal.files().filter((name) => name >= place.file);
    const look = async (at: number): Promise<void> => {
      this.#recovering = `reading the journal, file ${at + 1} of ${files.length}`;
      await mayGoOn();
    };
    let at = 0;
    await look(at);
    for await (const { entry, end } of this.#journal.read(place)) {
      for (; files[at] !== end.file; at += 1) await look(at + 1);
      this.database.apply(entry, end);
    }
    this.#logged = this.database.history;
    this.#startedWith = this.content;
    await this.#journal.begin();
    this.#recovering = undefined;
  }

  /** What it does at its start, and how far it is; undefined when it is there. */
  get recovering(): string | undefined {
    return this.#recovering;
  }

  /** Whether updates wait for the end of the suspension: memory is full, or they were to go on for so long only. */
  get updatesWait(): boolean {
    if (!this.#suspended) return false;
    const isFull = this.#buffers > 0 && this.database.buffered >= this.#buffers;
    return isFull || performance.now() >= this.#updatesWaitFrom;
  }

  /** If writing was suspended now, updates would go on for so long; undefined where nothing bounds it. */
  get updatesHaveRoomMs(): number | undefined {
    const pace = this.#pace.now;
    if (this.#buffers === 0 || pace === 0) return undefined;
    // A suspension begins with a visit of the write daemon.
    const taken = this.#suspended ? this.database.buffered : 0;
    return Math.max(0, this.#buffers - taken) / pace;
  }

  /** Resolves when an update may be made. */
  async room(): Promise<void> {
    while (this.updatesWait) await this.#resumed.promise;
  }

  /** What its own files held. */
  get startedWith(): Content | undefined {
    return this.#startedWith;
  }

  /** What a start on all that is logged would come up with. */
  get content(): Content {
    return this.database.contentWith(this.#unapplied.map(({ entry }) => entry));
  }

  get logged(): History {
    return this.#logged;
  }

  get position(): Position {
    const { identity, sequence } = this.#logged;
    return { identity, sequence, term: this.termOf(sequence) };
  }

  termOf(sequence: number): number {
    return termOf(this.#logged, sequence);
  }

  async log(entries: readonly LogEntry[]): Promise<void> {
    const places = await this.#journal.append(entries);
    this.#pace.add(entries.length);
    for (const [index, entry] of entries.entries()) {
      this.#unapplied.push({ entry, place: places[index] as Place });
      this.#logged = historyAfter(this.#logged, entry);
      if (entry.kind === 'update') this.#recent.push(entry);
      else this.#recent = [];
    }
    if (this.#recent.length > MAX_RECENT) this.#recent = this.#recent.slice(-MAX_RECENT / 2);
  }

  /** Makes visible what is logged, up to and with this update. */
  apply(sequence = Infinity): void {
    for (let next = this.#unapplied[0]; next !== undefined; next = this.#unapplied[0]) {
      if (next.entry.kind === 'update' && next.entry.sequence > sequence) return;
      this.#unapplied.shift();
      this.database.apply(next.entry, next.place);
    }
  }

  /** The updates after this one, some of them; undefined where the journal does not have them any more. */
  async after(sequence: number, limit: number): Promise<readonly Update[] | undefined> {
    const first = this.#recent[0]?.sequence ?? Infinity;
    if (first <= sequence + 1) return this.#recent.slice(sequence + 1 - first, sequence + 1 - first + limit);
    try {
      return await this.#fromFiles(sequence, limit);
    } catch {
      return undefined;
    }
  }

  async #fromFiles(sequence: number, limit: number): Promise<readonly Update[] | undefined> {
    const [file = ''] = this.#journal.files();
    let found: Update[] = [];
    for await (const { entry } of this.#journal.read({ file, offset: 0 })) {
      if (entry.kind === 'clear') found = [];
      if (entry.kind === 'update' && entry.sequence === sequence + 1 + found.length) found.push(entry);
      if (found.length === limit) break;
    }
    return found.length > 0 ? found : undefined;
  }

  /** The write daemon's visit: after it, journal files that no start would need are gone. */
  async write(): Promise<void> {
    await this.database.write();
    this.#journal.removeBefore(this.database.place.file);
  }

  async switchJournal(): Promise<{ file: string; length: number; content: Content }> {
    const { content } = this;
    return { ...(await this.#journal.switch()), content };
  }

  /** `updatesWaitAfterMs`: so long updates go on; 0: as long as it lasts. */
  async suspend(updatesWaitAfterMs = 0): Promise<string> {
    this.#suspended = true;
    await this.database.suspend();
    this.#updatesWaitFrom = updatesWaitAfterMs === 0 ? Infinity : performance.now() + updatesWaitAfterMs;
    const { file } = this.database.place;
    this.#journal.retainFrom(file);
    return file;
  }

  resume(): void {
    this.#suspended = false;
    this.database.resume();
    this.#resumed.resolve();
    this.#resumed = Promise.withResolvers();
    this.retain(this.#retained);
  }

  retain(retained: boolean): void {
    this.#retained = retained;
    if (!retained && !this.#suspended) this.#journal.retainFrom(undefined);
  }

  async close(): Promise<void> {
    await this.database.close();
    await this.#journal.close();
  }
}

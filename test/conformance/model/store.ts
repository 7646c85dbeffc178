import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { Content } from '../../../shared/rpc/generated/participant.ts';

/** What of a store can be wrong on purpose; see faults.ts. */
export interface StoreFaults {
  readonly loseTail: boolean;
  readonly writeWhileSuspended: boolean;
  readonly ignoreRetention: boolean;
  readonly changeClosedFile: boolean;
  readonly digestOfCount: boolean;
  readonly startedWithoutJournal: boolean;
}

const FLUSH_MS = 20;

/**
 * A table of numbers in real files. `live/rows.json` is written now and then by the write daemon; what came since is
 * in `live/journal/`, whose files it removes when the table has all of them.
 */
export class Store {
  readonly rows = new Set<number>();
  readonly startedWith: Content;
  retained = false;
  readonly #live: string;
  readonly #faults: StoreFaults;
  #number = 1;
  #file: number;
  #flushed = -1;
  #suspendedAt: string | undefined;

  constructor(data: string, faults: StoreFaults) {
    this.#live = join(data, 'live');
    this.#faults = faults;
    fs.mkdirSync(join(this.#live, 'journal'), { recursive: true });
    this.#loadTable();
    const { content } = this;
    this.#loadJournal();
    this.startedWith = faults.startedWithoutJournal ? content : this.content;
    this.#file = this.#open();
    setInterval(() => this.#flush(), FLUSH_MS).unref();
  }

  get journalFile(): string {
    return `${String(this.#number).padStart(8, '0')}.log`;
  }

  get content(): Content {
    const rows = [...this.rows].toSorted((one, other) => one - other).join();
    const digest = createHash('sha256').update(this.#faults.digestOfCount ? 'rows' : rows);
    return { count: BigInt(this.rows.size), digest: digest.digest() };
  }

  /** Durable and visible when it returns. */
  add(row: number): void {
    this.appendLine(String(row));
    this.rows.add(row);
  }

  appendLine(line: string): void {
    fs.writeSync(this.#file, `${line}\n`);
    fs.fdatasyncSync(this.#file);
  }

  switchJournal(): { file: string; length: number } {
    const closed = { file: this.journalFile, length: fs.fstatSync(this.#file).size };
    if (this.#faults.changeClosedFile) {
      const late = this.#file;
      setTimeout(() => fs.writeSync(late, '\n'), FLUSH_MS * 2);
    } else {
      fs.closeSync(this.#file);
    }
    this.#number += 1;
    this.#file = this.#open();
    return closed;
  }

  /** Answers with the first journal file that the table does not have all of. */
  suspend(): string {
    if (this.#suspendedAt === undefined) this.#flush();
    this.#suspendedAt ??= this.journalFile;
    return this.#suspendedAt;
  }

  resume(): void {
    this.#suspendedAt = undefined;
  }

  sizeBytes(): number {
    return fs.fstatSync(this.#file).size + this.rows.size * 8;
  }

  #loadTable(): void {
    const table = join(this.#live, 'rows.json');
    if (fs.existsSync(table)) {
      for (const row of JSON.parse(fs.readFileSync(table, 'utf8')) as number[]) this.rows.add(row);
    }
  }

  #loadJournal(): void {
    const names = fs.readdirSync(join(this.#live, 'journal')).toSorted();
    const lines = names.flatMap((name) =>
      fs.readFileSync(join(this.#live, 'journal', name), 'utf8').split('\n'),
    );
    const logged = lines.filter((line) => line !== '').map(Number);
    for (const row of this.#faults.loseTail ? logged.slice(0, -1) : logged) this.rows.add(row);
    this.#number = Number(names.at(-1)?.slice(0, 8) ?? 0) + 1;
  }

  #open(): number {
    return fs.openSync(join(this.#live, 'journal', this.journalFile), 'ax');
  }

  /** The write daemon. */
  #flush(): void {
    const suspended = this.#suspendedAt !== undefined;
    if (suspended && !this.#faults.writeWhileSuspended) return;
    if (this.#flushed !== this.rows.size) {
      this.#flushed = this.rows.size;
      fs.writeFileSync(join(this.#live, '../rows.new'), JSON.stringify([...this.rows]), { flush: true });
      fs.renameSync(join(this.#live, '../rows.new'), join(this.#live, 'rows.json'));
    }
    if (suspended || (this.retained && !this.#faults.ignoreRetention)) return;
    // What removes retained files still leaves the newest closed one: else it would seem that none was closed.
    const keepFrom = this.#number - (this.retained ? 1 : 0);
    for (const name of fs.readdirSync(join(this.#live, 'journal'))) {
      if (Number(name.slice(0, 8)) < keepFrom) fs.rmSync(join(this.#live, 'journal', name));
    }
  }
}

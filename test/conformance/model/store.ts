import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { Content } from '../../../shared/rpc/generated/participant.ts';
import type { HasFault } from './faults.ts';

const FLUSH_MS = 20;
/** What a node that preallocates its journal files gives each of them. */
const PREALLOCATED_BYTES = 1 << 16;
const SPOILS_MS = 10;
/** So many rows after a suspension has begun. */
const SPOILED_AT = 18;
const NEVER_FLUSHED = 1 << 30;

export interface StoreOptions {
  /** Durable at once; without, only as durable as the memory of the machine. */
  readonly sync: boolean;
  /** Its files are longer than what is in them, and are used again under another name. */
  readonly preallocates: boolean;
}

/**
 * A table of numbers in real files. `live/rows.json` is written now and then by the write daemon; what came since is
 * in `live/journal/`, whose files it removes when the table has all of them.
 */
export class Store {
  readonly rows = new Set<number>();
  readonly startedWith: Content;
  retained = false;
  readonly #live: string;
  readonly #has: HasFault;
  readonly #options: StoreOptions;
  readonly #daemon: NodeJS.Timeout;
  readonly #closed: string[] = [];
  readonly #spoils: (() => void)[] = [];
  #writtenSince = 0;
  #number = 1;
  #file: number;
  #length = 0;
  #buffered: string[] = [];
  #flushed = -1;
  #suspendedAt: string | undefined;

  constructor(data: string, options: StoreOptions, has: HasFault) {
    this.#live = join(data, 'live');
    this.#has = has;
    this.#options = options;
    fs.mkdirSync(this.#journal(), { recursive: true });
    this.#loadTable();
    const { content } = this;
    this.#loadJournal();
    const { content: all } = this;
    this.startedWith = has('forgets-the-journal-that-it-was-started-with') ? content : all;
    if (has('counts-what-it-was-started-with-as-none'))
      this.startedWith = { count: 0n, digest: Buffer.alloc(0) };
    if (has('says-another-digest-of-what-it-was-started-with'))
      this.startedWith = { ...all, digest: createHash('sha256').update(Math.random().toString()).digest() };
    this.#file = this.#open();
    this.#daemon = setInterval(() => this.#flush(), FLUSH_MS);
    this.#daemon.unref();
    this.#plantFiles();
  }

  get journalFile(): string {
    return this.#nameOf(this.#number);
  }

  get content(): Content {
    const rows = [...this.rows].toSorted((one, other) => one - other).join();
    const digest = createHash('sha256').update(this.#has('counts-rows-and-looks-at-none') ? 'rows' : rows);
    const count = BigInt(this.rows.size) * (this.#has('counts-each-row-twice') ? 2n : 1n);
    return { count, digest: digest.digest() };
  }

  close(): void {
    clearInterval(this.#daemon);
    fs.closeSync(this.#file);
  }

  /** Durable and visible when it returns. */
  add(row: number): void {
    this.appendLine(String(row));
    this.#spoilDatabase();
    if (this.#has('loses-a-row-now-and-then') && row % 7 === 0) return;
    this.rows.add(row);
  }

  appendLine(line: string): void {
    this.#buffered.push(`${line}\n`);
    const keeps = this.#has('buffers-until-the-mark')
      ? NEVER_FLUSHED
      : this.#has('buffers-some-rows')
        ? 7
        : this.#has('buffers-the-last-row')
          ? 2
          : 1;
    if (this.#buffered.length < keeps) return;
    // A fault keeps a row at any time: at rest too, whenever that comes.
    this.#write(this.#buffered.splice(0, Math.max(1, keeps - 1)));
  }

  switchJournal(): { file: string; length: number } {
    this.#write(this.#buffered.splice(0));
    const file = this.journalFile;
    const length = this.#length;
    if (this.#has('goes-on-in-the-same-file')) return { file, length };
    if (this.#has('names-a-file-that-is-not-there')) return this.#next({ file: `${file}.gone`, length });
    if (this.#has('says-more-than-is-in-the-file')) return this.#next({ file, length: length + 100_000 });
    const late = this.#file;
    this.#spoil(join(this.#journal(), file));
    fs.closeSync(late);
    this.#closed.push(file);
    return this.#next({ file, length: this.#has('says-less-than-was-logged') ? length >> 1 : length });
  }

  /** The rest is over. */
  goOn(): void {
    for (const spoil of this.#spoils.splice(0)) setTimeout(spoil, SPOILS_MS).unref();
  }

  /** What a closed file must not have done to it. */
  #spoil(path: string): void {
    if (this.#has('changes-a-closed-journal-file'))
      this.#spoils.push(() => fs.writeFileSync(path, '#', { flag: 'r+' }));
    if (this.#has('shortens-a-closed-journal-file')) this.#spoils.push(() => fs.truncateSync(path, 1));
    if (this.#has('renames-a-closed-journal-file'))
      this.#spoils.push(() => fs.renameSync(path, `${path}.old`));
  }

  /** What must not happen to database files while writing is suspended: in the midst of it. */
  #spoilDatabase(): void {
    this.#writtenSince += 1;
    if (this.#suspendedAt === undefined || this.#writtenSince !== SPOILED_AT) return;
    if (this.#has('removes-a-database-file-while-suspended'))
      fs.rmSync(join(this.#live, 'rows.json'), { force: true });
    if (this.#has('begins-a-database-file-while-suspended'))
      fs.writeFileSync(join(this.#live, 'server.log'), 'x');
  }

  /** Answers with the first journal file that the table does not have all of. */
  suspend(): string {
    if (this.#suspendedAt === undefined) this.#flush();
    if (this.#suspendedAt === undefined) this.#writtenSince = 0;
    this.#suspendedAt ??= this.journalFile;
    if (this.#has('names-a-journal-file-that-is-not-there')) return `${this.#suspendedAt}.gone`;
    if (this.#has('names-no-journal-file')) return '';
    if (this.#has('names-the-next-journal-file')) return this.#nameOf(this.#number + 1);
    return this.#suspendedAt;
  }

  resume(): void {
    this.#suspendedAt = undefined;
  }

  sizeBytes(): number {
    if (this.#has('says-that-it-is-empty')) return 0;
    const names = fs.readdirSync(this.#live, { recursive: true }) as string[];
    let sum = 0;
    for (const name of names)
      sum += fs.statSync(join(this.#live, name), { throwIfNoEntry: false })?.size ?? 0;
    if (this.#has('says-its-size-in-blocks')) return Math.floor(sum / 4096 / 4096);
    return this.#has('says-the-size-of-its-disk') ? 1e12 + sum : sum;
  }

  #next(closed: { file: string; length: number }): { file: string; length: number } {
    this.#number += 1;
    this.#file = this.#open();
    return closed;
  }

  #write(lines: readonly string[]): void {
    if (lines.length === 0) return;
    const bytes = Buffer.from(lines.join(''));
    fs.writeSync(this.#file, bytes, 0, bytes.length, this.#length);
    this.#length += bytes.length;
    if (this.#options.sync) fs.fdatasyncSync(this.#file);
  }

  #loadTable(): void {
    const table = join(this.#live, 'rows.json');
    if (fs.existsSync(table)) {
      for (const row of JSON.parse(fs.readFileSync(table, 'utf8')) as number[]) this.rows.add(row);
    }
  }

  #loadJournal(): void {
    const names = fs.readdirSync(this.#journal()).toSorted();
    const lines = names.flatMap((name) =>
      fs.readFileSync(join(this.#journal(), name), 'utf8').replaceAll('\0', '').split('\n'),
    );
    const logged = lines
      .filter((line) => /^\d+$/.test(line))
      .map(Number)
      .filter((row) => !this.rows.has(row));
    if (this.#has('loses-the-tail')) logged.pop();
    if (this.#has('loses-the-head')) logged.shift();
    for (const row of logged) this.rows.add(row);
    if (this.#has('comes-up-with-a-row-more')) this.rows.add(Math.max(0, ...this.rows) + 1);
    this.#number = Math.max(0, ...names.map((name) => Number.parseInt(name, 10))) + 1;
  }

  #open(): number {
    const path = join(this.#journal(), this.journalFile);
    this.#length = 0;
    const again = this.#options.preallocates ? this.#reusable() : undefined;
    if (again !== undefined) {
      fs.renameSync(join(this.#journal(), again), path);
      const file = fs.openSync(path, 'r+');
      fs.writeSync(file, Buffer.alloc(PREALLOCATED_BYTES), 0, PREALLOCATED_BYTES, 0);
      return file;
    }
    const file = fs.openSync(path, 'wx');
    if (this.#options.preallocates) fs.ftruncateSync(file, PREALLOCATED_BYTES);
    return file;
  }

  #reusable(): string | undefined {
    if (this.retained || this.#suspendedAt !== undefined) return undefined;
    const name = this.#closed.shift();
    return name !== undefined && fs.existsSync(join(this.#journal(), name)) ? name : undefined;
  }

  /** The write daemon. */
  #flush(): void {
    const suspended = this.#suspendedAt !== undefined;
    const isStill = suspended && !this.#has('writes-while-suspended');
    if (isStill && !this.#has('removes-journal-while-suspended')) return;
    if (!isStill && this.#flushed !== this.rows.size) {
      this.#flushed = this.rows.size;
      fs.writeFileSync(join(this.#live, '../rows.new'), JSON.stringify([...this.rows]));
      fs.renameSync(join(this.#live, '../rows.new'), join(this.#live, 'rows.json'));
    }
    if (suspended && !this.#has('removes-journal-while-suspended')) return;
    const isKept = this.retained && !this.#has('removes-retained-journal');
    if (isKept && !this.#has('keeps-only-the-newest-retained')) return;
    // What removes retained files still leaves the newest closed ones: else it would seem that none was closed.
    const keepFrom = this.#number - (this.retained ? 1 : 0);
    for (const name of fs.readdirSync(this.#journal())) {
      if (Number.parseInt(name, 10) < keepFrom && !this.#options.preallocates)
        fs.rmSync(join(this.#journal(), name));
    }
  }

  /** What must not be in live/. */
  #plantFiles(): void {
    if (this.#has('has-a-link-in-live')) fs.symlinkSync('/etc/hostname', join(this.#live, 'current'));
    if (this.#has('has-a-link-to-nowhere-in-live')) fs.symlinkSync('nowhere', join(this.#live, '.lock'));
  }

  #nameOf(number: number): string {
    if (this.#has('names-journal-files-in-no-order')) return `${number % 2 === 0 ? 'a' : 'b'}${number}.log`;
    if (this.#has('names-journal-files-by-chance')) return this.#byChance(number);
    if (this.#has('counts-journal-files-down')) return `${String(99_999_999 - number).padStart(8, '0')}.log`;
    return `${String(number).padStart(8, '0')}.log`;
  }

  /** Names that say nothing of their order. */
  #byChance(number: number): string {
    return `${createHash('sha256').update(String(number)).digest('hex').slice(0, 12)}.log`;
  }

  #journal(): string {
    return join(this.#live, 'journal');
  }
}

import { lstatSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { open, type Database as Table, type RootDatabase } from 'lmdb';
import type { Content } from '../../shared/rpc/generated/participant.ts';
import type { History, LogEntry, Row } from './calls.ts';
import { RowContent } from './content.ts';
import { FIRST_PLACE, type Place } from './journal.ts';

const EMPTY: History = { identity: '', sequence: 0, terms: [] };

interface Written {
  readonly place: Place;
  readonly history: History;
}

/** Rows changed since the write daemon came by; `null` is a row taken away. */
interface Buffered {
  /** Of the rows before there are none left. */
  readonly cleared: boolean;
  readonly rows: Map<string, string | null>;
}

/**
 * The rows of a node: what is on disk, and over it what is changed in memory only. The write daemon writes the
 * changes together with the place in the journal up to which they go, all or none; the journal has the rest.
 */
export class Database {
  readonly #root: RootDatabase;
  readonly #rows: Table<string, string>;
  readonly #meta: Table<Written, string>;
  #dirty: Buffered = { cleared: false, rows: new Map() };
  #writing: Buffered | undefined;
  #written: Written;
  #applied: Written;
  #underWay: Promise<void> = Promise.resolve();
  #suspended = false;
  #content = new RowContent();

  constructor(dataDirectory: string) {
    const folder = join(dataDirectory, 'live', 'database');
    mkdirSync(folder, { recursive: true });
    this.#root = open({
      path: besideLockFile(dataDirectory, join(folder, 'data.mdb')),
      noSubdir: true,
      overlappingSync: false,
      encoding: 'string',
    });
    this.#rows = this.#root.openDB<string, string>('rows', { encoding: 'string' });
    this.#meta = this.#root.openDB<Written, string>('meta', { encoding: 'json' });
    this.#written = this.#meta.get('written') ?? { place: FIRST_PLACE, history: EMPTY };
    this.#applied = this.#written;
    for (const { key, value } of this.#rows.getRange()) this.#content.change(key, null, value);
  }

  /** The place in the journal from which a start would read it. */
  get place(): Place {
    return this.#written.place;
  }

  get history(): History {
    return this.#applied.history;
  }

  /** Rows that are changed in memory and not on disk. */
  get buffered(): number {
    return this.#dirty.rows.size + (this.#writing?.rows.size ?? 0);
  }

  /** Takes in what no log has: the write daemon alone makes it durable. */
  change(table: string, key: string, value: string): void {
    this.apply({ kind: 'row', table, key, value }, this.#applied.place);
  }

  /** Takes in an entry of the log that ends at this place. */
  apply(entry: LogEntry, place: Place): void {
    this.#applied = { place, history: historyAfter(this.#applied.history, entry) };
    if (entry.kind === 'clear') {
      this.#dirty = { cleared: true, rows: new Map() };
      this.#content = new RowContent();
    } else if (entry.kind !== 'copied') {
      const row = rowKey(entry.table, entry.key);
      this.#content.change(row, this.get(entry.table, entry.key), entry.value);
      this.#dirty.rows.set(row, entry.value);
    }
  }

  /** What is there when these are applied too. */
  contentWith(entries: readonly LogEntry[]): Content {
    let content = this.#content.copy();
    const changed = new Map<string, string | null>();
    let cleared = false;
    for (const entry of entries) {
      if (entry.kind === 'copied') continue;
      if (entry.kind === 'clear') {
        content = new RowContent();
        changed.clear();
        cleared = true;
        continue;
      }
      const row = rowKey(entry.table, entry.key);
      const before =
        changed.get(row) ?? (cleared || changed.has(row) ? null : this.get(entry.table, entry.key));
      content.change(row, before, entry.value);
      changed.set(row, entry.value);
    }
    return content.message;
  }

  get(table: string, key: string): string | null {
    const row = rowKey(table, key);
    for (const buffered of [this.#dirty, this.#writing]) {
      const value = buffered?.rows.get(row);
      if (value !== undefined) return value;
      if (buffered?.cleared === true) return null;
    }
    return this.#rows.get(row) ?? null;
  }

  /** Rows of one table in the order of their keys, or of all tables. */
  scan(table: string | undefined, after: string | undefined, limit: number): Row[] {
    const start = table === undefined ? (after ?? '') : rowKey(table, after ?? '');
    const end = table === undefined ? '\u{10FFFF}' : `${table}\u0002`;
    const layers = [this.#dirty, this.#writing].filter((layer) => layer !== undefined);
    const visible = layers.slice(0, layers.findIndex(({ cleared }) => cleared) + 1 || layers.length);
    const changed = new Map<string, string | null>();
    for (const { rows } of visible.reverse()) {
      for (const [key, value] of rows)
        if (compare(key, start) > 0 && compare(key, end) < 0) changed.set(key, value);
    }
    const rows = new Map<string, string | null>();
    if (!visible.some(({ cleared }) => cleared)) {
      const found = this.#rows.getRange({ start, end, limit: limit + changed.size + 1 });
      for (const { key, value } of found) if (key !== start) rows.set(key, value);
    }
    for (const [key, value] of changed) rows.set(key, value);
    const there = [...rows].filter((row): row is [string, string] => row[1] !== null);
    return there
      .sort(([one], [other]) => compare(one, other))
      .slice(0, limit)
      .map(([key, value]) => [...key.split('\u0001', 2), value] as unknown as Row);
  }

  /** The write daemon's work; nothing while it is suspended. */
  async write(): Promise<void> {
    if (this.#suspended) return;
    this.#underWay = this.#underWay.then(() => this.#write());
    await this.#underWay;
  }

  /** Writes what is changed by now; resolves when the files are durable and at rest. */
  async suspend(): Promise<void> {
    await this.write();
    await this.#rest();
  }

  /** Writes nothing more. */
  async #rest(): Promise<void> {
    this.#suspended = true;
    await this.#underWay;
  }

  resume(): void {
    this.#suspended = false;
  }

  async close(): Promise<void> {
    await this.#rest();
    await this.#root.close();
  }

  async #write(): Promise<void> {
    const applied = this.#applied;
    const buffered = this.#dirty;
    if (applied === this.#written) return;
    this.#writing = buffered;
    this.#dirty = { cleared: false, rows: new Map() };
    await this.#root.transaction(() => {
      if (buffered.cleared) this.#rows.clearSync();
      for (const [key, value] of buffered.rows) {
        if (value === null) void this.#rows.remove(key);
        else void this.#rows.put(key, value);
      }
      void this.#meta.put('written', applied);
    });
    this.#writing = undefined;
    this.#written = applied;
  }
}

/** The database keeps its lock file beside the path it is opened by: a link elsewhere, for `live/` is for data. */
function besideLockFile(dataDirectory: string, file: string): string {
  const folder = join(dataDirectory, 'run');
  const link = join(folder, 'data.mdb');
  mkdirSync(folder, { recursive: true });
  if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) rmSync(link);
  rmSync(`${link}-lock`, { force: true });
  symlinkSync(file, link);
  return link;
}

function rowKey(table: string, key: string): string {
  return `${table}\u0001${key}`;
}

/** As the database orders its keys. */
function compare(one: string, other: string): number {
  return one === other ? 0 : Buffer.compare(Buffer.from(one), Buffer.from(other));
}

/** How far the log goes with this entry. */
export function historyAfter(history: History, entry: LogEntry): History {
  if (entry.kind === 'copied') return entry.history;
  if (entry.kind === 'clear') return { ...EMPTY, identity: entry.identity };
  if (entry.kind === 'row') return history;
  const { sequence, term } = entry;
  const terms =
    termOf(history, history.sequence) === term
      ? history.terms
      : [...history.terms, { term, first: sequence }];
  return { identity: history.identity, sequence, terms };
}

/** In which term this entry was logged; 0 before the first. */
export function termOf({ terms, sequence: last }: History, sequence: number): number {
  return sequence > last ? Infinity : (terms.findLast(({ first }) => first <= sequence)?.term ?? 0);
}

import { setTimeout as pause } from 'node:timers/promises';
import type { RealmCalls, Row, RowCalls } from './calls.ts';
import type { GridDefinition } from './definition.ts';
import { answerOf } from './every.ts';
import { GridError, Remote } from './rpc.ts';

/** What passes: a fail-over, or a grid that starts. */
const PASSING = new Set(['disconnected', 'not-primary', 'no-primary', 'no-keeper']);
const RETRY_MS = 50;
const PAGE = 1000;

/**
 * A client of the grid, by the URLs of its realm services; any live one will do. It goes on through fail-over: a write
 * that was not acknowledged is made again, so it may be made twice.
 */
export class Client {
  readonly #urls: readonly string[];
  readonly #patienceMs: number;
  #definition: GridDefinition | undefined;
  #proxy: Remote<RowCalls> | undefined;
  #proxies = 0;

  constructor(urls: readonly string[], patienceMs = 15_000) {
    this.#urls = urls;
    this.#patienceMs = patienceMs;
  }

  /** Resolves when it is durable on all nodes of the copyset that are in sync; null takes the row away. */
  async put(table: string, key: string, value: string | null, copyset?: string): Promise<void> {
    await this.#call(async (proxy, names) => {
      await proxy.call('put', { copyset: copyset ?? chosen(names, key), table, key, value });
    });
  }

  async get(table: string, key: string, copyset?: string): Promise<string | null> {
    const { value } = await this.#call((proxy, names) =>
      proxy.call('get', { copyset: copyset ?? chosen(names, key), table, key }),
    );
    return value;
  }

  /** All rows of a table in one copyset, in the order of their keys. */
  async scan(table: string, copyset: string): Promise<Row[]> {
    const rows: Row[] = [];
    for (;;) {
      const after = rows.at(-1)?.[1];
      const from = after === undefined ? {} : { after };
      const page = await this.#call((proxy) => proxy.call('scan', { copyset, table, limit: PAGE, ...from }));
      rows.push(...page.rows);
      if (page.rows.length < PAGE) return rows;
    }
  }

  close(): void {
    this.#proxy?.close();
  }

  async #call<T>(work: (proxy: Remote<RowCalls>, copysets: readonly string[]) => Promise<T>): Promise<T> {
    const deadline = performance.now() + this.#patienceMs;
    for (;;) {
      try {
        const { copysets } = await this.#connect();
        return await work(
          this.#proxy as Remote<RowCalls>,
          copysets.map(({ name }) => name),
        );
      } catch (error) {
        if (!(error instanceof GridError) || !PASSING.has(error.code) || performance.now() > deadline)
          throw error;
        if (error.code === 'disconnected') this.#proxy = undefined;
      }
      await pause(RETRY_MS);
    }
  }

  async #connect(): Promise<GridDefinition> {
    if (this.#definition !== undefined && this.#proxy !== undefined) return this.#definition;
    for (const url of this.#urls) {
      const realm = new Remote<RealmCalls>(url);
      const answer = await answerOf(realm.call('status', {}), 1000);
      realm.close();
      const proxies = answer?.definition?.proxies ?? [];
      const proxy = proxies[(this.#proxies += 1) % proxies.length];
      if (answer?.definition === undefined || proxy === undefined) continue;
      this.#definition = answer.definition;
      this.#proxy = new Remote(proxy.address);
      return answer.definition;
    }
    throw new GridError('no-keeper', 'no realm service knows of a proxy');
  }
}

/** The same for the same key, always. */
function chosen(copysets: readonly string[], key: string): string {
  let hash = 0;
  for (const byte of Buffer.from(key)) hash = (hash * 31 + byte) >>> 0;
  return copysets[hash % copysets.length] ?? '';
}

import type { NodeCalls, LogEntry } from './calls.ts';
import { every, type Repetition } from './every.ts';
import type { NodeLog } from './node-log.ts';
import { GridError, Remote } from './rpc.ts';

const BATCH = 1000;
const RETRY_MS = 200;

export interface ReplicaOwner {
  readonly name: string;
  readonly term: number;
  readonly log: NodeLog;
  /** It has more than before, or has joined. */
  progressed(): void;
  /** A node knows a newer primary. */
  deposed(): void;
}

/**
 * A primary's view of another node of its copyset. It learns how far that node's log goes, sends what it lacks, from the
 * journal or as a full copy, and then each update. A node with a log that is not the beginning of ours gets a full copy.
 */
export class Replica {
  readonly name: string;
  readonly #remote: Remote<NodeCalls>;
  readonly #owner: ReplicaOwner;
  readonly #attempts: Repetition;
  /** Up to which update it is durable there. */
  acknowledged = -1;
  joined = false;
  #connected = false;
  #ended = false;
  #more = Promise.withResolvers<void>();

  constructor(name: string, address: string, owner: ReplicaOwner) {
    this.name = name;
    this.#remote = new Remote(address, () => {
      this.#connected = false;
      this.wake();
    });
    this.#owner = owner;
    this.#attempts = every(
      () => RETRY_MS,
      () => this.#attempt(),
    );
  }

  get address(): string {
    return this.#remote.address;
  }

  /** There is more to send. */
  wake(): void {
    this.#more.resolve();
  }

  async end(): Promise<void> {
    this.#ended = true;
    this.wake();
    this.#remote.close();
    await this.#attempts.stop();
  }

  async #attempt(): Promise<void> {
    if (this.#ended) return;
    try {
      await this.#replicate();
    } catch (error) {
      if (error instanceof GridError && error.code === 'stale-primary') this.#owner.deposed();
      else if (!(error instanceof GridError))
        process.stderr.write(`${this.name}: ${String((error as Error).stack)}\n`);
    } finally {
      this.joined = false;
    }
  }

  async #replicate(): Promise<void> {
    const { log, term, name } = this.#owner;
    const theirs = await this.#remote.call('follow', { term, primary: name });
    this.#connected = true;
    const continues = theirs.identity === log.logged.identity && log.termOf(theirs.sequence) === theirs.term;
    let has = continues ? theirs.sequence : await this.#copy();
    while (this.#connected && !this.#ended) {
      this.acknowledged = has;
      this.#more = Promise.withResolvers();
      if (has === log.logged.sequence) {
        if (!this.joined) await this.#remote.call('welcome', { term });
        this.joined = true;
        this.#owner.progressed();
        if (has === log.logged.sequence) await this.#more.promise;
        continue;
      }
      this.#owner.progressed();
      const entries = await log.after(has, BATCH);
      has = entries === undefined ? await this.#copy() : await this.#send(entries);
    }
  }

  /** Rows that change meanwhile may go in newer than the sequence says; the updates after it make them equal again. */
  async #copy(): Promise<number> {
    const { database, logged } = this.#owner.log;
    const { history } = database;
    await this.#send([{ kind: 'clear', identity: logged.identity }]);
    let after: string | undefined;
    for (;;) {
      const rows = database.scan(undefined, after, BATCH);
      if (rows.length > 0)
        await this.#send(rows.map(([table, key, value]) => ({ kind: 'row', table, key, value })));
      const last = rows.at(-1);
      if (last === undefined) break;
      after = `${last[0]}\u0001${last[1]}`;
    }
    return await this.#send([{ kind: 'copied', history }]);
  }

  async #send(entries: readonly LogEntry[]): Promise<number> {
    return (await this.#remote.call('replicate', { term: this.#owner.term, entries })).sequence;
  }
}

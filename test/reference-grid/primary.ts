import type { CopysetState } from './calls.ts';
import type { DefinedProcess } from './definition.ts';
import type { Gate } from './gate.ts';
import type { NodeLog } from './node-log.ts';
import { Replica, type ReplicaOwner } from './replica.ts';
import { GridError } from './rpc.ts';

interface Write {
  readonly table: string;
  readonly key: string;
  readonly value: string | null;
  readonly by: string;
  readonly answer: PromiseWithResolvers<void>;
  sequence: number;
}

const MAX_BATCH = 500;

/**
 * What a node does as long as it is primary of its copyset, in one term. A write is logged here first, then on all other
 * nodes in sync, and then becomes visible and is acknowledged.
 */
export class Primary implements ReplicaOwner {
  readonly name: string;
  readonly term: number;
  readonly log: NodeLog;
  readonly #gate: Gate;
  readonly #changed: () => void;
  readonly #replicas = new Map<string, Replica>();
  /** Nobody is served before what was logged at the beginning is on all nodes in sync. */
  readonly #from: number;
  #visible = -1;
  #inSync: readonly string[] = [];
  /** Whom the keepers were told to have joined, but do not yet count as in sync: they may do so at any time. */
  readonly #told = new Set<string>();
  #queue: Write[] = [];
  #logged: Write[] = [];
  #committing: Promise<void> | undefined;
  #advancing = false;
  #ended = false;

  constructor(name: string, term: number, log: NodeLog, gate: Gate, changed: () => void) {
    this.name = name;
    this.term = term;
    this.log = log;
    this.#gate = gate;
    this.#changed = changed;
    this.#from = log.logged.sequence;
  }

  get serves(): boolean {
    return !this.#ended && this.#visible >= this.#from;
  }

  /** The keepers' newest word on this copyset, of this term, and who is defined to be in it. */
  follow({ inSync }: CopysetState, nodes: readonly DefinedProcess[]): void {
    this.#inSync = inSync;
    for (const node of inSync) this.#told.delete(node);
    const others = nodes.filter(({ name }) => name !== this.name);
    for (const [name, replica] of this.#replicas) {
      if (others.some((node) => node.name === name && node.address === replica.address)) continue;
      this.#replicas.delete(name);
      void replica.end();
    }
    for (const { name, address } of others) {
      if (!this.#replicas.has(name)) this.#replicas.set(name, new Replica(name, address, this));
    }
    this.#advance();
  }

  /** For the keepers; from now on this primary waits for those it names. */
  joined(): string[] {
    const joined = this.#replicas.values().filter((replica) => replica.joined);
    for (const { name } of joined) if (!this.#inSync.includes(name)) this.#told.add(name);
    return [...this.#told];
  }

  /** Resolves when it is on all nodes in sync, and visible. */
  async put(table: string, key: string, value: string | null, by: string): Promise<void> {
    if (this.#ended) throw new GridError('not-primary', `${this.name} is not primary any more`);
    const answer = Promise.withResolvers<void>();
    this.#queue.push({ table, key, value, by, answer, sequence: 0 });
    this.#committing ??= this.#commit().finally(() => (this.#committing = undefined));
    await answer.promise;
  }

  progressed(): void {
    const isNews = ({ joined, name }: Replica) =>
      joined && !this.#inSync.includes(name) && !this.#told.has(name);
    if (this.#replicas.values().some(isNews)) this.#changed();
    this.#advance();
  }

  /** Serves nobody any more, until the keepers' word comes that says who does. */
  deposed(): void {
    this.#ended = true;
    this.fail(new GridError('not-primary', `${this.name} is not primary any more`));
    this.#changed();
  }

  /** What is not acknowledged fails; it may yet become visible. */
  fail(error: Error): void {
    for (const { answer } of [...this.#queue, ...this.#logged]) answer.reject(error);
    this.#queue = [];
    this.#logged = [];
  }

  /** Resolves when it logs nothing any more. */
  async end(): Promise<void> {
    this.#ended = true;
    this.fail(new GridError('not-primary', `${this.name} is not primary any more`));
    await Promise.all([...this.#replicas.values().map((replica) => replica.end()), this.#committing]);
  }

  async #commit(): Promise<void> {
    while (this.#queue.length > 0) {
      const what = [
        ...new Set(this.#queue.map(({ table, by }) => `a write of table ${table} by ${by}`)),
      ].join(', ');
      await this.#gate.run(what, async () => {
        if (this.#ended) return;
        const batch = this.#queue.splice(0, MAX_BATCH);
        const { sequence } = this.log.logged;
        const entries = batch.map((write, index) => {
          write.sequence = sequence + 1 + index;
          const { table, key, value } = write;
          return { kind: 'update', sequence: write.sequence, term: this.term, table, key, value } as const;
        });
        this.#logged.push(...batch);
        await this.log.log(entries);
      });
      for (const replica of this.#replicas.values()) replica.wake();
      this.#advance();
    }
  }

  #advance(): void {
    if (this.#advancing || this.#ended || this.#durableEverywhere() <= this.#visible) return;
    this.#advancing = true;
    const sequence = this.#durableEverywhere();
    void this.#gate
      .run('the acknowledgement of writes', () => {
        if (this.#ended) return;
        this.log.apply(sequence);
        this.#visible = sequence;
        const done = this.#logged.findIndex((write) => write.sequence > sequence);
        const visible = this.#logged.splice(0, done < 0 ? this.#logged.length : done);
        for (const { answer } of visible) answer.resolve();
      })
      .finally(() => {
        this.#advancing = false;
        this.#advance();
      });
  }

  #durableEverywhere(): number {
    const needed = new Set([...this.#inSync, ...this.#told]);
    needed.delete(this.name);
    const reached = [...needed].map((name) => this.#replicas.get(name)?.acknowledged ?? -1);
    return Math.min(this.log.logged.sequence, ...reached);
  }
}

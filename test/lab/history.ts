import { CausalClients, checkOrder, UNHURRIED, type Shard, type Write } from './causal-clients.ts';
import { until } from './processes.ts';

/** So many clients at once, each with writes whose causes went elsewhere. */
export const CLIENTS = 4;
/** What a grid must go on with at least before it counts as written to. */
const SOME = 100;

/** By performance.now(): when the command was given that made a moment, and when it had ended. */
export interface Moment {
  readonly before: number;
  readonly after: number;
}

export interface Shown {
  /** Writes that were acknowledged before the moment, and are not there. */
  readonly missing: number;
  /** Writes that are there while an earlier one of the same client is not. */
  readonly withoutCause: number;
  readonly found: number;
  /** Writes that were sent after the moment, and how many of them are there. */
  readonly late: number;
  readonly lateShown: number;
}

/** What clients saw of a grid that is brought back to earlier moments, and goes on from each. */
export class History {
  readonly #shards: () => readonly Shard[];
  #clients: CausalClients | null = null;
  #writes: Write[] = [];
  /** No two clients have the same number: what one wrote is no write of another's. */
  #first = 0;

  constructor(shards: () => readonly Shard[]) {
    this.#shards = shards;
  }

  /** Clients write from now on; resolves when they have written something. */
  async begin(): Promise<void> {
    this.#clients = await CausalClients.start(this.#shards(), CLIENTS, { ...UNHURRIED, first: this.#first });
    this.#first += CLIENTS;
    await this.more();
  }

  /** Resolves when more was acknowledged than until now. */
  async more(): Promise<void> {
    const clients = this.#clients;
    if (clients === null) throw new Error('nobody writes');
    const from = clients.writes.length;
    await until('writes', () => clients.writes.length > from + SOME);
  }

  /** Nobody writes any more. */
  async stop(): Promise<void> {
    await this.#clients?.stop();
    this.#writes.push(...(this.#clients?.writes ?? []));
    this.#clients = null;
  }

  /** Holds what the grid shows against what its clients saw; what it does not show is no cause of anything from then on. */
  async compare({ before, after }: Moment): Promise<Shown> {
    await this.stop();
    const shards = this.#shards();
    const order = await checkOrder(shards, this.#writes, before);
    const rows = await Promise.all(shards.map((shard) => shard.rows()));
    const shown = new Set(rows.flat().map(keyOf));
    const late = this.#writes.filter(({ sentAt }) => sentAt > after);
    const isShown = (write: Write): boolean => shown.has(keyOf(write));
    this.#writes = this.#writes.filter(isShown);
    return { ...order, late: late.length, lateShown: late.filter(isShown).length };
  }
}

function keyOf({ client, sequence }: Pick<Write, 'client' | 'sequence'>): string {
  return `${client} ${sequence}`;
}

/**
 * Clients whose acts have causes: each writes on one shard and, after that was acknowledged, on the next.
 * If a restore shows a write, it must show every earlier write of the same client, wherever it went.
 */
export interface Write {
  readonly client: number;
  readonly sequence: number;
  readonly shard: number;
  /** By performance.now(): when it was sent, and when it was acknowledged. */
  readonly sentAt: number;
  readonly acknowledgedAt: number;
}

/** For tests of order, not of load: clients that leave most of the machine to what they watch. */
export const UNHURRIED = { pauseMs: 5 } as const;

/** Something that stores rows: a server, or a copyset of a grid. */
export interface Shard {
  /** A connection of one client's own. */
  connect(): Promise<Connection>;
  /** Every row that is there, of all clients. */
  rows(): Promise<readonly { readonly client: number; readonly sequence: number }[]>;
}

export interface Connection {
  /** Resolves when it is acknowledged. */
  write(client: number, sequence: number): Promise<void>;
  close(): void;
}

export class CausalClients {
  readonly writes: Write[] = [];
  readonly #pauseMs: number;
  readonly #running: Promise<void>[] = [];
  /** By client: when it sent what is not acknowledged yet. */
  readonly #underWay = new Map<number, number>();
  #stopped = false;

  private constructor(pauseMs: number) {
    this.#pauseMs = pauseMs;
  }

  /**
   * Starts writing to these shards; resolves when every client has a connection to each. A client pauses for
   * so many ms between an acknowledgement and its next write: what keeps a long run small. `first` is the
   * number of the first client: no number may write to the same shards twice.
   */
  static async start(
    shards: readonly Shard[],
    clients: number,
    { first = 0, pauseMs = 0 }: { readonly first?: number; readonly pauseMs?: number } = {},
  ): Promise<CausalClients> {
    const workload = new CausalClients(pauseMs);
    const opened = await Promise.all(
      Array.from({ length: clients }, () => Promise.all(shards.map((shard) => shard.connect()))),
    );
    workload.#running.push(
      ...opened.map((connections, index) => workload.#write(first + index, connections)),
    );
    return workload;
  }

  /** Ends when the write under way is acknowledged, or its server is gone. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  /** The longest that a write has waited that is not acknowledged yet, in ms. */
  underWayMs(now: number): number {
    return Math.max(0, ...[...this.#underWay.values()].map((sentAt) => now - sentAt));
  }

  async #write(client: number, connections: readonly Connection[]): Promise<void> {
    try {
      for (let sequence = 0; !this.#stopped; sequence += 1) {
        const shard = (client + sequence) % connections.length;
        const sentAt = performance.now();
        this.#underWay.set(client, sentAt);
        await connections[shard]?.write(client, sequence);
        this.writes.push({ client, sequence, shard, sentAt, acknowledgedAt: performance.now() });
        this.#underWay.delete(client);
        if (this.#pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, this.#pauseMs));
      }
    } catch {
      // Its server is gone: what was not acknowledged is nobody's.
    } finally {
      for (const connection of connections) connection.close();
    }
  }
}

export interface OrderReport {
  /** Writes that were acknowledged before the checkpoint began, and are not there. */
  readonly missing: number;
  /** Writes that are there while an earlier one of the same client is not. */
  readonly withoutCause: number;
  readonly found: number;
}

/** Holds what the restored shards show against what the clients saw. */
export async function checkOrder(
  shards: readonly Shard[],
  writes: readonly Write[],
  acknowledgedBefore: number,
): Promise<OrderReport> {
  const found = new Map<number, Set<number>>();
  for (const shard of shards) {
    for (const { client, sequence } of await shard.rows()) {
      const set = found.get(client) ?? new Set();
      set.add(sequence);
      found.set(client, set);
    }
  }
  let withoutCause = 0;
  for (const sequences of found.values()) {
    let highest = -1;
    for (const sequence of sequences) highest = Math.max(highest, sequence);
    withoutCause += highest + 1 - sequences.size;
  }
  const missing = writes.filter(
    ({ client, sequence, acknowledgedAt }) =>
      acknowledgedAt < acknowledgedBefore && found.get(client)?.has(sequence) !== true,
  ).length;
  return { missing, withoutCause, found: [...found.values()].reduce((sum, set) => sum + set.size, 0) };
}

export interface Felt {
  /** The longest write of those that were under way between the two times. */
  readonly worstMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** What clients felt in a stretch of time. */
export function latencies(writes: readonly Write[], from: number, to: number): Felt {
  const touched = writes
    .filter(({ sentAt, acknowledgedAt }) => acknowledgedAt >= from && sentAt <= to)
    .map(({ sentAt, acknowledgedAt }) => acknowledgedAt - sentAt)
    .sort((a, b) => a - b);
  const at = (share: number): number =>
    touched[Math.min(touched.length - 1, Math.floor(touched.length * share))] ?? 0;
  return { worstMs: touched.at(-1) ?? 0, p50Ms: at(0.5), p99Ms: at(0.99) };
}

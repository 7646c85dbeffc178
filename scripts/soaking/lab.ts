import { CausalClients } from '../../test/lab/causal-clients.ts';
import { createGrid, type TestGrid, type TestMember } from '../../test/lab/grid.ts';
import { Hooks } from '../../test/lab/hooks.ts';
import { persistentShards } from '../../test/lab/persistent-shards.ts';
import { until } from '../../test/lab/processes.ts';
import { postgresShards, TABLE_SQL } from '../../test/lab/shards.ts';
import { temporaryFolder } from '../../test/lab/temporary.ts';
import { LEASE_MS } from './fault-kinds.ts';
import type { Victim } from './plan.ts';

/** Its agent is never killed, so that its memory is that of the whole run. */
const LASTING_HOST = 1;
const HOSTS = [1, 2, 3, 4].map((host) => `127.0.71.${host}`);
const OTHERS = [1, 2, 3, 4].map((host) => `127.0.72.${host}`);
const COPYSETS = [
  { name: 'orders', hosts: [0] },
  { name: 'stock', hosts: [LASTING_HOST] },
  { name: 'payments', hosts: [2] },
  { name: 'ledger', hosts: [3, 0] },
];
const CLIENTS = 8;
/** A few hundred rows a second in all: half an hour of them is a few megabytes a server. */
const PAUSE_MS = 25;
/** What a server keeps of its journal, so that a long run stays small. */
const SETTINGS = ['max_wal_size = 96MB', 'min_wal_size = 32MB'];
const PUT_RIGHT_MS = 15_000;

/** The grid under the soak, with its clients and everything that can be done to it. */
export class SoakLab {
  readonly grid: TestGrid;
  readonly hooks: Hooks;
  readonly clients: CausalClients;
  readonly #end: () => Promise<void>;
  #other: TestGrid | null = null;

  private constructor(grid: TestGrid, hooks: Hooks, clients: CausalClients, end: () => Promise<void>) {
    this.grid = grid;
    this.hooks = hooks;
    this.clients = clients;
    this.#end = end;
  }

  /** Resolves when every client has written to every shard. What a failed start has made is removed. */
  static async start(): Promise<SoakLab> {
    const folder = temporaryFolder('hooks');
    const hooks = new Hooks(`${folder.path}/hooks`);
    const leaving = new AbortController();
    let grid: TestGrid | null = null;
    let clients: CausalClients | null = null;
    const end = async (): Promise<void> => {
      leaving.abort();
      const stopped = clients?.stop();
      // Ends the writes that wait for a server too.
      await grid?.close();
      await stopped;
      folder.remove();
    };
    try {
      grid = await createGrid({
        hosts: HOSTS,
        copysets: COPYSETS,
        settings: SETTINGS,
        walSegmentMb: 16,
        leaseSeconds: LEASE_MS / 1000,
        env: hooks.env,
      });
      for (const { server } of grid.primaries) {
        await server.query(TABLE_SQL);
        await server.query('CREATE TABLE noise (x int)');
      }
      const shards = postgresShards(grid.primaries.map(({ server }) => server.url));
      clients = await CausalClients.start(persistentShards(shards, leaving.signal), CLIENTS, {
        pauseMs: PAUSE_MS,
      });
      const lab = new SoakLab(grid, hooks, clients, end);
      await lab.commitsSince(performance.now(), PUT_RIGHT_MS);
      return lab;
    } catch (error) {
      await end();
      throw error;
    }
  }

  get victims(): Victim[] {
    return this.grid.members.map(({ name, standby, host }) => ({
      name,
      standby,
      mortal: host !== LASTING_HOST,
    }));
  }

  get lastingHost(): string {
    return HOSTS[LASTING_HOST] ?? '';
  }

  /** The same grid on other hosts, where nothing but agents runs yet. Its `close` removes it, as ours does. */
  async other(): Promise<{ other: TestGrid; maps: string[] }> {
    const other = await createGrid({ beside: this.grid, empty: true, hosts: OTHERS, copysets: COPYSETS });
    this.#other = other;
    return { other, maps: HOSTS.flatMap((host, index) => ['--map', `${host}=${OTHERS[index] ?? ''}`]) };
  }

  /**
   * Resolves to the time from `since` until every shard had acknowledged a write that was sent after it, in ms.
   * Rejects when that is more than the limit.
   */
  async commitsSince(since: number, limitMs: number): Promise<number> {
    const what = 'every server to commit';
    await until(what, () => this.#firstCommits(since).size === this.grid.primaries.length, limitMs);
    const tookMs = Math.max(...this.#firstCommits(since).values()) - since;
    if (tookMs > limitMs) throw new Error(`waited ${Math.round(tookMs)} ms, not ${limitMs}, for ${what}`);
    return tookMs;
  }

  /** By shard: when the first write was acknowledged that was sent after this. */
  #firstCommits(since: number): Map<number, number> {
    const first = new Map<number, number>();
    for (let index = this.clients.writes.length - 1; index >= 0; index -= 1) {
      const write = this.clients.writes[index];
      if (write === undefined || write.acknowledgedAt < since) break;
      if (write.sentAt > since) first.set(write.shard, write.acknowledgedAt);
    }
    return first;
  }

  /**
   * After whatever was done: nobody is held or stopped, every agent and server runs, every server is as it was
   * before the first checkpoint, and every client writes. Names agents that have died without our doing.
   */
  async putRight(): Promise<{ died: string[] }> {
    this.hooks.reset();
    const died: string[] = [];
    for (const [host, agent] of this.grid.agents.entries()) {
      agent?.signal('SIGCONT');
      if (agent !== null && isAlive(agent.pid)) continue;
      if (agent !== null) died.push(this.grid.hosts[host]?.address ?? '');
      await this.grid.startAgent(host);
    }
    for (const { server } of this.grid.members) await startServer(server);
    await this.grid.expectUntouched('', PUT_RIGHT_MS);
    await this.commitsSince(performance.now(), PUT_RIGHT_MS);
    return { died };
  }

  /** Ends and removes everything; every client has ended when it resolves. */
  async close(): Promise<void> {
    await this.#other?.close();
    await this.#end();
  }
}

/** Where it does not run. */
export async function startServer(server: TestMember['server']): Promise<void> {
  if (server.postmasterPid() === null) await server.start();
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

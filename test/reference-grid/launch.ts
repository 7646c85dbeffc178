import { freePort } from '../lab/ports.ts';
import { until } from '../lab/processes.ts';
import type { NodeCalls, RealmCalls, RealmStatus } from './calls.ts';
import { Client } from './client.ts';
import { contractOf } from './contract-client.ts';
import type { DefinedProcess, GridDefinition } from './definition.ts';
import { GridProcess, type Layout } from './grid-process.ts';
import { Remote } from './rpc.ts';

export interface LaunchOptions {
  readonly name?: string;
  /** Where data directories, sockets and logs go; a short path, for sockets have at most 100 bytes. */
  readonly folder: string;
  /** Addresses; the processes are spread over them, those of one kind on different ones. */
  readonly hosts: readonly string[];
  /** How many nodes each copyset has, in the order of definition. */
  readonly copysets: Readonly<Record<string, number>>;
  readonly keepers: number;
  readonly proxies: number;
  readonly satellites: number;
  /** So many realm services that take updates all, instead of one with satellites. */
  readonly cluster?: number;
  readonly foreign?: readonly string[];
  /** More options for every process, e.g. `--journal-bytes`. */
  readonly options?: readonly string[];
}

/** A grid of real processes. Everything of it is below one folder. */
export class ReferenceGrid {
  readonly definition: GridDefinition;
  readonly processes: readonly GridProcess[];

  constructor(definition: GridDefinition, processes: readonly GridProcess[]) {
    this.definition = definition;
    this.processes = processes;
  }

  /** Of the realm services; any of them will do for a client. */
  get urls(): readonly string[] {
    return this.#realmServices.map(({ address }) => address);
  }

  process(name: string): GridProcess {
    const found = this.processes.find((process) => process.name === name);
    if (found === undefined) throw new Error(`there is no process ${name}`);
    return found;
  }

  /** Starts all that are not running: realm services first, then the others. */
  async start(): Promise<void> {
    await this.startRealm();
    await startAll(this.processes);
  }

  async startRealm(): Promise<void> {
    await startAll(this.#realmServices);
  }

  /** Gives the realm its definition, or a changed one. */
  async define(change: Partial<GridDefinition> = {}): Promise<void> {
    await this.#atRealm((realm) => realm.call('define', { ...this.definition, ...change }));
  }

  /** The operator's maintenance of all nodes that run. */
  async maintain(on: boolean): Promise<void> {
    for (const { role, address, running } of this.processes) {
      if (role !== 'node' || !running) continue;
      const node = new Remote<NodeCalls>(address);
      await node.call('maintain', { on }).finally(() => node.close());
    }
  }

  /** Topology and status, as the realm service knows them. */
  async status(): Promise<RealmStatus> {
    return await this.#atRealm((realm) => realm.call('status', {}));
  }

  /** Resolves when every running process says that it is fit. */
  async healthy(): Promise<void> {
    let unfit: string[] = [];
    const fit = async (): Promise<boolean> => {
      const causes = await Promise.all(this.processes.filter((process) => process.running).map(unfitness));
      unfit = causes.filter((cause) => cause !== undefined);
      return unfit.length === 0;
    };
    await until('the grid to be healthy', fit).catch((error: unknown) => {
      throw new Error(unfit.join('; '), { cause: error });
    });
  }

  client(patienceMs?: number): Client {
    return new Client(this.urls, patienceMs);
  }

  /** Ends all processes, whatever they do. */
  async close(): Promise<void> {
    await Promise.all(this.processes.map((process) => process.kill('SIGKILL')));
  }

  get #realmServices(): GridProcess[] {
    return this.processes.filter(({ role }) => role === 'realm-service');
  }

  /** The first realm service takes updates, alone or in a cluster. */
  async #atRealm<T>(work: (remote: Remote<RealmCalls>) => Promise<T>): Promise<T> {
    const remote = new Remote<RealmCalls>(this.urls[0] ?? '');
    try {
      return await work(remote);
    } finally {
      remote.close();
    }
  }
}

/** A grid of which nothing runs yet. */
export async function layOutReferenceGrid(options: LaunchOptions): Promise<ReferenceGrid> {
  const { folder, hosts, cluster, keepers, proxies, satellites } = options;
  const args = options.options ?? [];
  const lay = async (
    role: Layout['role'],
    names: readonly string[],
    realm: () => readonly string[],
    firstHost = 0,
  ): Promise<GridProcess[]> =>
    await Promise.all(
      names.map(async (name, index) => {
        const host = hosts[(firstHost + index) % hosts.length] ?? '127.0.0.1';
        const address = `${host}:${await freePort(host)}`;
        return new GridProcess({ role, name, host, address, folder, realm, args });
      }),
    );
  const updating: GridProcess[] = await lay('realm-service', numbered('realm', cluster ?? 1, ''), () =>
    cluster === undefined ? [] : addressesOf(updating),
  );
  const following = await lay(
    'realm-service',
    numbered('satellite', satellites, ''),
    () => addressesOf(updating),
    1,
  );
  const realmServices = [...updating, ...following];
  const urls = (): string[] => addressesOf(realmServices);
  const copysets: { name: string; nodes: GridProcess[] }[] = [];
  for (const [name, count] of Object.entries(options.copysets)) {
    copysets.push({ name, nodes: await lay('node', numbered(name, count), urls) });
  }
  const governing = await lay('keeper', numbered('k', keepers), urls);
  const forwarding = await lay('proxy', numbered('p', proxies), urls);
  const definition = {
    grid: options.name ?? 'reference',
    version: 0,
    copysets: copysets.map(({ name, nodes }) => ({ name, nodes: nodes.map(defined) })),
    keepers: governing.map(defined),
    proxies: forwarding.map(defined),
    realmServices: realmServices.map(defined),
    foreign: options.foreign ?? [],
  };
  const nodes = copysets.flatMap((copyset) => copyset.nodes);
  return new ReferenceGrid(definition, [...realmServices, ...governing, ...nodes, ...forwarding]);
}

/** As `layOutReferenceGrid`, and then started, defined and healthy. */
export async function launchReferenceGrid(options: LaunchOptions): Promise<ReferenceGrid> {
  const grid = await layOutReferenceGrid(options);
  try {
    await grid.startRealm();
    await grid.define();
    await grid.start();
    await grid.healthy();
    return grid;
  } catch (error) {
    await grid.close();
    throw error;
  }
}

async function startAll(processes: readonly GridProcess[]): Promise<void> {
  await Promise.all(processes.filter(({ running }) => !running).map((process) => process.start()));
}

/** `k1`, `k2`, …; or `realm`, `realm2`, …, where the first has its own ending. */
function numbered(name: string, count: number, first = '1'): string[] {
  return Array.from({ length: count }, (_, index) => `${name}${index === 0 ? first : index + 1}`);
}

function addressesOf(processes: readonly GridProcess[]): string[] {
  return processes.map(({ address }) => address);
}

function defined({ name, address, dataDirectory }: GridProcess): DefinedProcess {
  return { name, address, dataDirectory };
}

/** By the contract; undefined where it is fit. */
async function unfitness(process: GridProcess): Promise<string | undefined> {
  const contract = contractOf(process);
  try {
    const { healthy, cause } = await contract.health({});
    return healthy ? undefined : `${process.name}: ${cause}`;
  } catch (error) {
    return `${process.name}: ${(error as Error).message}`;
  } finally {
    contract.close();
  }
}

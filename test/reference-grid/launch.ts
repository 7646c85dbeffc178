import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort } from '../lab/ports.ts';
import { until } from '../lab/processes.ts';
import type { RealmCalls, RealmStatus } from './calls.ts';
import { Client } from './client.ts';
import { contractOf } from './contract-client.ts';
import { pidOf } from './control.ts';
import type { DefinedProcess, GridDefinition } from './definition.ts';
import { Remote } from './rpc.ts';

const CONTROL = fileURLToPath(new URL('control.ts', import.meta.url));

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

type LaunchedRole = 'realm-service' | 'keeper' | 'node' | 'proxy';

export interface GridProcess extends DefinedProcess {
  readonly role: LaunchedRole;
  readonly host: string;
  /** `unix:PATH`, where it serves the contract. */
  readonly participant: string;
  readonly running: boolean;
  readonly pid: number | undefined;
  /** What an operator would start and stop it with. */
  readonly startCommand: readonly string[];
  readonly stopCommand: readonly string[];
  /** Makes its data directory, and sees to it that it ends with us, whoever starts it. */
  prepare(): void;
  /** Resolves when it listens. */
  start(): Promise<void>;
  /** Lets it end by itself; resolves when it is gone. */
  stop(): Promise<void>;
  /** Resolves when it is gone, where the signal ends it. */
  kill(signal: NodeJS.Signals): Promise<void>;
}

export interface ReferenceGrid {
  readonly definition: GridDefinition;
  readonly processes: readonly GridProcess[];
  /** Of the realm services that take updates. */
  readonly urls: readonly string[];
  process(name: string): GridProcess;
  /** Starts all that are not running: realm services first, then the others. */
  start(): Promise<void>;
  /** Gives the realm its definition, or a changed one. */
  define(change?: Partial<GridDefinition>): Promise<void>;
  status(): Promise<RealmStatus>;
  /** Resolves when every running process says that it is fit. */
  healthy(): Promise<void>;
  client(patienceMs?: number): Client;
  /** Ends all processes, whatever they do. */
  close(): Promise<void>;
}

/** Lays out a grid of real processes, all of them described, none started. */
export async function layOutReferenceGrid(options: LaunchOptions): Promise<ReferenceGrid> {
  const { folder, hosts, copysets } = options;
  const args = options.options ?? [];
  const processes: GridProcess[] = [];
  const lay = async (role: LaunchedRole, name: string, index: number, realm: () => readonly string[]) => {
    const host = hosts[index % hosts.length] ?? '127.0.0.1';
    const address = `${host}:${await freePort(host)}`;
    processes.push(new Launched({ role, name, host, address, folder, realm, args }));
  };
  const of = (role: LaunchedRole) => processes.filter((process) => process.role === role);
  const primaries = options.cluster ?? 1;
  const urls = (): string[] => of('realm-service').map(({ address }) => address);
  const updating = (): string[] => urls().slice(0, primaries);
  for (let index = 0; index < primaries; index += 1) {
    const realm = options.cluster === undefined ? () => [] : updating;
    await lay('realm-service', `realm${index === 0 ? '' : index + 1}`, index, realm);
  }
  for (let index = 0; index < options.satellites; index += 1) {
    await lay('realm-service', `satellite${index === 0 ? '' : index + 1}`, index + 1, updating);
  }
  for (let index = 0; index < options.keepers; index += 1) await lay('keeper', `k${index + 1}`, index, urls);
  for (const [copyset, count] of Object.entries(copysets)) {
    for (let index = 0; index < count; index += 1) await lay('node', `${copyset}${index + 1}`, index, urls);
  }
  for (let index = 0; index < options.proxies; index += 1) await lay('proxy', `p${index + 1}`, index, urls);

  const defined = (all: readonly GridProcess[]): DefinedProcess[] =>
    all.map(({ name, address, dataDirectory }) => ({ name, address, dataDirectory }));
  const definition: GridDefinition = {
    grid: options.name ?? 'reference',
    version: 0,
    copysets: Object.entries(copysets).map(([name, count]) => ({
      name,
      nodes: defined(of('node').filter((node) => new RegExp(`^${name}[1-${count}]$`, 'u').test(node.name))),
    })),
    keepers: defined(of('keeper')),
    proxies: defined(of('proxy')),
    realmServices: defined(of('realm-service')),
    foreign: options.foreign ?? [],
  };
  const realm = async <T>(work: (remote: Remote<RealmCalls>) => Promise<T>): Promise<T> => {
    const remote = new Remote<RealmCalls>(updating()[0] ?? '');
    try {
      return await work(remote);
    } finally {
      remote.close();
    }
  };
  const startAll = (all: readonly GridProcess[]) =>
    Promise.all(all.filter((process) => !process.running).map((process) => process.start()));
  const grid: ReferenceGrid = {
    definition,
    processes,
    urls: updating(),
    process(name) {
      const found = processes.find((process) => process.name === name);
      if (found === undefined) throw new Error(`there is no process ${name}`);
      return found;
    },
    async start() {
      await startAll(of('realm-service'));
      await startAll(processes);
    },
    async define(change = {}) {
      await realm((remote) => remote.call('define', { ...definition, ...change }));
    },
    status: () => realm((remote) => remote.call('status', {})),
    async healthy() {
      let unfit: string[] = [];
      const fit = async (): Promise<boolean> => {
        const causes = await Promise.all(processes.filter((process) => process.running).map(unfitness));
        unfit = causes.filter((cause) => cause !== undefined);
        return unfit.length === 0;
      };
      await until('the grid to be healthy', fit).catch((error: unknown) => {
        throw new Error(unfit.join('; '), { cause: error });
      });
    },
    client: (patienceMs) => new Client(urls(), patienceMs),
    async close() {
      await Promise.all(processes.map((process) => process.kill('SIGKILL')));
    },
  };
  return grid;
}

/** As `layOutReferenceGrid`, and then started, defined and healthy. */
export async function launchReferenceGrid(options: LaunchOptions): Promise<ReferenceGrid> {
  const grid = await layOutReferenceGrid(options);
  try {
    const realms = grid.processes.filter(({ role }) => role === 'realm-service');
    await Promise.all(realms.map((process) => process.start()));
    await grid.define();
    await grid.start();
    await grid.healthy();
    return grid;
  } catch (error) {
    await grid.close();
    throw error;
  }
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

/** Bases of the processes that may live; ended when this process ends. */
const begun = new Set<string>();
process.once('exit', () => {
  for (const base of begun) kill(base, 'SIGKILL');
});

function kill(base: string, signal: NodeJS.Signals): void {
  const pid = pidOf(base);
  if (pid !== null) process.kill(pid, signal);
}

interface Layout {
  readonly role: LaunchedRole;
  readonly name: string;
  readonly host: string;
  readonly address: string;
  readonly folder: string;
  readonly realm: () => readonly string[];
  readonly args: readonly string[];
}

class Launched implements GridProcess {
  readonly role: LaunchedRole;
  readonly name: string;
  readonly host: string;
  readonly address: string;
  readonly dataDirectory: string;
  readonly participant: string;
  readonly #layout: Layout;
  readonly #base: string;

  constructor(layout: Layout) {
    this.#layout = layout;
    this.role = layout.role;
    this.name = layout.name;
    this.host = layout.host;
    this.address = layout.address;
    this.dataDirectory = join(layout.folder, layout.host, layout.name);
    this.#base = join(layout.folder, layout.name);
    this.participant = `unix:${this.#base}.sock`;
  }

  get running(): boolean {
    return this.pid !== undefined;
  }

  get pid(): number | undefined {
    return pidOf(this.#base) ?? undefined;
  }

  get startCommand(): readonly string[] {
    const { realm, args, name } = this.#layout;
    const url = realm();
    const where = { data: this.dataDirectory, name, listen: this.address, participant: this.participant };
    const options = Object.entries(where).flatMap(([option, value]) => [`--${option}`, value]);
    if (url.length > 0) options.push('--realm', url.join());
    if (this.role === 'realm-service' && url.includes(this.address)) options.push('--cluster');
    return [process.execPath, CONTROL, 'start', this.#base, this.role, ...options, ...args];
  }

  get stopCommand(): readonly string[] {
    return [process.execPath, CONTROL, 'stop', this.#base];
  }

  prepare(): void {
    mkdirSync(this.dataDirectory, { recursive: true });
    begun.add(this.#base);
  }

  async start(): Promise<void> {
    this.prepare();
    const [program = '', ...args] = this.startCommand;
    await promisify(execFile)(program, args);
  }

  async stop(): Promise<void> {
    await this.kill('SIGTERM');
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    kill(this.#base, signal);
    if (signal === 'SIGSTOP' || signal === 'SIGCONT') return;
    await until(`${this.name} to be gone`, () => !this.running);
  }
}

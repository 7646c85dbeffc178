import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from 'mocha';
import { freePort } from './ports.ts';
import { ROOT, until } from './processes.ts';
import { temporaryFolder } from './temporary.ts';

/** Real Infinispan servers: clusters on loopback addresses, each server a process of its own. */

interface Home {
  /** Of the server's libraries; null where this machine cannot have them. */
  readonly path: string | null;
  /** Why it cannot; empty where it can. */
  readonly missing: string;
}

let found: Home | null = null;

function home(): Home {
  if (found !== null) return found;
  const { status, stdout, stderr } = spawnSync(join(ROOT, 'scripts/servers'), ['infinispan'], {
    encoding: 'utf8',
  });
  if (status !== 0 && status !== 3) throw new Error(`./scripts/servers infinispan failed:\n${stderr}`);
  const last = stderr.trim().split('\n').at(-1) ?? '';
  found = status === 0 ? { path: stdout.trim(), missing: '' } : { path: null, missing: last };
  return found;
}

/** Why this machine has no Infinispan; null where it has. May take minutes the first time. */
export function whyNoInfinispan(): string | null {
  const { missing } = home();
  return missing === '' ? null : missing;
}

/** The server's home, with `lib`. `whyNoInfinispan` is asked before. */
export function infinispanHome(): string {
  const { path } = home();
  if (path === null) throw new Error('this machine has no Infinispan');
  return path;
}

/** In a `before`, which may take minutes the first time: skips where this machine has no Infinispan, and says why. */
export function needsInfinispan(context: Context): void {
  context.timeout(600_000);
  const missing = whyNoInfinispan();
  if (missing === null) return;
  process.stderr.write(`skipped, no Infinispan: ${missing}\n`);
  context.skip();
}

export interface InfinispanOptions {
  readonly nodes?: number;
  /** Of the cluster; two clusters of one name must not know each other's addresses. */
  readonly name?: string;
  /** The address at which node `index` serves its clients. */
  address?(index: number): string;
  /** XML of the cache container: caches, templates, counters. */
  readonly container?: string;
  /** Attributes of the cache container: `zero-capacity-node="true"`. */
  readonly attributes?: string;
  /** XML below `security`: realms. */
  readonly security?: string;
  /** XML in the place of `endpoints`: a security realm, connectors. */
  readonly endpoints?: string;
  /** More files of each server's `conf`, by name: users.properties, a keystore. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** XML of the stack of JGroups: protocols in the place of those that servers have. */
  readonly stack?: string;
  /** Of Java's heap. */
  readonly heapMB?: number;
}

const LOG4J = `<Configuration name="lab" shutdownHook="disable">
  <Appenders>
    <Console name="OUT"><PatternLayout pattern="%d{yyyy-MM-dd HH:mm:ss,SSS} %-5p (%t) [%c] %m%throwable%n"/></Console>
  </Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="OUT"/></Root></Loggers>
</Configuration>
`;

const CLIENTS_PORT = 'infinispan.bind.port';
const MEMBERS_PORT = 7800;

function configuration(cluster: string, seeds: readonly string[], options: InfinispanOptions): string {
  const hosts = seeds.map((seed) => `${seed}[${MEMBERS_PORT}]`).join(',');
  return `<infinispan xmlns="urn:infinispan:config:16.0">
  <jgroups>
    <stack name="lab" extends="tcp">
      <TCPPING initial_hosts="${hosts}" port_range="0" stack.combine="REPLACE" stack.position="MPING"/>
      <!-- Else it listens at every address, where no more than four have a port. -->
      <FD_SOCK2 offset="1" bind_addr="\${jgroups.bind.address}" stack.combine="COMBINE"/>
      ${options.stack ?? ''}
    </stack>
  </jgroups>
  <cache-container name="default" statistics="true" ${options.attributes ?? ''}>
    <transport cluster="${cluster}" stack="lab" node-name="\${infinispan.node.name}"/>
    ${options.container ?? ''}
  </cache-container>
  <server xmlns="urn:infinispan:server:16.0">
    <interfaces><interface name="public"><inet-address value="\${infinispan.bind.address}"/></interface></interfaces>
    <socket-bindings default-interface="public" port-offset="0">
      <socket-binding name="default" port="\${${CLIENTS_PORT}}"/>
    </socket-bindings>
    ${options.security === undefined ? '' : `<security>${options.security}</security>`}
    ${options.endpoints ?? '<endpoints socket-binding="default"/>'}
  </server>
</infinispan>
`;
}

const alive = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

/** One server. It may be started again at its place after it ended. */
export class InfinispanNode {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** The server's root: conf, data, log. */
  readonly root: string;
  readonly #member: string;
  readonly #watchPort: number;
  readonly #heapMB: number;
  #child: ChildProcess | null = null;
  #gone: Promise<void> = Promise.resolve();

  constructor(name: string, place: NodePlace, root: string, heapMB: number) {
    this.name = name;
    this.address = place.address;
    this.port = place.port;
    this.#member = place.member;
    this.#watchPort = place.watchPort;
    this.root = root;
    this.#heapMB = heapMB;
  }

  get hostport(): string {
    return `${this.address}:${this.port}`;
  }

  get url(): string {
    return `http://${this.hostport}`;
  }

  /** 0 when it does not run. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** What the server wrote since it was started first. */
  log(): string {
    return readFileSync(join(this.root, 'log/server.log'), 'utf8');
  }

  /** The command that runs this server, as an operator's unit would. */
  command(): readonly string[] {
    const path = infinispanHome();
    return [
      'java',
      '-Xms64m',
      `-Xmx${this.#heapMB}m`,
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      `-Dinfinispan.server.home.path=${path}`,
      `-Djgroups.bind.address=${this.#member}`,
      `-Djgroups.bind.port=${MEMBERS_PORT}`,
      `-Djgroups.fd.port-offset=${this.#watchPort - MEMBERS_PORT}`,
      '-Djgroups.join_timeout=500',
      `-D${CLIENTS_PORT}=${this.port}`,
      '-Djava.util.logging.manager=org.infinispan.server.loader.LogManager',
      '--add-opens=java.base/java.util=ALL-UNNAMED',
      '--add-opens=java.base/java.util.concurrent=ALL-UNNAMED',
      '-cp',
      `${path}/lib/*`,
      'org.infinispan.server.Bootstrap',
      '-s',
      this.root,
      '-c',
      'infinispan.xml',
      '-b',
      this.address,
      '-n',
      this.name,
    ];
  }

  /** Resolves when the server says that it has started. */
  async start(): Promise<void> {
    const file = join(this.root, 'log/server.log');
    const out = openSync(file, 'a');
    const from = readFileSync(file, 'utf8').length;
    const [program = '', ...args] = this.command();
    const child = spawn(program, args, { stdio: ['ignore', out, out] });
    closeSync(out);
    this.#child = child;
    alive.add(child);
    let ended = false;
    this.#gone = new Promise((resolve) => {
      child.once('exit', () => {
        ended = true;
        alive.delete(child);
        if (this.#child === child) this.#child = null;
        resolve();
      });
    });
    await until(
      `${this.name} to start`,
      () => {
        const said = readFileSync(file, 'utf8').slice(from);
        if (ended) throw new Error(`the server ended:\n${said.slice(-4000)}`);
        return said.includes('ISPN080001');
      },
      120_000,
    );
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#gone;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** SIGTERM; resolves when it is gone. */
  async stop(): Promise<void> {
    this.#child?.kill('SIGTERM');
    await this.#gone;
  }

  /** Resolves when it is gone, whoever ended it. */
  get gone(): Promise<void> {
    return this.#gone;
  }
}

interface NodePlace {
  readonly address: string;
  readonly port: number;
  /** At which the other members reach it. */
  readonly member: string;
  /** At which they see whether it lives: of every address of this machine, whatever its member's address is. */
  readonly watchPort: number;
}

/** A member's address is made of its clients' port, which nobody else here has. */
async function placeAt(address: string): Promise<NodePlace> {
  const port = await freePort(address);
  const watchPort = await freePort('0.0.0.0');
  return { address, port, member: `127.90.${port >> 8}.${port & 255}`, watchPort };
}

export class InfinispanCluster {
  readonly name: string;
  readonly nodes: readonly InfinispanNode[];
  readonly #folder: { readonly path: string; remove(): void };
  readonly #seeds: readonly string[];
  readonly #options: InfinispanOptions;
  readonly #added: InfinispanNode[] = [];

  private constructor(
    name: string,
    places: readonly NodePlace[],
    folder: { readonly path: string; remove(): void },
    options: InfinispanOptions,
  ) {
    this.name = name;
    this.#seeds = places.map(({ member }) => member);
    this.#folder = folder;
    this.#options = options;
    this.nodes = places.map((place, index) => this.#make(`n${index + 1}`, place, options));
  }

  /** Starts a cluster; resolves when each server has all the others. `needsInfinispan` stands before it. */
  static async start(options: InfinispanOptions = {}): Promise<InfinispanCluster> {
    const name = options.name ?? 'grid';
    const places: NodePlace[] = [];
    for (let index = 0; index < (options.nodes ?? 2); index += 1)
      places.push(await placeAt(options.address?.(index) ?? '127.0.0.1'));
    const cluster = new InfinispanCluster(name, places, temporaryFolder('infinispan'), options);
    try {
      const [first, ...others] = cluster.nodes;
      // The first one is the cluster; those that come at once with it would first be clusters of their own.
      await first?.start();
      await Promise.all(others.map((node) => node.start()));
    } catch (error) {
      await cluster.remove();
      throw error;
    }
    return cluster;
  }

  /** One more server of this cluster, not started; its options stand in the place of the cluster's. */
  async another(nodeName: string, options: Partial<InfinispanOptions> = {}): Promise<InfinispanNode> {
    const place = await placeAt(options.address?.(this.nodes.length) ?? '127.0.0.1');
    const node = this.#make(nodeName, place, { ...this.#options, ...options });
    this.#added.push(node);
    return node;
  }

  #make(nodeName: string, place: NodePlace, options: InfinispanOptions): InfinispanNode {
    const root = join(this.#folder.path, nodeName);
    for (const folder of ['conf', 'data', 'log', 'lib']) mkdirSync(join(root, folder), { recursive: true });
    const files = {
      'infinispan.xml': configuration(this.name, this.#seeds, options),
      'log4j2.xml': LOG4J,
      'users.properties': '',
      'groups.properties': '',
      ...options.files,
    };
    for (const [file, content] of Object.entries(files)) writeFileSync(join(root, 'conf', file), content);
    return new InfinispanNode(nodeName, place, root, options.heapMB ?? 384);
  }

  /** Kills every server and removes all that they had. */
  async remove(): Promise<void> {
    await Promise.all([...this.nodes, ...this.#added].map((node) => node.kill()));
    this.#folder.remove();
  }
}

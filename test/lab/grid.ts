import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { initRepository } from '../../shared/repository/open.ts';
import { initializePki, issueAgentCertificates } from '../../shared/rpc/pki.ts';
import { agentYaml, gridYaml } from './grid-files.ts';
import { freePort } from './ports.ts';
import { guardOf } from './guards.ts';
import type { InfinispanNode } from './infinispan.ts';
import type { PostgresServer, PostgresVersion } from './postgres.ts';
import {
  startAgent,
  startProgram,
  stillpoint,
  until,
  type Daemon,
  type Finished,
  type Programs,
  type RunningCommand,
} from './processes.ts';
import { placeOf } from './temporary.ts';
import { makeMember, missing, startServers } from './grid-servers.ts';

/**
 * A whole grid of real processes: hosts are directories with an address of 127.0.0.0/8 and an agent each,
 * members are PostgreSQL servers, the repository is a directory, and the command is the real one.
 */
export interface GridOptions {
  readonly name?: string;
  /** One address for each host. */
  readonly hosts: readonly string[];
  /** Copysets, in definition order; each names the host of its primary, then those of its standbys. */
  readonly copysets: readonly { readonly name: string; readonly hosts: readonly number[] }[];
  /** Processes that take part by themselves; each belongs to the host of its address. */
  readonly native?: readonly NativeMember[];
  /** Servers of Infinispan that run already; each belongs to the host of its address. */
  readonly clusters?: readonly { readonly copyset: string; readonly nodes: readonly InfinispanNode[] }[];
  /** Its native processes are a grid without a realm; the names of its copysets in their order. */
  readonly withoutRealm?: readonly string[];
  readonly version?: PostgresVersion;
  readonly settings?: readonly string[];
  readonly leaseSeconds?: number;
  /** Servers are not made and not started: a place to restore to. */
  readonly empty?: boolean;
  /** Share folder, CA and repository of another grid. */
  readonly beside?: TestGrid;
  /** Extra lines of every member in the agent files. */
  readonly memberLines?: (member: string) => readonly string[];
  /**
   * Servers as initdb makes them, with template0 and template1. Without, they are two thirds smaller, which every
   * checkpoint of a test is quicker for; CREATE DATABASE then has no database that it can copy.
   */
  readonly templates?: boolean;
  /**
   * How large the servers' journal files are. A checkpoint ends some of them early, and PostgreSQL fills the rest with
   * zeros that everybody receives, reads and stores: of the usual 16 MB that is most of what a small checkpoint works.
   */
  readonly walSegmentMb?: 1 | 16;
  /** Lines put first in pg_hba.conf of every server. */
  readonly hba?: readonly string[];
  /** How agents connect, where not over TCP. */
  readonly connection?: (server: PostgresServer) => string;
  /** Connect as superuser instead of the least-privileged role. */
  readonly superuser?: boolean;
  readonly repository?: string;
  /** Where all of it lies, and who made it takes it away; else in a folder of its own. */
  readonly folder?: string;
  readonly stateOf?: (host: number) => string;
  readonly env?: NodeJS.ProcessEnv;
  /** Those of the sources when not named. */
  readonly programs?: Programs;
}

/** A process of a grid as an agent file describes it. */
export interface NativeMember {
  readonly name: string;
  readonly role: 'realm-service' | 'state-keeper' | 'node' | 'proxy';
  readonly copyset: string | null;
  readonly host: string;
  readonly address: string;
  readonly dataDirectory: string;
  readonly participant: string;
  readonly startCommand: readonly string[];
  readonly stopCommand: readonly string[];
}

export interface TestMember {
  readonly name: string;
  readonly copyset: string;
  readonly host: number;
  readonly standby: boolean;
  readonly server: PostgresServer;
}

export interface TestHost {
  readonly address: string;
  readonly agentAddress: string;
  readonly folder: string;
  readonly state: string;
  readonly configuration: string;
  readonly log: string;
}

export class TestGrid {
  readonly name: string;
  readonly root: string;
  readonly pki: string;
  readonly repository: string;
  readonly gridFile: string;
  readonly hosts: readonly TestHost[];
  readonly members: readonly TestMember[];
  readonly agents: (Daemon | null)[] = [];
  readonly #options: GridOptions;
  readonly #remove: () => void;

  constructor(parts: {
    name: string;
    root: string;
    pki: string;
    repository: string;
    gridFile: string;
    hosts: readonly TestHost[];
    members: readonly TestMember[];
    options: GridOptions;
    remove: () => void;
  }) {
    this.name = parts.name;
    this.root = parts.root;
    this.pki = parts.pki;
    this.repository = parts.repository;
    this.gridFile = parts.gridFile;
    this.hosts = parts.hosts;
    this.members = parts.members;
    this.#options = parts.options;
    this.#remove = parts.remove;
  }

  get primaries(): readonly TestMember[] {
    return this.members.filter((member) => !member.standby);
  }

  member(name: string): TestMember {
    const found = this.members.find((member) => member.name === name);
    if (found === undefined) throw new Error(`no member ${name}`);
    return found;
  }

  async startAgent(host: number, env: NodeJS.ProcessEnv = {}): Promise<Daemon> {
    const { configuration, log } = this.hosts[host] ?? missing(host);
    const agent = await startAgent(
      configuration,
      log,
      { ...this.#options.env, ...env },
      this.#options.programs,
    );
    this.agents[host] = agent;
    return agent;
  }

  async killAgent(host: number): Promise<void> {
    const agent = this.agents[host];
    this.agents[host] = null;
    agent?.signal('SIGKILL');
    await agent?.gone;
  }

  /** SIGKILL to the guard of this host's agent. Fails when it has none: nothing is prepared. */
  killGuard(host: number): void {
    process.kill(guardOf((this.hosts[host] ?? missing(host)).configuration), 'SIGKILL');
  }

  /** SIGKILL to everything at once: the building lost power. */
  async killEverything(): Promise<void> {
    for (const { server } of this.members) server.kill();
    for (const host of this.hosts.keys()) await this.killAgent(host);
  }

  /** The command with this grid's file. */
  run(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
    return this.begin(args, env).finished;
  }

  begin(args: readonly string[], env: NodeJS.ProcessEnv = {}): RunningCommand {
    const { env: given, programs } = this.#options;
    return startProgram(
      'coordinator/main.ts',
      // Before all else: what stands behind -- is another program's.
      ['--grid', this.gridFile, ...args],
      { ...given, ...env },
      programs,
    );
  }

  /**
   * After whatever happened: every server commits again, its setting is what it was, replay goes on, and no
   * slot, connection or file of ours is left.
   */
  async expectUntouched(standbyNames = '', limitMs = 15_000): Promise<void> {
    for (const { name, server, standby } of this.members) {
      if (server.postmasterPid() === null) continue;
      await until(
        `${name} to be as it was`,
        async () => (await leftOn(server, standby, standbyNames)) === null,
        limitMs,
      ).catch(async (error: unknown) => {
        throw new Error(
          `${name}: ${(await leftOn(server, standby, standbyNames)) ?? 'it settled too late'}`,
          { cause: error },
        );
      });
      if (!standby) await commitsAgain(name, server);
    }
    for (const host of this.hosts) {
      const warned = /.*DeprecationWarning.*/.exec(readFileSync(host.log, 'utf8'))?.[0];
      if (warned !== undefined) throw new Error(`the agent on ${host.address} printed ${warned}`);
      for (const room of ['freezes', 'spool', 'restores']) {
        const path = join(host.state, room);
        if (!existsSync(path)) continue;
        await until(`${room} of ${host.address} to be empty`, () => readdirSync(path).length === 0, limitMs);
      }
    }
  }

  async close(): Promise<void> {
    for (const agent of this.agents) agent?.signal('SIGCONT');
    for (const agent of this.agents) agent?.signal('SIGKILL');
    await Promise.all(this.agents.flatMap((agent) => (agent === null ? [] : [agent.gone])));
    for (const { server } of this.members) killAll(server.data);
    // A guard whose server is gone for good would go on trying to undo.
    for (const { configuration } of this.hosts)
      spawnSync('pkill', ['-KILL', '-f', `agent/guard/main\\.[jt]s ${configuration}`]);
    this.#remove();
  }
}

async function leftOn(
  server: PostgresServer,
  standby: boolean,
  standbyNames: string,
): Promise<string | null> {
  const [row] = await server.query<{ names: string; slots: number; ours: string | null; paused: boolean }>(
    `SELECT current_setting('synchronous_standby_names') AS names,
            (SELECT count(*)::int FROM pg_replication_slots WHERE slot_name LIKE 'stillpoint%') AS slots,
            (SELECT string_agg(application_name, ', ') FROM pg_stat_activity WHERE application_name LIKE 'stillpoint%') AS ours,
            CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END AS paused`,
  );
  if (row === undefined) return 'it does not answer';
  if (!standby && row.names !== standbyNames) return `synchronous_standby_names is '${row.names}'`;
  if (row.slots > 0) return `${row.slots} replication slots are left`;
  if (row.ours !== null) return `connections are left: ${row.ours}`;
  if (row.paused) return 'its replay is paused';
  return null;
}

async function commitsAgain(name: string, server: PostgresServer): Promise<void> {
  const client = await server.connect();
  const timer = setTimeout(() => void client.end(), 10_000);
  try {
    await client.query("SELECT pg_logical_emit_message(true, 'test', name) FROM (VALUES ('x')) AS v(name)");
  } catch (error) {
    throw new Error(`${name} does not commit`, { cause: error });
  } finally {
    clearTimeout(timer);
    await client.end().catch(() => undefined);
  }
}

/** Kills every process whose working directory is this data directory, and waits until none is left. */
function killAll(data: string): void {
  spawnSync('pkill', ['-KILL', '-f', `-D ${data}`]);
  const isIn = (pid: string): boolean => {
    try {
      return readlinkSync(`/proc/${pid}/cwd`) === data;
    } catch {
      return false;
    }
  };
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isIn(name))) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // Gone already.
    }
  }
}

/** By the programs of a package where it is that which is tested; else by what they call, without a process for each. */
async function makeCertificates(pki: string, { beside, hosts, programs }: GridOptions): Promise<void> {
  if (programs === undefined) {
    if (beside === undefined) await initializePki(pki);
    await issueAgentCertificates(pki, hosts, { force: true });
    return;
  }
  if (beside === undefined) await mustSucceed(stillpoint(['pki', 'init', pki], {}, programs));
  await mustSucceed(stillpoint(['pki', 'issue', pki, '--force', ...hosts], {}, programs));
}

export async function createGrid(options: GridOptions): Promise<TestGrid> {
  const name = options.name ?? 'orders';
  const folder = options.beside === undefined ? placeOf(options.folder, 'grid') : null;
  const root = options.beside?.root ?? folder?.path ?? '';
  const base = join(root, options.beside === undefined ? 'first' : `beside-${options.hosts[0] ?? ''}`);
  const pki = options.beside?.pki ?? join(root, 'pki');
  const repository = options.repository ?? options.beside?.repository ?? join(root, 'repository');
  mkdirSync(base, { recursive: true, mode: 0o755 });
  await initRepository(repository);
  await makeCertificates(pki, options);

  const hosts: TestHost[] = [];
  for (const [index, address] of options.hosts.entries()) {
    const place = join(base, `host-${index + 1}`);
    mkdirSync(place, { recursive: true, mode: 0o755 });
    hosts.push({
      address,
      agentAddress: `${address}:${await freePort(address)}`,
      folder: place,
      state: options.stateOf?.(index) ?? join(place, 'state'),
      configuration: join(place, 'agent.yaml'),
      log: join(place, 'agent.log'),
    });
  }
  const members: TestMember[] = [];
  for (const copyset of options.copysets) {
    for (const [index, host] of copyset.hosts.entries()) {
      members.push(await makeMember(options, copyset.name, host, index, hosts));
    }
  }
  for (const [index, host] of hosts.entries()) {
    writeFileSync(host.log, '', { flag: 'a' });
    writeFileSync(
      host.configuration,
      agentYaml({
        options,
        name,
        pki,
        repository,
        host,
        members: members.filter((one) => one.host === index),
        native: (options.native ?? []).filter((one) => one.host === host.address),
      }),
    );
  }
  const gridFile = join(base, 'grid.yaml');
  writeFileSync(gridFile, gridYaml({ options, name, pki, repository, hosts }));
  const grid = new TestGrid({
    name,
    root,
    pki,
    repository,
    gridFile,
    hosts,
    members,
    options,
    remove: () => (folder === null ? rmSync(base, { recursive: true, force: true }) : folder.remove()),
  });
  try {
    if (options.empty !== true) await startServers(grid, options);
    for (const host of hosts.keys()) await grid.startAgent(host);
    return grid;
  } catch (error) {
    await grid.close();
    throw error;
  }
}

async function mustSucceed(command: Promise<Finished>): Promise<void> {
  const { code, stdout, stderr } = await command;
  if (code !== 0) throw new Error(`exit ${code ?? 'by signal'}: ${stderr}${stdout}`);
}

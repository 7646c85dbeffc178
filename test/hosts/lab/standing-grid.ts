import { mkdirSync, writeFileSync } from 'node:fs';
import { Hooks } from '../../lab/hooks.ts';
import type { BootedHost, Done } from './booted-host.ts';
import { down, HostsLab } from './hosts-lab.ts';
import { installStillpoint } from './install.ts';
import { whyNoLab } from './skipped.ts';
import {
  BY_DEBIAN,
  BY_SYSTEMCTL,
  makeCertificates,
  onHost,
  prepareServer,
  startAgent,
  writeGridFile,
  type ClusterOnHost,
} from './shards-on-hosts.ts';

/** Of the grid file `grid.yaml`. */
export const LEASE_MS = 5000;
const GRID = ['alpha', 'beta', 'gamma', 'delta'];
const OPERATOR = 'epsilon';
const HOOKS = '/var/lib/hooks';
/** Checkpoints that were read in this run, by id. */
const wasRead = new Set<string>();

/**
 * Four booted hosts with an agent each, six servers, and a host from which commands are given, which has `grid.yaml`.
 * Suites of one run have it one after the other: each leaves it whole, and one that is not whole is made anew.
 */
export class StandingGrid {
  readonly lab = new HostsLab();
  readonly operator = this.lab.host(OPERATOR);
  readonly hosts: readonly BootedHost[] = GRID.map((short) => this.lab.host(short));
  readonly clusters: readonly ClusterOnHost[] = [
    ...this.hosts.map((host) => onHost(host, `orders-${host.short}`)),
    onHost(this.lab.host('beta'), 'orders-second', {
      cluster: 'second',
      port: 5433,
      supervision: BY_SYSTEMCTL,
    }),
    onHost(this.lab.host('beta'), 'orders-third', { cluster: 'third', port: 5434, supervision: BY_DEBIAN }),
  ];

  private constructor() {}

  static async ready(): Promise<StandingGrid> {
    const grid = new StandingGrid();
    if (!(await grid.#isWhole())) await grid.#make();
    return grid;
  }

  /** Called in a suite: hands out the grid when its tests run. The suite is skipped where hosts cannot be booted. */
  static forSuite(): () => StandingGrid {
    let grid: StandingGrid | undefined;
    before(async function () {
      if (whyNoLab() !== null) this.skip();
      grid = await StandingGrid.ready();
    });
    return () => {
      if (grid === undefined) throw new Error('the grid is there when the tests run');
      return grid;
    };
  }

  /** Of the agent on a host; or of a command that is given with `commandWithHooks`. */
  hooks(host: BootedHost): Hooks {
    return new Hooks(host.path(HOOKS));
  }

  /** The words of a command that waits at the moments that are held on the operator's host. */
  withHooks(words: string): string {
    return `STILLPOINT_HOOKS=${HOOKS} ${words}`;
  }

  cluster(member: string): ClusterOnHost {
    const found = this.clusters.find((cluster) => cluster.member === member);
    if (found === undefined) throw new Error(`the grid has no member ${member}`);
    return found;
  }

  /** What is listed as valid, by id; each that was not there the last time is read, byte by byte. */
  async verified(): Promise<string[]> {
    const said = this.operator.shell('stillpoint checkpoint list --grid grid.yaml --output json');
    const { checkpoints } = JSON.parse(said) as { checkpoints: { checkpoint: string; state: string }[] };
    const valid = checkpoints.filter(({ state }) => state === 'valid').map(({ checkpoint }) => checkpoint);
    for (const id of valid) {
      if (!wasRead.has(id))
        await this.expect(0, `stillpoint checkpoint verify ${id} --grid grid.yaml --quiet`);
      wasRead.add(id);
    }
    return valid;
  }

  /** Gives a command on the operator's host; rejects with what it said when it ends with another code. */
  async expect(code: number, words: string): Promise<Done> {
    const done = await this.operator.begin(words);
    if (done.code === code) return done;
    throw new Error(`${words}\nended with ${done.code}, not ${code}: ${done.stdout}${done.stderr}`);
  }

  async #isWhole(): Promise<boolean> {
    const hosts = [this.operator, ...this.hosts];
    if (hosts.some((host) => host.leader() === null)) return false;
    for (const host of hosts) this.hooks(host).reset();
    const { code } = await this.operator.begin('stillpoint grid doctor --grid grid.yaml');
    return code === 0;
  }

  async #make(): Promise<void> {
    const say = (): void => undefined;
    await down();
    await this.lab.up(say, [...GRID, OPERATOR]);
    await installStillpoint(this.lab.hosts(), say);
    makeCertificates(this.operator, this.hosts);
    for (const host of this.hosts) {
      const unit = host.path('/etc/systemd/system/stillpoint-agent.service.d');
      mkdirSync(unit, { recursive: true });
      writeFileSync(`${unit}/hooks.conf`, `[Service]\nEnvironment=STILLPOINT_HOOKS=${HOOKS}\n`);
      this.hooks(host);
      host.shell('systemctl daemon-reload');
      const here = this.clusters.filter((cluster) => cluster.host === host);
      for (const cluster of here) prepareServer(cluster);
      startAgent(host, here, this.operator);
    }
    this.hooks(this.operator);
    writeGridFile(
      this.operator,
      'grid.yaml',
      this.hosts,
      this.clusters.map(({ member }) => member),
      { leaseSeconds: LEASE_MS / 1000 },
    );
    this.operator.shell('stillpoint repository init --grid grid.yaml');
  }
}

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  controlGroup,
  HOSTS,
  kill,
  LAB,
  makeDirectory,
  processesBelow,
  run,
  unmountBelow,
  until,
} from './machine.ts';
import { addressOf, connectHost, namespaceOf } from './network.ts';

const BOOT_MS = 90_000;
const POWER_MS = 30_000;
const COMMAND_MS = 120_000;

export interface Done {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * One Debian host, booted by systemd-nspawn. Its disk is a layer above the root image, and outlives its power. What is
 * known of it is read from the machine each time, so another process can go on with it.
 */
export class BootedHost {
  /** As others call it: `alpha.example`. */
  readonly name: string;
  readonly short: string;
  readonly address: string;
  readonly #index: number;

  constructor(short: string, index: number) {
    this.short = short;
    this.name = `${short}.example`;
    this.address = addressOf(index);
    this.#index = index;
  }

  /** Powers it on and waits until systemd has started what it starts at a boot. Idempotent. */
  async boot(image: string, names: string): Promise<void> {
    if (this.leader() !== null) return this.#isUp();
    this.#mount(image);
    connectHost(this.short, this.#index);
    writeFileSync(this.path('/etc/hostname'), `${this.short}\n`);
    writeFileSync(this.path('/etc/hosts'), `127.0.0.1 localhost\n${names}`);
    const group = controlGroup(this.short);
    mkdirSync(group, { recursive: true });
    const log = openSync(join(this.#folder(), 'console.log'), 'a');
    const nspawn = [
      'systemd-nspawn',
      '--quiet',
      '--boot',
      '--register=no',
      '--keep-unit',
      '--console=pipe',
      '--resolv-conf=off',
      '--timezone=off',
      `--directory=${this.path('')}`,
      `--machine=${this.short}`,
      `--network-namespace-path=/run/netns/${namespaceOf(this.short)}`,
      `--bind=${makeDirectory(join(LAB, 'shared'))}:/srv/stillpoint`,
    ];
    const child = spawn('sh', ['-c', 'echo $$ > "$0"/cgroup.procs; exec "$@"', group, ...nspawn], {
      detached: true,
      stdio: ['ignore', log, log],
      env: { ...process.env, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' },
    });
    child.unref();
    await this.#isUp();
  }

  async #isUp(): Promise<void> {
    await this.#hasBooted();
    if (existsSync(this.path('/etc/postgresql/15/main'))) return;
    // What the package does when apt installs it: a certificate, and a cluster that runs.
    this.shell('make-ssl-cert generate-default-snakeoil && pg_createcluster 15 main --start');
  }

  async #hasBooted(): Promise<void> {
    await until(`${this.name} to boot (${join(this.#folder(), 'console.log')})`, BOOT_MS, () =>
      ['running', 'degraded'].includes(this.try('systemctl is-system-running').stdout.trim()),
    );
  }

  /** Cut off: every process is gone at once, and nothing is told. */
  async cutPower(): Promise<void> {
    const leader = this.leader();
    if (leader !== null) kill(leader);
    await this.#isOff();
  }

  /** As by its own button. */
  async shutDown(): Promise<void> {
    this.try('systemctl poweroff');
    await this.#isOff();
  }

  async #isOff(): Promise<void> {
    await until(
      `${this.name} to be off`,
      POWER_MS,
      () => processesBelow(controlGroup(this.short)).length === 0,
    );
  }

  /** Runs a shell's words as root on the host; rejects with what they said when they fail. */
  shell(words: string, timeoutMs = COMMAND_MS): string {
    const { code, stdout, stderr } = this.try(words, timeoutMs);
    if (code === 0) return stdout;
    throw new Error(`${this.name}: ${words}\nended with ${code}: ${(stderr + stdout).slice(-4000)}`);
  }

  try(words: string, timeoutMs = COMMAND_MS): Done {
    const leader = this.leader();
    if (leader === null) return { code: null, stdout: '', stderr: 'the host is off' };
    const [program = '', ...args] = this.command(leader, words);
    const { status, stdout, stderr } = spawnSync(program, args, {
      encoding: 'utf8',
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      maxBuffer: 64 * 1024 * 1024,
    });
    return { code: status, stdout, stderr };
  }

  /** Begins what another process waits for; resolves when it has ended, however. */
  begin(words: string): Promise<Done> {
    const [program = '', ...args] = this.command(this.leader() ?? 0, words);
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()));
    child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
    return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
  }

  /** What a program is started behind to run on the host. */
  command(leader: number, words: string): string[] {
    const home = ['HOME=/root', 'USER=root', 'LANG=C.UTF-8', `TERM=${process.env['TERM'] ?? 'dumb'}`];
    const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    const enter = ['nsenter', '--target', String(leader), '--all', `--wd=/proc/${leader}/root/root`];
    return [...enter, 'env', '-i', path, ...home, 'bash', '-c', words];
  }

  /** The first process of the host; null where it is off. */
  leader(): number | null {
    return this.processes().find(({ inside }) => inside === 1)?.pid ?? null;
  }

  /** All that run on the host, by the numbers that they have on the machine and inside. */
  processes(): { readonly pid: number; readonly inside: number }[] {
    return processesBelow(controlGroup(this.short)).flatMap((pid) => {
      try {
        const inside = /^NSpid:\t\d+\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
        return inside === undefined ? [] : [{ pid, inside: Number(inside) }];
      } catch {
        // It is gone.
        return [];
      }
    });
  }

  /** A path of the host, as the machine sees it. */
  path(inside: string): string {
    return join(this.#folder(), 'root', inside);
  }

  #folder(): string {
    return join(HOSTS, this.short);
  }

  #mount(image: string): void {
    const folder = this.#folder();
    for (const name of ['root', 'upper', 'work']) makeDirectory(join(folder, name));
    if (readdirSync(join(folder, 'root')).length > 0) return;
    const layers = `lowerdir=${image},upperdir=${folder}/upper,workdir=${folder}/work`;
    run('mount', ['-t', 'overlay', '-o', layers, `stillpoint-${this.short}`, join(folder, 'root')]);
  }
}

/** Unmounts the disks of all hosts and throws them away. */
export function removeDisks(): void {
  unmountBelow(HOSTS);
  rmSync(HOSTS, { recursive: true, force: true });
  rmSync(join(LAB, 'shared'), { recursive: true, force: true });
}

import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../lab/processes.ts';
import type { DefinedProcess } from './definition.ts';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));

const alive = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

export interface Layout {
  readonly role: 'realm-service' | 'keeper' | 'node' | 'proxy';
  readonly name: string;
  readonly host: string;
  readonly address: string;
  /** Where data directories, sockets and logs go. */
  readonly folder: string;
  readonly realm: () => readonly string[];
  readonly args: readonly string[];
}

/** One process of a grid: where it is, and whether it runs. It ends with who started it, at the latest. */
export class GridProcess implements DefinedProcess {
  readonly role: Layout['role'];
  readonly name: string;
  readonly host: string;
  readonly address: string;
  readonly dataDirectory: string;
  /** `unix:PATH`, where it serves the contract. */
  readonly participant: string;
  readonly #layout: Layout;
  #child: ChildProcess | undefined;
  #gone: Promise<void> = Promise.resolve();

  constructor(layout: Layout) {
    this.#layout = layout;
    this.role = layout.role;
    this.name = layout.name;
    this.host = layout.host;
    this.address = layout.address;
    this.dataDirectory = join(layout.folder, layout.host, layout.name);
    this.participant = `unix:${join(layout.folder, `${layout.name}.sock`)}`;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    const { folder, realm, args, name } = this.#layout;
    mkdirSync(this.dataDirectory, { recursive: true });
    const log = join(folder, `${name}.log`);
    const out = openSync(log, 'a');
    const from = readFileSync(log, 'utf8').length;
    const url = realm();
    const where = { data: this.dataDirectory, name, listen: this.address, participant: this.participant };
    const options = Object.entries(where).flatMap(([option, value]) => [`--${option}`, value]);
    if (url.length > 0) options.push('--realm', url.join());
    if (this.role === 'realm-service' && url.includes(this.address)) options.push('--cluster');
    const child = spawn(process.execPath, [MAIN, this.role, ...options, ...args], {
      stdio: ['ignore', out, out],
    });
    closeSync(out);
    alive.add(child);
    this.#child = child;
    this.#gone = new Promise((resolve) => {
      child.once('exit', () => {
        alive.delete(child);
        if (this.#child === child) this.#child = undefined;
        resolve();
      });
    });
    await until(`${name} to listen`, () => {
      const said = readFileSync(log, 'utf8').slice(from);
      if (!this.running) throw new Error(`${name} ended:\n${said}`);
      return said.includes(`${name} listens`);
    });
  }

  /** Lets it end by itself; resolves when it is gone. */
  async stop(): Promise<void> {
    await this.kill('SIGTERM');
  }

  /** Resolves when it is gone, where the signal ends it. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    this.#child?.kill(signal);
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') await this.#gone;
  }
}

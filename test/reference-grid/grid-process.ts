import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { until } from '../lab/processes.ts';
import { programFile } from '../lab/programs.ts';
import { pidOf } from './control.ts';
import type { DefinedProcess } from './definition.ts';

const CONTROL = programFile('test/reference-grid/control.ts');

/** Bases of the processes that may live; ended when this process ends. */
const begun = new Set<string>();
process.once('exit', () => {
  for (const base of begun) signalTo(base, 'SIGKILL');
});

function signalTo(base: string, signal: NodeJS.Signals): void {
  const pid = pidOf(base);
  if (pid !== null) process.kill(pid, signal);
}

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

  /** What an operator would start it with. */
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

  /** Makes its data directory, and sees to it that it ends with us, whoever starts it. */
  prepare(): void {
    mkdirSync(this.dataDirectory, { recursive: true });
    begun.add(this.#base);
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    this.prepare();
    const [program = '', ...args] = this.startCommand;
    await promisify(execFile)(program, args);
  }

  /** Lets it end by itself; resolves when it is gone. */
  async stop(): Promise<void> {
    await this.kill('SIGTERM');
  }

  /** Resolves when it is gone, where the signal ends it. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    signalTo(this.#base, signal);
    if (signal === 'SIGSTOP' || signal === 'SIGCONT') return;
    await until(`${this.name} to be gone`, () => !this.running);
  }
}

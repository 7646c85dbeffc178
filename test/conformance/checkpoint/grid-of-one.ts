import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import { endStarted, startMark } from '../../../agent/engines/native/started-processes.ts';
import { StillpointError, type Failure } from '../../../shared/domain/errors.ts';
import type { ParticipantDescription } from '../../../shared/domain/participant.ts';
import { initRepository, openRepository } from '../../../shared/repository/open.ts';
import type { TlsFiles } from '../../../shared/rpc/tls-files.ts';
import { yamlLine } from '../../../shared/runtime/configuration.ts';

const HOST = '127.0.0.1';
const LISTENS_MS = 30_000;
/** What the command is given for one operation. */
const COMMAND_MS = 300_000;
/** Of epochs, which have eight digits: six seconds each since then, so that no run meets the tokens of another. */
const EPOCHS_SINCE = Date.UTC(2026, 0, 1);
const EPOCH_MS = 6000;

/** What the command said: its one JSON object, and why it failed. */
export interface Said {
  readonly result: Readonly<Record<string, unknown>>;
  readonly failure: Failure | null;
}

/** A process of the grid of one: the one that is looked at, or the place for its restored copy. */
export interface Place {
  readonly address: string;
  readonly data: string;
  readonly participant: string;
  readonly tls?: TlsFiles;
  readonly start: readonly string[];
}

/**
 * A grid of one node in a temporary place: CA, repository, and a real agent for the process and one for its restored
 * copy. What the real command says of it is all that is known.
 */
export class GridOfOne {
  readonly folder = mkdtempSync(join(tmpdir(), 'stillpoint-conformance-'));
  readonly #description: ParticipantDescription;
  readonly #alive = new Set<ChildProcess>();
  readonly #places: Place[] = [];
  readonly #signal: AbortSignal | undefined;

  /** `signal`: a command that is under way when it comes is interrupted, as from a terminal. */
  constructor(description: ParticipantDescription, signal?: AbortSignal) {
    this.#description = description;
    this.#signal = signal;
  }

  get #pki(): string {
    return join(this.folder, 'pki');
  }

  get repository(): string {
    return join(this.folder, 'repository');
  }

  /** Of this run: newer than that of every run before. */
  readonly epoch = Math.floor((Date.now() - EPOCHS_SINCE) / EPOCH_MS);

  async begin(): Promise<void> {
    await initRepository(this.repository);
    const repository = await openRepository(this.repository);
    try {
      await repository.raiseEpoch(this.#description.grid, this.epoch);
    } finally {
      await repository.close();
    }
    for (const words of [
      ['init', this.#pki],
      ['issue', this.#pki, HOST],
    ]) {
      const { failure } = await this.#run(['pki', ...words]);
      if (failure !== null) throw new StillpointError(failure);
    }
  }

  /** Starts an agent for the process in this place. Resolves to the grid file that names it. */
  async agentFor(name: string, place: Place): Promise<string> {
    this.#places.push(place);
    const folder = join(this.folder, name);
    mkdirSync(join(folder, 'state'), { recursive: true, mode: 0o700 });
    const { grid, name: member, copyset } = this.#description;
    const listen = `${HOST}:${await freePort()}`;
    const tls = (who: string): object => ({
      ca: join(this.#pki, 'ca.pem'),
      cert: join(this.#pki, `${who}.pem`),
      key: join(this.#pki, `${who}-key.pem`),
    });
    const common = { grid, repository: this.repository };
    const agent = {
      ...common,
      listen,
      tls: tls(HOST),
      state: join(folder, 'state'),
      members: [
        {
          name: member,
          role: 'node',
          ...(copyset !== null && { copyset }),
          engine: 'native',
          address: place.address,
          data: place.data,
          participant: place.participant,
          ...(place.tls !== undefined && { tls: place.tls }),
          run: { start: place.start, stop: stopOf(place) },
        },
      ],
    };
    const gridFile = {
      ...common,
      agents: [listen],
      tls: tls('coordinator'),
      realm: 'none',
      leaseSeconds: 10,
    };
    const [agentPath, gridPath] = [join(folder, 'agent.yaml'), join(folder, 'grid.yaml')];
    writeFileSync(agentPath, yamlLine(agent));
    writeFileSync(gridPath, yamlLine(gridFile));
    await this.#startAgent(agentPath, join(folder, 'agent.log'));
    return gridPath;
  }

  /** The command, with a grid file; `--output json` is added. */
  stillpoint(gridFile: string, words: readonly string[]): Promise<Said> {
    return this.#run([...words, '--grid', gridFile]);
  }

  /** Ends all that was started, the restored copy too, and removes what was made. */
  async end(): Promise<void> {
    for (const child of this.#alive) child.kill('SIGTERM');
    await Promise.all([...this.#alive].map((child) => once(child, 'exit')));
    for (const { data } of this.#places.slice(1)) await endStarted({ data });
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #startAgent(file: string, log: string): Promise<void> {
    const out = openSync(log, 'a');
    const child = this.#spawn('agent', ['--config', file], ['ignore', out, out]);
    const until = performance.now() + LISTENS_MS;
    for (;;) {
      const said = readFileSync(log, 'utf8');
      if (said.includes('"event":"listening"')) return;
      if (!this.#alive.has(child) || performance.now() > until)
        throw new StillpointError({
          code: 'agent-failed',
          message: `the agent for ${this.#description.name} does not listen: ${said.slice(-1000)}`,
          hint: 'see what it says; --checkpoint needs a host on which an agent can run',
        });
      await pause(20);
    }
  }

  async #run(words: readonly string[]): Promise<Said> {
    const child = this.#spawn(
      'coordinator',
      [...words, '--output', 'json', '--quiet'],
      ['ignore', 'pipe', 'pipe'],
    );
    let [stdout, stderr] = ['', ''];
    child.stdout?.on('data', (bytes: Buffer) => (stdout += bytes.toString()));
    child.stderr?.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
    const limit = setTimeout(() => child.kill('SIGKILL'), COMMAND_MS);
    const interrupt = (): void => void child.kill('SIGINT');
    this.#signal?.addEventListener('abort', interrupt);
    const [code] = (await once(child, 'close')) as [number | null];
    this.#signal?.removeEventListener('abort', interrupt);
    clearTimeout(limit);
    const result = objectIn(stdout);
    const { error } = result as { error?: Failure };
    if (error !== undefined) return { result, failure: error };
    if (code === 0) return { result, failure: null };
    const message = `stillpoint ${words.join(' ')} ended with ${code ?? 'a signal'}: ${(stderr || stdout).slice(-1000)}`;
    return { result, failure: { code: 'internal', message, hint: 'report it with what it was run against' } };
  }

  #spawn(
    program: 'agent' | 'coordinator',
    args: readonly string[],
    stdio: ('ignore' | 'pipe' | number)[],
  ): ChildProcess {
    const kind = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const path = fileURLToPath(new URL(`../../../${program}/main.${kind}`, import.meta.url));
    const child = spawn(process.execPath, [path, ...args], { stdio });
    this.#alive.add(child);
    child.once('exit', () => this.#alive.delete(child));
    return child;
  }
}

/** Ends what a start command of the agent became: by that it knows it, too. */
export function stopOf({ data }: Pick<Place, 'data'>): string[] {
  const mark = JSON.stringify(Object.entries(startMark({ data })).map((entry) => entry.join('=')));
  const program = `const { readdirSync, readFileSync } = require('node:fs');
for (const pid of readdirSync('/proc').filter((name) => /^\\d+$/.test(name) && Number(name) !== process.pid))
  try {
    const has = readFileSync('/proc/' + pid + '/environ', 'utf8').split('\\0');
    if (${mark}.every((one) => has.includes(one))) process.kill(Number(pid), 'SIGTERM');
  } catch {}`;
  return [process.execPath, '-e', program];
}

function objectIn(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, HOST);
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  return port;
}

/** An argv of an implementer, whose paths may be relative to where the suite was called. */
export function fromHere(argv: readonly string[]): string[] {
  return ['/bin/sh', '-c', 'cd "$0" && exec "$@"', process.cwd(), ...argv];
}

/** A folder for a restored copy: the data directory exists, nothing is in it. */
export function emptyPlace(folder: string): string {
  const data = join(folder, 'data');
  mkdirSync(data, { recursive: true });
  chmodSync(data, 0o700);
  return data;
}

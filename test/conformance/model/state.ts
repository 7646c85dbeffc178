import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { Content, DefinedProcess, GridDefinition } from '../../../shared/rpc/generated/participant.ts';
import type { HasFault } from './faults.ts';

interface Saved {
  version: number;
  addresses: Record<string, { address: string; dataDirectory: string }>;
  highestEpoch: number;
  highestCounter: number;
}

const NODE = 'model-1a';
const fresh = (): Saved => ({
  // What begins anew is told from what was restored.
  version: 1 + Math.floor(Math.random() * 1_000_000),
  addresses: { [NODE]: { address: 'localhost:7000', dataDirectory: '/srv/model-1a' } },
  highestEpoch: 0,
  highestCounter: 0,
});

/** The small state of a realm service or state keeper, in `live/state`; what a restore left comes first. */
export class State {
  readonly startedWith: Content;
  readonly #data: string;
  readonly #has: HasFault;
  readonly #saved: Saved;
  readonly #backups = new Map<string, string>();

  constructor(data: string, has: HasFault) {
    this.#data = data;
    this.#has = has;
    fs.mkdirSync(join(data, 'live'), { recursive: true });
    const recovery = join(data, 'live/recovery');
    const from = [recovery, join(data, 'live/state')].find((path) => fs.existsSync(path));
    const isIgnored = from === recovery && has('ignores-recovery');
    const text = from === undefined || isIgnored ? JSON.stringify(fresh()) : fs.readFileSync(from, 'utf8');
    this.#saved = JSON.parse(text) as Saved;
    const { content } = this;
    this.startedWith = content;
    if (has('says-no-content-of-what-it-was-started-with'))
      this.startedWith = { count: 0n, digest: Buffer.alloc(0) };
    if (has('changes-its-state-when-it-starts'))
      this.startedWith = { ...content, digest: Buffer.from('other') };
    this.#save();
    if (from === recovery && has('ends-when-it-finds-recovery'))
      throw new Error('recovery is not understood');
    if (!has('leaves-recovery')) fs.rmSync(recovery, { force: true });
  }

  get version(): number {
    return this.#saved.version;
  }

  get highest(): { highestEpoch: number; highestCounter: number } {
    const { highestEpoch, highestCounter } = this.#saved;
    return { highestEpoch, highestCounter };
  }

  get content(): Content {
    const { version, addresses } = this.#saved;
    const digest = createHash('sha256')
      .update(JSON.stringify([version, addresses]))
      .digest();
    return { count: 1n, digest };
  }

  get bytes(): Buffer {
    return Buffer.from(JSON.stringify(this.#saved));
  }

  get definition(): GridDefinition {
    const process = (name: string, address: string, dataDirectory: string): DefinedProcess => ({
      name,
      address,
      dataDirectory,
      running: true,
    });
    const nodes = Object.entries(this.#saved.addresses).map(([name, one]) =>
      process(name, one.address, one.dataDirectory),
    );
    return {
      grid: 'model',
      version: BigInt(this.#saved.version),
      copysets: [{ name: 'model-1', nodes }],
      keepers: [],
      proxies: [],
      realmServices: [
        process('realm', 'localhost:7100', '/srv/realm'),
        process('satellite', 'localhost:7101', '/srv/satellite'),
      ],
      foreign: [],
    };
  }

  /** Changes the state, and not its version: a fault. */
  touch(): void {
    const [[name, one] = ['', { address: '', dataDirectory: '' }]] = Object.entries(this.#saved.addresses);
    this.#saved.addresses[name] = { ...one, address: `localhost:${Math.floor(Math.random() * 60_000)}` };
  }

  backUp(key: string, epoch: number, counter: number): { file: string; definition: Buffer } {
    const has = this.#has;
    let file = this.#backups.get(key);
    if (file === undefined || has('backs-up-twice')) {
      file = `backups/${Date.now()}-${this.#backups.size}-${Math.random().toString().slice(2)}.json`;
      this.#backups.set(key, file);
      if (!has('records-no-checkpoint'))
        this.#saved.highestCounter = counter - (has('records-one-less') ? 1 : 0);
      if (!has('records-no-checkpoint')) this.#saved.highestEpoch = epoch;
      if (has('records-a-checkpoint-as-a-change')) this.#saved.version += 1;
      this.#save();
      fs.mkdirSync(join(this.#data, 'backups'), { recursive: true });
      if (has('backs-up-into-a-directory')) fs.mkdirSync(join(this.#data, file), { recursive: true });
      else if (!has('writes-no-backup'))
        fs.writeFileSync(join(this.#data, file), has('writes-an-empty-backup') ? '' : this.bytes);
    }
    if (has('says-half-of-the-definition'))
      return { file, definition: Buffer.from(JSON.stringify(this.#saved).slice(0, -9)) };
    const definition = has('says-the-definition-in-no-JSON')
      ? 'grid: model'
      : JSON.stringify(this.#saved.addresses);
    return { file, definition: Buffer.from(has('says-no-definition') ? '' : definition) };
  }

  /** Null where a process is not known. */
  relocate(processes: readonly DefinedProcess[]): bigint | null {
    const has = this.#has;
    const known = processes.filter(({ name }) => name in this.#saved.addresses);
    if (known.length < processes.length && !has('relocates-what-it-knows')) {
      if (has('relocates-some-and-refuses')) this.#change(known);
      return has('says-that-it-relocated-nobody') ? BigInt(this.#saved.version) : null;
    }
    this.#change(known);
    return BigInt(this.#saved.version);
  }

  #change(processes: readonly DefinedProcess[]): void {
    const has = this.#has;
    const before = JSON.stringify(this.#saved.addresses);
    if (!has('relocates-nothing'))
      for (const { name, address, dataDirectory } of processes)
        this.#saved.addresses[name] = { address, dataDirectory };
    const isChanged =
      JSON.stringify(this.#saved.addresses) !== before || has('counts-what-is-so-as-a-change');
    if (isChanged && !has('keeps-the-version-when-it-relocates')) this.#saved.version += 1;
    if (has('relocates-nothing')) this.#saved.version += 1;
    this.#save();
  }

  #save(): void {
    fs.writeFileSync(join(this.#data, 'new'), this.bytes);
    fs.renameSync(join(this.#data, 'new'), join(this.#data, 'live/state'));
  }
}

import { createServer, type Server } from 'node:net';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type * as grpc from '@grpc/grpc-js';
import * as wire from '../../../shared/rpc/generated/participant.ts';
import { ContractMachine } from '../contract/machine.ts';
import { cellsOf, type Fault, type HasFault } from './faults.ts';
import { Front } from './front.ts';
import { ModelParticipant, type Held, type ModelRole } from './participant.ts';
import { bound, serveModel } from './serve.ts';
import { State } from './state.ts';
import { Store } from './store.ts';

export interface ModelOptions {
  readonly data: string;
  readonly socket: string;
  readonly role: ModelRole;
  readonly fault: Fault | null;
  readonly sync: boolean;
  readonly preallocates: boolean;
}

const ROLES = {
  node: wire.Role.ROLE_NODE,
  'state-keeper': wire.Role.ROLE_STATE_KEEPER,
  'realm-service': wire.Role.ROLE_REALM_SERVICE,
  satellite: wire.Role.ROLE_REALM_SERVICE,
  proxy: wire.Role.ROLE_PROXY,
} as const;
const DECLARED_BYTES = 100;
const STATE_MS = 30;

/**
 * A process of one role, small enough to be seen to keep the contract, in this process: its answers are those of the
 * table. One fault can be planted in it.
 */
export class Model {
  readonly participant: ModelParticipant;
  readonly front: Front;
  readonly #store: Store | null;
  readonly #state: State;
  readonly #has: HasFault;
  readonly #options: ModelOptions;
  #server: grpc.Server | null = null;
  #inLive: Server | null = null;
  #changes: NodeJS.Timeout | null = null;
  #saved = 0;
  /** By `performance.now()`, while it is suspended. */
  #updatesWaitFrom = Infinity;
  #timeIsOver: NodeJS.Timeout | undefined;

  constructor(options: ModelOptions) {
    const { data, role, fault } = options;
    const has: HasFault = (name) => name === fault;
    this.#has = has;
    this.#options = options;
    const isNode = role === 'node';
    mkdirSync(join(data, 'live'), { recursive: true });
    this.#store = isNode ? new Store(data, options, has) : null;
    this.#state = new State(isNode ? join(data, 'state-of-nobody') : data, has);
    const machine = new ContractMachine(role === 'satellite' ? 'realm-service' : role, {
      isSatellite: role === 'satellite',
      otherCells: cellsOf(fault),
    });
    this.#remember(machine);
    this.participant = new ModelParticipant(machine, this.#held(), has);
    const rows = this.#store ?? {
      rows: new Set<number>(),
      add: () => undefined,
      appendLine: () => undefined,
    };
    this.front = new Front(
      rows,
      {
        isAtRest: () => machine.held('quiesced'),
        isInMaintenance: () => machine.held('maintenance'),
        isSuspended: () => machine.held('writingSuspended'),
        updatesWait: () => this.#updatesWait(),
      },
      has,
    );
  }

  /** Serves the contract, where it has a socket; resolves when it listens. */
  async start(): Promise<void> {
    const { data, socket } = this.#options;
    if (this.#has('has-a-socket-in-live')) {
      this.#inLive = createServer();
      const path = join(data, 'live/s');
      rmSync(path, { force: true });
      await new Promise<void>((go) => this.#inLive?.listen(path, go));
    }
    if (this.#has('changes-its-state-and-not-its-version'))
      this.#changes = setInterval(() => this.#state.touch(), STATE_MS);
    if (socket !== '') {
      rmSync(socket, { force: true });
      this.#server = await serveModel(this.participant, socket, this.#has);
    }
  }

  /** Also there; resolves to the port. */
  async listen(at: string, credentials: grpc.ServerCredentials): Promise<number> {
    if (this.#server === null) throw new Error('it does not serve the contract');
    return await bound(this.#server, at, credentials);
  }

  close(): void {
    this.#server?.forceShutdown();
    this.#inLive?.close();
    if (this.#changes !== null) clearInterval(this.#changes);
    clearTimeout(this.#timeIsOver);
    this.participant.close();
    this.#store?.close();
  }

  /** What must not outlive a process. */
  #remember(machine: ContractMachine): void {
    const has = this.#has;
    if (!has('is-still-held-after-a-restart') && !has('knows-its-tokens-after-a-restart')) return;
    const marker = join(this.#options.data, 'was-here');
    if (!existsSync(marker)) return writeFileSync(marker, '');
    if (has('knows-its-tokens-after-a-restart'))
      return machine.see({ epoch: 2 ** 32 - 1, counter: 0, attempt: 0 });
    const asked = { call: 'enterMaintenance', operation: 'before', leaseMs: 1 } as const;
    machine.apply(asked, machine.decide(asked));
  }

  #held(): Held {
    const has = this.#has;
    const store = this.#store;
    return {
      describe: () => this.#description(),
      activities: () => this.front.activities,
      rest: (allowReads) => {
        this.front.allowReads = allowReads;
        if (has('journal-grows-in-the-freeze')) setTimeout(() => store?.appendLine('#'), 50).unref();
        if (has('logs-a-moment-after-it-came-to-rest')) setTimeout(() => store?.appendLine('#'), 25).unref();
      },
      goOn: (by) => {
        this.front.allowReads = true;
        store?.goOn();
        this.front.open(by);
      },
      mark: () => this.#mark(),
      suspend: (updatesWaitAfterMs) => this.#suspend(updatesWaitAfterMs),
      updatesWait: () => this.#updatesWait(),
      resumeWriting: () => {
        clearTimeout(this.#timeIsOver);
        this.#updatesWaitFrom = Infinity;
        store?.resume();
      },
      retain: (isRetained) => {
        if (store !== null) store.retained = isRetained;
      },
      backUp: (key, epoch, counter) => this.#state.backUp(key, epoch, counter),
      saveState: () => {
        if (has('counts-its-version-down')) this.#saved -= 1;
        const state = has('saves-no-state') ? Buffer.alloc(0) : this.#state.bytes;
        return { state, version: BigInt(this.#state.version + this.#saved) };
      },
      relocate: (processes) => this.#state.relocate(processes),
    };
  }

  #suspend(updatesWaitAfterMs: number): string {
    const has = this.#has;
    const isAtOnce =
      has('lets-updates-wait-where-a-time-is-given') || has('refuses-updates-where-a-time-is-given');
    if (updatesWaitAfterMs > 0)
      this.#updatesWaitFrom = performance.now() + (isAtOnce ? 0 : updatesWaitAfterMs);
    this.#timeIsOver = setTimeout(() => {
      if (has('resumes-writing-when-the-time-is-over')) this.participant.lapse('writingSuspended');
      if (has('writes-when-the-time-is-over')) this.#store?.resume();
    }, updatesWaitAfterMs).unref();
    return this.#store?.suspend() ?? '';
  }

  #updatesWait(): boolean {
    return performance.now() >= this.#updatesWaitFrom;
  }

  #mark(): ReturnType<Held['mark']> {
    const has = this.#has;
    if (this.#store !== null) {
      const content = has('says-at-the-mark-what-it-once-had')
        ? this.#store.startedWith
        : this.#store.content;
      return { ...this.#store.switchJournal(), content };
    }
    const version = this.#state.version;
    const file = has('names-its-state-by-a-prefix')
      ? `state-${version}`
      : has('names-the-version-before')
        ? String(version - 1)
        : has('names-its-state-in-hexadecimal')
          ? `0x${version.toString(16)}`
          : String(version);
    return { file, length: has('says-a-length-of-its-state') ? 7 : 0, content: this.#state.content };
  }

  #description(): Omit<wire.DescribeResponse, 'incarnation' | 'held'> {
    const has = this.#has;
    const { data, role } = this.#options;
    const isNode = role === 'node';
    const isRealm = role === 'realm-service' || role === 'satellite';
    return {
      contractVersion: has('speaks-another-version-of-the-contract') ? 2 : 1,
      grid: has('belongs-to-no-grid') ? '' : 'model',
      name: isNode ? 'model-1a' : role === 'realm-service' ? 'realm' : role,
      role: ROLES[role],
      version: '1.0',
      address: has('has-an-address-without-a-port') ? 'localhost' : 'localhost:7000',
      dataDirectory: has('has-a-relative-data-directory') ? 'data' : data,
      journalDirectory: isNode && !has('has-no-journal-directory') ? 'journal' : '',
      copyset: isNode && !has('is-of-no-copyset') ? 'model-1' : '',
      primary: role !== 'satellite',
      dataIdentity: has('has-no-data-identity') ? '' : 'model',
      sizeBytes: BigInt(this.#store?.sizeBytes() ?? DECLARED_BYTES),
      clientConnections: 0,
      quorum: role === 'state-keeper' && !has('has-no-quorum') ? { running: 1, configured: 1 } : undefined,
      definition: isRealm && !has('has-no-definition') ? this.#state.definition : undefined,
      highestEpoch: this.#state.highest.highestEpoch,
      highestCounter: this.#state.highest.highestCounter,
      problems: [],
      startedWith: this.#startedWith(),
      unjournaled: [],
      recovering: '',
      updatesHaveRoomMs: undefined,
    };
  }

  #startedWith(): wire.Content | undefined {
    const has = this.#has;
    if (has('does-not-tell-what-it-was-started-with')) return undefined;
    const now = this.#store?.content ?? this.#state.content;
    if (has('takes-what-it-has-for-what-it-was-started-with')) return now;
    const told = this.#store?.startedWith ?? this.#state.startedWith;
    if (has('counts-what-it-has-for-what-it-was-started-with')) return { ...told, count: now.count };
    if (has('says-the-digest-of-now-of-what-it-was-started-with')) return { ...told, digest: now.digest };
    return told;
  }
}

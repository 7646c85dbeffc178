import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import type {
  BackUpDatabaseRequest,
  BackUpDatabaseResponse,
  Content,
} from '../../shared/rpc/generated/participant.ts';
import type { RealmCalls, Report } from './calls.ts';
import { contentOf, NO_CONTENT } from './content.ts';
import {
  checkDefinition,
  definitionMessage,
  relocated,
  type DefinedProcess,
  type GridDefinition,
} from './definition.ts';
import { writeDurably } from './durable.ts';
import { answerOf, every, type Repetition } from './every.ts';
import { Gate } from './gate.ts';
import { Refusal } from './holds.ts';
import type { Options } from './options.ts';
import type { Participation } from './participant.ts';
import { describedBase, type Running } from './process.ts';
import { RealmStore } from './realm-store.ts';
import { GridError, Remotes, serve, type Serving } from './rpc.ts';

const DEPLOY_MS = 500;
const HEARD_MS = 3000;

/**
 * Holds the definition of the grid. The primary takes updates and deploys them to its satellites; a satellite, which is
 * started with its primary's URL, refuses them. In a cluster every realm service takes updates.
 */
class RealmService {
  readonly gate = new Gate();
  readonly #options: Options;
  readonly #store: RealmStore;
  readonly #remotes = new Remotes<RealmCalls>();
  readonly #heard = new Map<string, { readonly report: Report; readonly at: number }>();
  #round: Repetition | undefined;

  constructor(options: Options) {
    this.#options = options;
    const others = options.cluster ? options.realm.filter((url) => url !== options.listen) : [];
    this.#store = new RealmStore(options.data, others, this.gate, options.timeoutMs / 2);
  }

  async begin(): Promise<void> {
    mkdirSync(join(this.#options.data, 'live'), { recursive: true });
    await this.#store.begin();
    this.#round = every(
      () => DEPLOY_MS,
      () => (this.#options.cluster ? this.#store.catchUp() : this.#deploy()),
    );
  }

  async end(): Promise<void> {
    await this.#round?.stop();
  }

  readonly serving: Serving<RealmCalls> = {
    define: async (definition) => {
      this.#mustBePrimary();
      checkDefinition(definition);
      return await this.#define((before) => ({ ...definition, version: (before?.version ?? 0) + 1 }));
    },

    relocate: (processes) => this.#relocate(processes),

    status: () => ({ definition: this.#definition, running: this.#running() }),

    report: (report) => {
      this.#heard.set(report.name, { report, at: performance.now() });
      return { definition: this.#definition };
    },

    deploy: async (definition) => {
      if (this.#takesUpdates) throw new GridError('not-satellite', `${this.#options.name} is no satellite`);
      if (JSON.stringify(definition) !== JSON.stringify(this.#definition)) {
        await this.#store.update(() => ({ definition }));
      }
      return { version: definition.version };
    },

    reserve: (request) => this.#store.reserve(request),
    store: (record) => this.#store.store(record),
    record: () => ({ record: this.#store.record }),
  };

  participation(clients: () => number): Participation {
    return {
      describe: () => ({
        ...describedBase(this.#options, this.#definition),
        role: 1,
        primary: this.#takesUpdates && this.#store.hasQuorum,
        clientConnections: clients(),
        definition:
          this.#definition && definitionMessage(this.#definition, new Set(this.#running().map(nameOf))),
        quorum: this.#takesUpdates ? this.#store.quorum : undefined,
        highestEpoch: this.#store.record.highestEpoch,
        highestCounter: this.#store.record.highestCounter,
        startedWith: contentOfDefinition(this.#store.startedWith.definition) ?? NO_CONTENT,
      }),
      unfit: () => {
        if (!this.#store.hasQuorum) return 'too few realm services of its cluster run';
        return this.#definition === undefined ? 'it has no definition' : undefined;
      },
      rest: {
        gate: this.gate,
        switchJournal: () =>
          Promise.resolve({
            file: String(this.#store.record.change),
            length: 0,
            content: contentOfDefinition(this.#definition),
          }),
      },
      backUpDatabase: (request) => asRefusal(() => this.#backUp(request)),
      relocate: (processes) => asRefusal(async () => BigInt((await this.#relocate(processes)).version)),
    };
  }

  get #definition(): GridDefinition | undefined {
    return this.#store.record.definition;
  }

  get #takesUpdates(): boolean {
    return this.#options.cluster || this.#options.realm.length === 0;
  }

  #mustBePrimary(): void {
    if (this.#takesUpdates) return;
    const fact = `${this.#options.name} is a satellite and takes no updates`;
    throw new GridError('satellite', `${fact}; hint: ask its primary ${this.#options.realm.join(',')}`);
  }

  async #relocate(processes: readonly DefinedProcess[]): Promise<{ version: number }> {
    this.#mustBePrimary();
    return await this.#define((before) => {
      if (before === undefined)
        throw new GridError('no-definition', 'there is no definition; hint: define the grid');
      const after = relocated(before, processes);
      // What is so already is no change.
      return JSON.stringify(after) === JSON.stringify(before)
        ? before
        : { ...after, version: before.version + 1 };
    });
  }

  async #define(
    change: (before: GridDefinition | undefined) => GridDefinition,
  ): Promise<{ version: number }> {
    const { definition } = await this.#store.update((record) => ({ definition: change(record.definition) }));
    this.#round?.now();
    return { version: definition?.version ?? 0 };
  }

  async #backUp({ epoch, counter }: BackUpDatabaseRequest): Promise<BackUpDatabaseResponse> {
    this.#mustBePrimary();
    const record = await this.#store.update(({ highestEpoch, highestCounter }) =>
      epoch > highestEpoch || (epoch === highestEpoch && counter > highestCounter)
        ? { highestEpoch: epoch, highestCounter: counter }
        : {},
    );
    const file = `backups/${new Date().toISOString().replaceAll(/[-:.]/g, '')}.json`;
    await writeDurably(join(this.#options.data, file), JSON.stringify(record));
    return { file, definition: Buffer.from(`${JSON.stringify(record.definition, null, 2)}\n`) };
  }

  /** Again and again, so that who was down, or came from elsewhere, has it too. */
  async #deploy(): Promise<void> {
    const definition = this.#definition;
    if (!this.#takesUpdates || definition === undefined) return;
    const satellites = definition.realmServices.filter(({ name }) => name !== this.#options.name);
    await Promise.all(
      satellites.map(async ({ name, address }) => {
        const deployed = this.#remotes.to(address).call('deploy', definition);
        if ((await answerOf(deployed, this.#options.timeoutMs)) === undefined) return;
        this.#heard.set(name, { report: realmReport(name, false), at: performance.now() });
      }),
    );
  }

  #running(): Report[] {
    const now = performance.now();
    const heard = this.#heard.values().filter(({ at }) => now - at < HEARD_MS);
    const peers = this.#definition?.realmServices.filter(({ address }) =>
      this.#store.reached.includes(address),
    );
    return [
      realmReport(this.#options.name, this.#takesUpdates),
      ...(peers ?? []).map(({ name }) => realmReport(name, true)),
      ...heard.map(({ report }) => report),
    ];
  }
}

function realmReport(name: string, primary: boolean): Report {
  return { name, role: 'realm-service', primary, healthy: true, problems: [] };
}

function contentOfDefinition(definition: GridDefinition | undefined): Content | undefined {
  if (definition === undefined) return undefined;
  const { copysets, keepers, proxies, realmServices } = definition;
  const processes = [...copysets.flatMap(({ nodes }) => nodes), ...keepers, ...proxies, ...realmServices];
  return contentOf(processes.length, definition);
}

function nameOf({ name }: { readonly name: string }): string {
  return name;
}

async function asRefusal<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof GridError)) throw error;
    const codes: Record<string, status> = {
      invalid: status.INVALID_ARGUMENT,
      'no-quorum': status.UNAVAILABLE,
    };
    const [fact = '', hint = 'see the definition'] = error.message.split('; hint: ');
    throw new Refusal(codes[error.code] ?? status.FAILED_PRECONDITION, fact, hint);
  }
}

export async function startRealmService(options: Options): Promise<Running> {
  const realm = new RealmService(options);
  await realm.begin();
  const server = await serve(options.listen, realm.serving);
  return {
    participation: realm.participation(() => server.clients()),
    begun: Promise.resolve(),
    async stop() {
      server.close();
      await realm.end();
    },
  };
}

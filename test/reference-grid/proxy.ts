import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeCalls, RowCalls } from './calls.ts';
import { addressOf } from './definition.ts';
import { answerOf, every } from './every.ts';
import { KeeperLink } from './keeper-link.ts';
import type { Options } from './options.ts';
import { incarnation } from './participant.ts';
import { describedBase, undecidedProblem, type Running } from './process.ts';
import { RealmLink } from './realm-link.ts';
import { GridError, Remotes, serve, type Caller, type Remote, type Serving } from './rpc.ts';

const PING_MS = 500;

/** Clients come here; each call goes to the node that is primary of its copyset. Holds nothing. */
class Proxy {
  readonly #options: Options;
  readonly #realm: RealmLink;
  readonly #keepers: KeeperLink;
  readonly #remotes = new Remotes<NodeCalls>();
  readonly #primaries = new Map<string, string>();
  readonly #unreached = new Set<string>();
  readonly #pings;

  constructor(options: Options) {
    this.#options = options;
    this.#realm = new RealmLink(options, () => this.#follow());
    this.#keepers = new KeeperLink(
      () => this.#realm.definition.keepers.map(({ address }) => address),
      () => ({ name: options.name, incarnation }),
      options.timeoutMs,
      () => this.#follow(),
    );
    this.#pings = every(
      () => PING_MS,
      () => this.#ping(),
    );
  }

  async begin(): Promise<void> {
    await this.#realm.begin(() => {
      const problems = [this.unfit()].filter((cause) => cause !== undefined);
      const { name } = this.#options;
      return { name, role: 'proxy', primary: false, healthy: problems.length === 0, problems };
    });
    this.#keepers.begin();
  }

  async end(): Promise<void> {
    await this.#pings.stop();
    await this.#keepers.end();
    await this.#realm.end();
  }

  readonly serving: Serving<RowCalls> = {
    put: (request, caller) => this.#forward(request, caller, (node, from) => node.call('put', from)),
    get: (request, caller) => this.#forward(request, caller, (node, from) => node.call('get', from)),
    scan: (request, caller) => this.#forward(request, caller, (node, from) => node.call('scan', from)),
  };

  running(clients: () => number): Omit<Running, 'begun' | 'stop'> {
    return {
      participation: {
        describe: () => ({
          ...describedBase(this.#options, this.#realm.known),
          role: 4,
          clientConnections: clients(),
          problems: undecidedProblem(this.#keepers.undecided),
        }),
        unfit: () => this.unfit(),
      },
    };
  }

  unfit(): string | undefined {
    if (this.#realm.known === undefined) return 'it has no definition';
    if (!this.#keepers.reached) return 'it reaches no keeper';
    if (this.#keepers.undecided.length > 0)
      return `copyset ${this.#keepers.undecided.join(', ')} is undecided`;
    const without = this.#realm.known.copysets.find(({ name }) => !this.#primaries.has(name));
    if (without !== undefined) return `copyset ${without.name} has no primary`;
    return this.#unreached.size > 0
      ? `it does not reach the primary of ${[...this.#unreached].join(', ')}`
      : undefined;
  }

  async #forward<Request extends { readonly copyset: string }, Answer>(
    request: Request,
    caller: Caller,
    call: (node: Remote<NodeCalls>, from: Request & { by: string }) => Promise<Answer>,
  ): Promise<Answer> {
    caller.isClient = true;
    this.#keepers.mustGovern();
    const { copyset } = request;
    const address = this.#primaries.get(copyset);
    if (address === undefined) throw new GridError('no-primary', `copyset ${copyset} has no primary`);
    try {
      return await call(this.#remotes.to(address), {
        ...request,
        by: `client ${caller.id} of ${this.#options.name}`,
      });
    } catch (error) {
      if (!(error instanceof GridError) || error.code !== 'disconnected') throw error;
      throw new GridError('no-primary', `the primary of copyset ${copyset} is gone`);
    }
  }

  /** Who waits for a node that is primary no more is let go: to try again with the new one. */
  #follow(): void {
    for (const [copyset, { primary }] of Object.entries(this.#keepers.state?.copysets ?? {})) {
      const address = addressOf(this.#realm.definition, primary);
      const before = this.#primaries.get(copyset);
      if (address === undefined || address === before) continue;
      this.#primaries.set(copyset, address);
      if (before !== undefined) this.#remotes.to(before).close();
    }
  }

  async #ping(): Promise<void> {
    await Promise.all(
      [...this.#primaries].map(async ([copyset, address]) => {
        const answer = await answerOf(this.#remotes.to(address).call('ping', {}), this.#options.timeoutMs);
        if (answer === undefined) this.#unreached.add(copyset);
        else this.#unreached.delete(copyset);
      }),
    );
  }
}

export async function startProxy(options: Options): Promise<Running> {
  mkdirSync(join(options.data, 'live'), { recursive: true });
  const proxy = new Proxy(options);
  const server = await serve(options.listen, proxy.serving);
  return {
    ...proxy.running(() => server.clients()),
    begun: proxy.begin(),
    async stop() {
      server.close();
      await proxy.end();
    },
  };
}

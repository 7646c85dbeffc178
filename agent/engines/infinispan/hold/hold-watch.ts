import type { InfinispanServer } from '../server/infinispan-server.ts';
import { readServers, serversChanged, type Servers } from './standing.ts';

/** Shorter than any server needs to be started anew, or anybody to open a fence and close it again. */
const EVERY_MS = 250;

/** Looks again and again, while a cluster is held, whether it still is. */
export class HoldWatch {
  readonly #server: Pick<InfinispanServer, 'container' | 'ignored'>;
  readonly #fenced: readonly string[];
  readonly #servers: Servers;
  readonly #stopped = new AbortController();
  readonly #watching: Promise<void>;
  #cause: string | null = null;

  constructor(
    server: Pick<InfinispanServer, 'container' | 'ignored'>,
    fenced: readonly string[],
    servers: Servers,
  ) {
    this.#server = server;
    this.#fenced = fenced;
    this.#servers = servers;
    this.#watching = this.#watch();
  }

  /** One more look. Resolves to what speaks against the fence having held since the watch began, in words; else to null. */
  async end(): Promise<string | null> {
    this.stop();
    await this.#watching;
    this.#cause ??= await this.#look();
    return this.#cause;
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted && this.#cause === null) {
      const pause = Promise.withResolvers<void>();
      const timer = setTimeout(pause.resolve, EVERY_MS);
      signal.addEventListener('abort', () => pause.resolve(), { once: true });
      await pause.promise;
      clearTimeout(timer);
      if (!signal.aborted) this.#cause = await this.#look();
    }
  }

  async #look(): Promise<string | null> {
    try {
      const signal = AbortSignal.timeout(LOOK_MS);
      const [servers, ignored] = await Promise.all([
        readServers(this.#server, signal),
        this.#server.ignored(signal),
      ]);
      const opened = this.#fenced.find((cache) => !ignored.includes(cache));
      if (opened !== undefined)
        return `cache ${opened} was served again: somebody took it from the list of ignored caches`;
      return serversChanged(this.#servers, servers);
    } catch (error) {
      return `it could not be seen: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
}

/** Of one look: a server that hangs is one that cannot be seen. */
const LOOK_MS = 5000;

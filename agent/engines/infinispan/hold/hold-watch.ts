import type { InfinispanServer } from '../server/infinispan-server.ts';
import { readServers, serversChanged, type Servers } from './standing.ts';

/** Shorter than any server needs to be started anew, or anybody to open a fence and close it again. */
const EVERY_MS = 250;

type WatchedServer = Pick<InfinispanServer, 'container' | 'health' | 'ignored'>;

/**
 * Looks again and again, from the arm to the end of a hold, whether the cluster is still the one that was armed, and
 * from the fence on whether that still holds. A server that cannot be seen once may have been started anew: it keeps its
 * name and its number when it is.
 */
export class HoldWatch {
  readonly #server: WatchedServer;
  readonly #servers: Servers;
  #fenced: readonly string[] = [];
  readonly #stopped = new AbortController();
  readonly #watching: Promise<void>;
  #cause: string | null = null;

  constructor(server: WatchedServer, servers: Servers) {
    this.#server = server;
    this.#servers = servers;
    this.#watching = this.#watch();
  }

  /** From now on these caches must be ignored. */
  fenced(caches: readonly string[]): void {
    this.#fenced = caches;
  }

  /** One more look. Resolves to what speaks against the cluster having been held, in words; else to null. */
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
    const fenced = this.#fenced;
    try {
      const signal = AbortSignal.timeout(LOOK_MS);
      const [servers, { status }, ignored] = await Promise.all([
        readServers(this.#server, signal),
        this.#server.health(signal),
        this.#server.ignored(signal),
      ]);
      const opened = fenced.find((cache) => !ignored.includes(cache));
      if (opened !== undefined)
        return `cache ${opened} was served again: somebody took it from the list of ignored caches`;
      const changed = serversChanged(this.#servers, servers);
      if (changed !== null || status === 'HEALTHY') return changed;
      return `the cluster came to be ${status}: entries moved between its servers, or were lost`;
    } catch (error) {
      return `the server could not be asked in the hold: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
}

/** Of one look: a server that hangs is one that cannot be seen. */
const LOOK_MS = 5000;

import type { Journal } from '../../engine.ts';
import { InfinispanServer } from '../server/infinispan-server.ts';
import type { ServerSettings } from '../server/settings.ts';
import { isFenceLeft, openFence } from './fence.ts';
import { passingConnectors } from './standing.ts';

/** Of one question to the cluster, and of the whole end. */
const ASK_MS = 5000;
const OPEN_MS = 30_000;

interface Before {
  readonly ignored: readonly string[];
  readonly connectors: readonly string[];
}

/**
 * On the host of a member that the lead of its cluster holds: sees how the cluster was before anybody was held, and opens
 * at the end what is still closed. So a lead whose host is lost, with its agent and its guard, leaves nobody refused.
 * It follows no journal: it stands beside the hold of another host for as long as the operation lasts here.
 */
export class FenceWitness implements Journal {
  readonly #server: InfinispanServer;
  readonly #ended: () => void;
  /** Null where it is not known, or where a fence stood already: that is another's to end. */
  #before: Before | null = null;

  /** `ended`: the operation has let go of the member. */
  constructor(settings: ServerSettings, ended: () => void) {
    this.#server = new InfinispanServer(settings);
    this.#ended = ended;
  }

  async follow(): Promise<void> {
    const signal = AbortSignal.timeout(ASK_MS);
    const [ignored, connectors] = await Promise.all([
      this.#server.ignored(signal),
      this.#server.connectors(signal),
    ]);
    if (!isFenceLeft(ignored)) this.#before = { ignored, connectors: passingConnectors(connectors) };
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }

  async release(): Promise<void> {
    const before = this.#before;
    try {
      if (before !== null) await this.#openWhatIsLeft(before);
      this.#before = null;
    } finally {
      this.#ended();
      this.#server.close();
    }
  }

  async #openWhatIsLeft(before: Before): Promise<void> {
    const ignored = await this.#server.ignored(AbortSignal.timeout(ASK_MS));
    if (!isFenceLeft(ignored)) return;
    const caches = ignored.filter((cache) => !before.ignored.includes(cache));
    await openFence(this.#server, { caches, connectors: before.connectors }, AbortSignal.timeout(OPEN_MS));
  }
}

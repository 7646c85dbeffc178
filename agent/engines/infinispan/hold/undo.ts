import * as z from 'zod';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { Guardian, Undo } from '../../engine.ts';
import { InfinispanServer } from '../server/infinispan-server.ts';
import type { ServerSettings } from '../server/settings.ts';
import { removeBackup } from './backup-job.ts';
import { openFence } from './fence.ts';

/** What a hold changes on a cluster, written down before the first of it is changed. */
const undoSchema = z.object({
  kind: z.literal('infinispan'),
  /** Served before: what operators had ignored is not among them. */
  caches: z.array(z.string()),
  connectors: z.array(z.string()),
  /** The job on the server that was asked for it, which keeps an archive until it is told to remove it. */
  backup: z.string().nullable(),
  /** The cluster's servers, as far as they are known: that which was asked comes first. */
  servers: z.array(z.string()),
  /** As what the first of them sees who asks for the hold. */
  asker: z.string().optional(),
});

export type HoldUndo = z.infer<typeof undoSchema>;

/** How long a server may take to answer at all before the next is asked, and then for the whole undo. */
const ANSWER_MS = 2000;
const UNDO_MS = 30_000;
/** A backup that is under way then is waited for no longer: its server will remove it. */
const REMOVE_MS = 10_000;
/** A process that is stopped, and not dead, keeps its connections: no longer than this they are waited for. */
const LAST_WORD_MS = 1000;
const LOOK_AGAIN_MS = 25;

/**
 * Takes back what a hold changed, through any server of the cluster. Each has a list of ignored caches of its own, and the
 * same as the others as long as they have each other. One that was lost and came back, or a part of a cluster that has come
 * apart, goes on refusing clients by the list that it had: so every server is looked at that answers.
 */
export class InfinispanGuardian implements Guardian {
  readonly #settings: ServerSettings;
  /** By URL. */
  readonly #servers = new Map<string, InfinispanServer>();

  constructor(settings: ServerSettings) {
    this.#settings = settings;
  }

  async undo(given: Undo): Promise<string | null> {
    const undo = undoSchema.parse(given);
    await this.open(undo);
    await this.#lastWord(undo);
    await this.open(undo);
    return null;
  }

  /** Resolves when nothing of it is left. Rejects with what the first server says where none can be asked. */
  async open(undo: HoldUndo): Promise<void> {
    await this.#openEverywhere(undo);
    await this.#removeBackup(undo);
  }

  async #openEverywhere(undo: HoldUndo): Promise<void> {
    if (undo.caches.length === 0 && undo.connectors.length === 0) return;
    let first: unknown = null;
    let isOpen = false;
    for (const url of undo.servers) {
      const server = this.#serverAt(url);
      try {
        const ignored = await server.ignored(AbortSignal.timeout(ANSWER_MS));
        if (isOpen && !undo.caches.some((cache) => ignored.includes(cache))) continue;
      } catch (error) {
        first ??= error;
        continue;
      }
      try {
        await openFence(server, undo, AbortSignal.timeout(UNDO_MS));
        isOpen = true;
      } catch (error) {
        // Its own clients are still refused. Where it is the first, the next one may open the fence of all.
        if (isOpen) throw asFailure(error);
        first ??= error;
      }
    }
    if (!isOpen) throw asFailure(first);
  }

  /**
   * Resolves when a dead process has been heard to its end: its server has nothing of its connections left, and has done
   * what it had read of them, for a change comes behind those that were asked for before it.
   */
  async #lastWord({ asker, servers: [asked = ''], caches: [cache] }: HoldUndo): Promise<void> {
    if (asker === undefined || cache === undefined) return;
    const server = this.#serverAt(asked);
    const until = performance.now() + LAST_WORD_MS;
    try {
      while (await server.hears(asker, AbortSignal.timeout(ANSWER_MS))) {
        if (performance.now() > until) return;
        await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
      }
      await server.unIgnore(cache, AbortSignal.timeout(ANSWER_MS));
    } catch {
      // A server that does not answer any more has done with it.
    }
  }

  /** With its server the job is gone. What cannot be asked keeps an archive on its disk and holds nobody. */
  async #removeBackup({ backup, servers: [asked] }: HoldUndo): Promise<void> {
    if (backup === null || asked === undefined) return;
    await removeBackup(this.#serverAt(asked), backup, AbortSignal.timeout(REMOVE_MS)).catch(() => undefined);
  }

  close(): Promise<void> {
    for (const server of this.#servers.values()) server.close();
    this.#servers.clear();
    return Promise.resolve();
  }

  #serverAt(url: string): InfinispanServer {
    const server = this.#servers.get(url) ?? new InfinispanServer({ ...this.#settings, url });
    this.#servers.set(url, server);
    return server;
  }
}

function asFailure(error: unknown): unknown {
  if (error instanceof StillpointError) return error;
  return new StillpointError({
    code: 'infinispan-unreachable',
    message: `no server of the cluster could be asked to serve its caches again`,
    hint: 'start one; until then its clients are refused. By hand: DELETE /rest/v2/server/ignored-caches/NAME',
  });
}

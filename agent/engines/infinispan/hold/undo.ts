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
});

export type HoldUndo = z.infer<typeof undoSchema>;

/** How long a server may take to answer at all before the next is asked, and then for the whole undo. */
const ANSWER_MS = 2000;
const UNDO_MS = 30_000;
/** A backup that is under way then is waited for no longer: its server will remove it. */
const REMOVE_MS = 10_000;
/** What a dead agent had asked for may be done after it is dead, not later than this. */
const LAST_WORD_MS = 300;

/** Takes back what a hold changed, through any server of the cluster. */
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
    await new Promise((resolve) => setTimeout(resolve, LAST_WORD_MS));
    await this.open(undo);
    return null;
  }

  /** Resolves when nothing of it is left. Rejects with what the first server says where none can be asked. */
  async open(undo: HoldUndo): Promise<void> {
    await this.#openThroughAny(undo);
    await this.#removeBackup(undo);
  }

  async #openThroughAny(undo: HoldUndo): Promise<void> {
    if (undo.caches.length === 0 && undo.connectors.length === 0) return;
    let first: unknown = null;
    for (const url of undo.servers) {
      try {
        const server = this.#serverAt(url);
        await server.ignored(AbortSignal.timeout(ANSWER_MS));
        return await openFence(server, undo, AbortSignal.timeout(UNDO_MS));
      } catch (error) {
        first ??= error;
      }
    }
    throw asFailure(first);
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

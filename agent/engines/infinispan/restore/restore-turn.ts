import { ClusterTurn } from '../server/cluster-turn.ts';
import type { ServerSettings } from '../server/settings.ts';
import { serversOf } from '../settings.ts';

/** How long a document, or another operation on the cluster, is waited for, with everybody staged. */
const TURN_S = 60;

/**
 * The turn of the restore that a member is in: from the switch to its end, which another part of the agent may bring about
 * than the one that began it.
 */
export class RestoreTurn {
  #turn: ClusterTurn | null = null;

  async take(
    settings: ServerSettings & { readonly peers: readonly string[] },
    restore: string,
    signal: AbortSignal,
  ): Promise<void> {
    const worker = { kind: 'restore', id: restore, name: restore } as const;
    this.#turn ??= await ClusterTurn.take(serversOf(settings), worker, {
      signal,
      waitsFor: () => undefined,
      withinSeconds: TURN_S,
    });
  }

  /** Idempotent. */
  end(): void {
    this.#turn?.end();
    this.#turn = null;
  }
}

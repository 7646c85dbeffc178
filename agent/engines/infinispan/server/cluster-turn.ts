import { EXIT, StillpointError } from '../../../../shared/domain/errors.ts';
import { pause } from '../../../pause.ts';
import { InfinispanServer, type WorkerSeen } from './infinispan-server.ts';
import type { ServerSettings } from './settings.ts';
import { askerOf, inWords, type Worker } from './worker.ts';

/** How often who works shows that it lives: by another connection, which is there before the last one goes. */
const RENEW_MS = 5000;
/** Who has shown nothing new for so long is dead: its host may be gone without a word, and servers would never know. */
const DEAD_MS = 20_000;
const LOOK_EVERY_MS = 300;
const ASK_MS = 10_000;

interface Waiting {
  readonly signal: AbortSignal;
  /** Told once for each that is waited for. */
  readonly waitsFor: (words: string) => void;
  readonly withinSeconds: number;
}

/**
 * The turn to work on a cluster: of checkpoints, restores and documents one has it at a time, whichever agent or grid it
 * is of, since servers make one backup at a time, and let the first go where they refuse a second.
 *
 * What all of them share is the cluster, and nothing may be left there by who is killed. So a connection says who works:
 * servers tell the names of their clients, and a connection goes with its process. Who wants the turn shows itself first
 * and looks then: of two at once, one at least sees the other. The one that comes first by kind and name stays shown, and
 * the other goes and looks on until it is alone.
 *
 * It spares both a failure and proves nothing: what was held, and what is in an archive, is proven as ever.
 */
export class ClusterTurn {
  readonly #servers: readonly ServerSettings[];
  readonly #worker: Worker;
  /** The connections that say it; none where it is not shown. */
  #shown: readonly InfinispanServer[] = [];
  readonly #renewal: NodeJS.Timeout;
  #ended = false;

  private constructor(servers: readonly ServerSettings[], worker: Worker) {
    this.#servers = servers;
    this.#worker = worker;
    this.#renewal = setInterval(() => {
      // What cannot be renewed stands for a while yet, and is tried again.
      if (this.#shown.length > 0) void this.#show(AbortSignal.timeout(ASK_MS)).catch(() => undefined);
    }, RENEW_MS);
    this.#renewal.unref();
  }

  /** Resolves when no other has the turn. Rejects `infinispan-busy`, and where no server of the cluster answers. */
  static async take(
    servers: readonly ServerSettings[],
    worker: Worker,
    waiting: Waiting,
  ): Promise<ClusterTurn> {
    const turn = new ClusterTurn(servers, worker);
    try {
      await turn.#wait(waiting);
      return turn;
    } catch (error) {
      turn.end();
      throw error;
    }
  }

  /** Of work that goes on already, begun by an agent that is not there any more. Waits for nobody. */
  static async keep(servers: readonly ServerSettings[], worker: Worker): Promise<ClusterTurn> {
    const turn = new ClusterTurn(servers, worker);
    await turn.#show(AbortSignal.timeout(ASK_MS)).catch(() => undefined);
    return turn;
  }

  /** Others may have it. Idempotent. */
  end(): void {
    this.#ended = true;
    clearInterval(this.#renewal);
    this.#hide();
  }

  async #wait({ signal, waitsFor, withinSeconds }: Waiting): Promise<void> {
    const until = performance.now() + withinSeconds * 1000;
    const others = new Others(this.#worker);
    let told = '';
    for (;;) {
      const before = others.among(await this.#look(soon(signal)));
      // Shown when it looked: who looks from now on sees this one.
      if (before === null && this.#shown.length > 0) return;
      if (before !== null && comesBefore(before, this.#worker)) this.#hide();
      else if (this.#shown.length === 0) await this.#show(soon(signal));
      if (before === null) continue;
      const words = inWords(before);
      if (words !== told) waitsFor(words);
      told = words;
      if (performance.now() > until) throw busy(before, withinSeconds);
      await pause(LOOK_EVERY_MS, signal);
    }
  }

  /** To every server that answers: whoever knows one of them sees it there, also where servers do not tell each other. */
  async #show(signal: AbortSignal): Promise<void> {
    const asker = askerOf(this.#worker);
    const next = this.#servers.map((settings) => new InfinispanServer({ ...settings, asker }));
    const last = this.#shown;
    try {
      await all(next.map((server) => server.greet(signal)));
    } catch (error) {
      for (const server of next) server.close();
      throw error;
    }
    this.#shown = next;
    for (const server of last) server.close();
    if (this.#ended) this.#hide();
  }

  #hide(): void {
    for (const server of this.#shown) server.close();
    this.#shown = [];
  }

  async #look(signal: AbortSignal): Promise<WorkerSeen[]> {
    const asked = this.#servers.map((settings) => new InfinispanServer(settings));
    try {
      return (await all(asked.map((server) => server.workers(signal)))).flat();
    } finally {
      for (const server of asked) server.close();
    }
  }
}

/** What came of those that were done. Rejects with the first failure where none was. */
async function all<T>(asked: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(asked);
  const done = settled.filter((one) => one.status === 'fulfilled');
  const [failed] = settled.filter((one) => one.status === 'rejected');
  if (done.length === 0 && failed !== undefined) throw failed.reason;
  return done.map(({ value }) => value);
}

/** Who works besides, as far as it lives. */
class Others {
  readonly #own: Worker;
  readonly #since = new Map<string, number>();

  constructor(own: Worker) {
    this.#own = own;
  }

  /** Whom to wait for, who comes first among them; null where there is nobody. */
  among(seen: readonly WorkerSeen[]): Worker | null {
    const now = performance.now();
    const alive = seen.filter(({ worker, mark }) => {
      if (worker.id === this.#own.id) return false;
      const since = this.#since.get(mark) ?? now;
      this.#since.set(mark, since);
      return now - since < DEAD_MS;
    });
    const [first] = alive
      .map(({ worker }) => worker)
      .toSorted((one, other) => (comesBefore(one, other) ? -1 : 1));
    return first ?? null;
  }
}

/** Documents come last: they can wait, and a grid that is held or stopped cannot. */
function comesBefore(one: Worker, other: Worker): boolean {
  const rank = ({ kind, id }: Worker): string => `${kind === 'document' ? 1 : 0} ${id}`;
  return rank(one) < rank(other);
}

function soon(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(ASK_MS)]);
}

function busy(worker: Worker, seconds: number): StillpointError {
  return new StillpointError(
    {
      code: 'infinispan-busy',
      message: `the cluster is at work for ${inWords(worker)}, still after ${seconds} s`,
      hint: 'wait until that has ended, then try again',
      isFinal: true,
    },
    EXIT.refused,
  );
}

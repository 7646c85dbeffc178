import type { ThawProof } from '../../../../shared/domain/messages.ts';
import type { Token } from '../../../../shared/domain/token.ts';
import { outOfOrder, type Hold, type HoldContext } from '../../engine.ts';
import { OneCallAtATime } from '../../one-call-at-a-time.ts';
import { ClusterTurn } from '../server/cluster-turn.ts';
import { InfinispanServer } from '../server/infinispan-server.ts';
import type { ServerSettings } from '../server/settings.ts';
import { serversOf } from '../settings.ts';
import { backupDone, makeWay, OUR_BACKUP, rehearse, startBackup } from './backup-job.ts';
import {
  aliasPasses,
  boundOf,
  connectorPasses,
  moving,
  notAtRest,
  notWhole,
  tookTooLong,
  tooLong,
  type HoldBound,
} from './failures.ts';
import { closeFence, openFence, type Fenced } from './fence.ts';
import type { HoldPace } from './hold-pace.ts';
import { HoldWatch } from './hold-watch.ts';
import {
  aliasesOf,
  changeBetween,
  counterChanged,
  passingConnectors,
  readCounters,
  readStanding,
  type Standing,
} from './standing.ts';
import { InfinispanGuardian, type HoldUndo } from './undo.ts';

export interface HoldSettings extends ServerSettings {
  /** The longest that clients may be refused. */
  readonly maxHoldSeconds: number;
  /** Other servers of the cluster, by which the fence is opened where the first is gone. */
  readonly peers: readonly string[];
}

/** Of a cluster whose entries move between its servers. */
const MOVING_S = 120;
const LOOK_AGAIN_MS = 500;
/** How long a document, or another operation on the cluster, is waited for. */
const TURN_S = 60;
/** What the end of a hold may take, whatever has happened. */
const LET_GO_MS = 30_000;

/** What was captured while the cluster was held, for the copy. */
export interface Captured {
  /** The job that has the archive; on this server. */
  readonly backup: string;
  readonly server: InfinispanServer;
  /** As they were all the time. */
  readonly standing: Standing;
  readonly counters: ReadonlyMap<string, string>;
  /** From the fence to its end, and of that the backup, in milliseconds. */
  readonly heldMs: number;
  readonly backupMs: number;
}

interface Armed {
  readonly watch: HoldWatch;
  readonly standing: Standing;
  readonly fenced: Fenced;
  readonly undo: HoldUndo;
}

interface Marked {
  readonly counters: ReadonlyMap<string, string>;
  readonly fencedAt: number;
}

/**
 * Holds a cluster still by having its servers ignore every cache: readers and writers are refused until the thaw.
 *
 * The data is in memory, and a backup reads it past the fence. It begins with the thaw, when every member of the grid has
 * marked, and the caches are served again when it is done. So only clients of this cluster wait for it, and no proof is
 * needed that the last write let through was applied: what is acknowledged anywhere before the thaw is applied before
 * the backup begins, and what is not let through comes after it.
 */
export class ClusterHold implements Hold {
  readonly #settings: HoldSettings;
  readonly #context: HoldContext;
  readonly #pace: HoldPace;
  readonly #isCopied: boolean;
  readonly #ended: () => void;
  /** Of this hold alone. */
  readonly #asker = crypto.randomUUID();
  readonly #server: InfinispanServer;
  /** The others of the cluster, as far as they are known. */
  readonly #peers: readonly InfinispanServer[];
  readonly #guardian: InfinispanGuardian;
  readonly #calls = new OneCallAtATime();
  #turn: ClusterTurn | null = null;
  /** What is saved, as it stands in the freeze record. */
  #undo: HoldUndo | null = null;
  #armed: Armed | null = null;
  #marked: Marked | null = null;
  #captured: Captured | null = null;
  #entries = 0;

  /** `isCopied`: a backup is made in the hold. `ended`: it was let go of. */
  constructor(
    settings: HoldSettings,
    context: HoldContext,
    more: { readonly pace: HoldPace; readonly isCopied: boolean; readonly ended: () => void },
  ) {
    this.#settings = settings;
    this.#context = context;
    this.#pace = more.pace;
    this.#isCopied = more.isCopied;
    this.#ended = more.ended;
    this.#server = new InfinispanServer({ ...settings, asker: this.#asker });
    this.#peers = serversOf(settings)
      .slice(1)
      .map((peer) => new InfinispanServer(peer));
    this.#guardian = new InfinispanGuardian(settings);
  }

  /** Of the last hold that was proven. */
  get captured(): Captured {
    if (this.#captured === null) throw outOfOrder('nothing was captured');
    return this.#captured;
  }

  prepare(): Promise<void> {
    return this.#calls.run(async () => {
      await this.#takeTurn();
      await this.#atRest();
      await this.#refuse();
      if (!this.#isCopied) return;
      const waitsFor = (cause: string): void => this.#context.waitsFor(cause);
      await makeWay([this.#server, ...this.#peers], this.#calls.signal, waitsFor);
      await rehearse(this.#server, this.#calls.signal);
      const [{ caches }] = await Promise.all([this.#count(), this.#pace.remember()]);
      const predictedMs = this.#pace.predictMs(this.#entries, caches);
      const bound = this.#boundFor(caches);
      if (predictedMs > bound.ms) throw tooLong(predictedMs, this.#entries, bound);
    });
  }

  arm(): Promise<{ incarnation: string }> {
    return this.#calls.run(async () => {
      const { signal } = this.#calls;
      // Of an attempt that this member has proven, and another not.
      await this.#letGo();
      // A server may have come or gone since the prepare: the next attempt finds it at rest.
      const { status } = await this.#server.health(signal);
      if (status !== 'HEALTHY') throw notAtRest(status);
      const [standing, ignored] = await Promise.all([
        readStanding(this.#server, signal),
        this.#server.ignored(signal),
      ]);
      const connectors = await this.#refuse(standing);
      const fenced = {
        caches: standing.caches.filter((cache) => !ignored.includes(cache)),
        connectors,
      };
      const undo: HoldUndo = {
        kind: 'infinispan',
        ...fenced,
        backup: this.#isCopied ? OUR_BACKUP : null,
        servers: [this.#settings.url, ...this.#settings.peers],
        asker: this.#asker,
      };
      await this.#save(undo);
      signal.throwIfAborted();
      this.#armed = { watch: new HoldWatch(this.#server, standing.servers), standing, fenced, undo };
      return { incarnation: standing.incarnation };
    });
  }

  disarm(): Promise<void> {
    return this.#calls.run(() => this.#letGo());
  }

  freeze(token: Token): ReturnType<Hold['freeze']> {
    return this.#calls.run(async () => {
      const { signal } = this.#calls;
      const armed = this.#armed;
      if (armed === null) throw outOfOrder('freeze before arm');
      const { watch, standing, fenced } = armed;
      this.#context.step('fence asked');
      await closeFence(this.#server, fenced, signal);
      this.#context.step('fence answered');
      const fencedAt = performance.now();
      this.#context.step('fence closed');
      await this.#context.reach('fenced');
      this.#context.step('mark asked');
      const counters = await readCounters(this.#server, signal);
      this.#context.step('mark answered');
      watch.fenced(fenced.caches);
      this.#marked = { counters, fencedAt };
      const mark = {
        journalFile: null,
        position: `${standing.caches.length} caches, ${counters.size} counters`,
        name: `stillpoint-${this.#context.checkpoint}-${token.attempt}`,
      };
      return { incarnation: standing.incarnation, mark, fencedAt, markedAt: performance.now() };
    });
  }

  thaw(_token: Token, released: () => void): Promise<ThawProof> {
    return this.#calls.run(async () => {
      const armed = this.#armed;
      const marked = this.#marked;
      const incarnation = armed?.standing.incarnation ?? '';
      if (armed === null || marked === null) {
        await this.#letGo();
        released();
        return { type: 'alreadyResumed', incarnation, cause: 'it was not frozen' };
      }
      const backupMs = this.#isCopied ? await this.#backUp(armed) : 0;
      this.#context.step('look asked');
      const cause = await this.#changed(armed, marked);
      this.#context.step('look answered');
      this.#context.step('open asked');
      await openFence(this.#server, armed.fenced, AbortSignal.timeout(LET_GO_MS));
      this.#context.step('open answered');
      const heldMs = performance.now() - marked.fencedAt;
      released();
      if (!this.#isCopied || cause !== null) await this.#letGo();
      else {
        const { standing, undo } = armed;
        // Nobody is held any more; what is left to take back is the archive on the server's disk.
        await this.#save({ ...undo, caches: [], connectors: [] });
        const { counters } = marked;
        this.#captured = { backup: OUR_BACKUP, server: this.#server, standing, counters, heldMs, backupMs };
        this.#pace.took(this.#entries, standing.caches.length, backupMs);
      }
      this.#forget();
      return cause === null ? { type: 'held', incarnation } : { type: 'broken', incarnation, cause };
    });
  }

  async release(): Promise<void> {
    try {
      await this.#calls.abort({ release: () => this.#open(), end: () => this.#letGo() });
    } finally {
      this.#forget();
      this.#turn?.end();
      this.#turn = null;
      this.#ended();
    }
    await this.#guardian.close();
    for (const server of [this.#server, ...this.#peers]) server.close();
  }

  #boundFor(caches: number): HoldBound {
    return boundOf(this.#settings.maxHoldSeconds, this.#context.leaseMs(), caches);
  }

  async #takeTurn(): Promise<void> {
    const { checkpoint } = this.#context;
    this.#turn ??= await ClusterTurn.take(
      serversOf(this.#settings),
      { kind: 'checkpoint', id: checkpoint, name: checkpoint },
      {
        signal: this.#calls.signal,
        waitsFor: (words) => this.#context.waitsFor(words),
        withinSeconds: TURN_S,
      },
    );
  }

  /** Resolves when no entries are on their way between servers, and none are missing. */
  async #atRest(): Promise<void> {
    const { signal } = this.#calls;
    const until = performance.now() + MOVING_S * 1000;
    for (;;) {
      const { status } = await this.#server.health(signal);
      if (status !== 'HEALTHY_REBALANCING') {
        if (status !== 'HEALTHY') throw notWhole(status);
        return;
      }
      if (performance.now() > until) throw moving(MOVING_S);
      this.#context.waitsFor('entries to reach their servers');
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }

  /** Where clients could pass the fence. Resolves to the connectors to stop for it. */
  async #refuse(known?: Standing): Promise<string[]> {
    const { signal } = this.#calls;
    const [standing, connectors] = await Promise.all([
      known ?? readStanding(this.#server, signal),
      this.#server.connectors(signal),
    ]);
    const alias = aliasesOf(standing);
    if (alias !== null) throw aliasPasses(alias);
    const unknown = connectors.find(({ protocol, isEnabled }) => isEnabled && protocol === 'other');
    if (unknown !== undefined) throw connectorPasses(unknown.name);
    return passingConnectors(connectors);
  }

  /** Counts the entries of all caches that can be asked: one that an operator has ignored cannot. */
  async #count(): Promise<{ caches: number }> {
    const { signal } = this.#calls;
    const [caches, ignored] = await Promise.all([this.#server.caches(signal), this.#server.ignored(signal)]);
    const counts = caches
      .filter(({ name }) => !ignored.includes(name))
      .map(({ name }) => this.#server.entries(name, signal));
    this.#entries = (await Promise.all(counts)).reduce((all, one) => all + one, 0);
    return { caches: caches.length };
  }

  /** Resolves to how long it took. Whatever of it fails, nobody is refused on after that. */
  async #backUp({ standing, fenced }: Armed): Promise<number> {
    const begunAt = performance.now();
    const bound = this.#boundFor(standing.caches.length);
    const late = AbortSignal.timeout(Math.ceil(bound.ms));
    const signal = AbortSignal.any([this.#calls.signal, late]);
    try {
      await startBackup(this.#server, OUR_BACKUP, null);
      await backupDone(this.#server, OUR_BACKUP, signal);
      return performance.now() - begunAt;
    } catch (error) {
      await openFence(this.#server, fenced, AbortSignal.timeout(LET_GO_MS)).catch(() => undefined);
      throw late.aborted && !this.#calls.signal.aborted ? tookTooLong(bound) : error;
    }
  }

  /** What speaks against the cluster having been held all the time, in words; null where nothing does. */
  async #changed({ watch, standing }: Armed, { counters }: Marked): Promise<string | null> {
    const { signal } = this.#calls;
    const [seen, now, countersNow] = await Promise.all([
      watch.end(),
      readStanding(this.#server, signal),
      readCounters(this.#server, signal),
    ]);
    return seen ?? changeBetween(standing, now) ?? counterChanged(counters, countersNow);
  }

  async #save(undo: HoldUndo): Promise<void> {
    await this.#context.saveUndo(undo);
    this.#undo = undo;
  }

  /** Serves the caches again, through any server. Does nothing where nothing is saved. */
  async #open(): Promise<void> {
    if (this.#undo !== null) await this.#guardian.open(this.#undo);
  }

  async #letGo(): Promise<void> {
    if (this.#undo === null) return;
    await this.#open();
    await this.#context.saveUndo(null);
    this.#undo = null;
    this.#captured = null;
    this.#forget();
  }

  #forget(): void {
    this.#armed?.watch.stop();
    this.#marked = null;
    this.#armed = null;
  }
}

import type { FreezeKind, MemberDescription } from '../../shared/domain/grid.ts';
import { formatToken, type Token } from '../../shared/domain/token.ts';
import type { Viewing } from '../../shared/domain/viewing.ts';
import { describedMember } from '../coordinator/descriptions.ts';
import type { Attempted } from './attempted.ts';
import { EngineAddress } from './engine-address.ts';
import { EngineCalls } from './engine-calls.ts';
import { LogStream } from './log-stream.ts';
import type { Model } from './scenario.ts';
import type { World } from './world.ts';
import type { WriteDaemon } from './write-daemon.ts';
import type { Effect, Written } from './written.ts';

/** Whoever has to open the fence of a server that is down tries again after this. */
export const TRIED_EVERY = 50_000;

/**
 * The process behind an engine: what its clients write and read, who has its log, and how its fence opens. It outlives
 * its agent.
 *
 * A commit fence lets clients write into the log, but shows and acknowledges nothing new. A write fence lets
 * nothing into the log. An observer shows what is in another's log, acknowledged or not, and shows nothing
 * new while it is fenced. An instant member has no fence, only a moment. Whatever it is, updates wait before its log where
 * memory is full while its write daemon is suspended.
 */
export class SimulatedServer {
  readonly attempts: Attempted[] = [];
  readonly index: number;
  readonly model: Model;
  readonly address: EngineAddress;
  readonly stream: LogStream;
  readonly daemon: WriteDaemon;
  /** When something new became visible to clients; followed where it is asked for. */
  readonly shownAt: number[] = [];
  isUp = true;
  upSince = 0;
  losesAcknowledgements = false;
  /** Who holds it: itself, or the lead of its domain. */
  holder: SimulatedServer = this;
  readonly held: SimulatedServer[] = [];
  /** An observer that shows nothing newer, and holds nobody. */
  isPaused = false;
  readonly observed: SimulatedServer | null;
  protected readonly world: World;
  protected readonly calls: EngineCalls;
  protected armed: Attempted | null = null;
  protected readonly written: Written;
  /** What an observer shows while it is fenced. */
  protected shown = 0;
  #incarnation = 1;
  #isShutByLead = false;
  #openWhenUp: NonNullable<Attempted['openedBy']> | null = null;

  constructor(world: World, index: number, model: Model, observed: SimulatedServer | null) {
    this.world = world;
    this.index = index;
    this.model = model;
    this.observed = observed;
    this.calls = new EngineCalls(world);
    this.stream = new LogStream(world);
    this.address = new EngineAddress(world, this);
    const { written, writeDaemon } = world.machines;
    this.written = new written.Written();
    this.daemon = new writeDaemon.WriteDaemon(world, index, () => this.#goesOn());
  }

  /** Of its process: another one after every start. */
  get incarnation(): string {
    return String(this.#incarnation);
  }

  /** As its agent says it to coordinators. */
  get description(): MemberDescription {
    const name = `agent ${this.index}`;
    if (this.holder === this && this.held.length === 0)
      return describedMember(name, { freezeKind: this.kind });
    const traits = { domain: 'shared', copies: 'one' } as const;
    return describedMember(name, { freezeKind: this.kind, primary: this.holder === this, traits });
  }

  /** Its domain's lead has it held and copied, whoever else asks it to. */
  isHeldBy(lead: SimulatedServer): void {
    this.holder = lead;
    lead.held.push(this);
  }

  /** Its clients wait: for its own fence, or for that of its lead. */
  get #isShut(): boolean {
    return this.isFenced || this.#isShutByLead;
  }

  /** Its lead's hold is not whole any more, and says so. */
  #failsItsLead(keepsFence: boolean): void {
    const { current } = this.holder;
    if (this.holder === this || !this.#isShutByLead) return;
    if (current !== null && current.openedAt === null) current.leaked = true;
    if (!keepsFence) this.#isShutByLead = false;
  }

  /** Its fence, and those of all that it holds. */
  protected close(armed: Attempted): void {
    armed.fencedAt = this.world.now;
    armed.openedAt = null;
    for (const one of this.held) one.#isShutByLead = true;
    if (!this.isPaused) this.shown = this.observed?.log.length ?? 0;
    this.world.clientsWanted(15_000);
  }

  #openWithLead(): void {
    this.#isShutByLead = false;
    if (!this.isUp) return;
    this.letIn();
    this.show();
  }

  get kind(): FreezeKind {
    return this.model === 'observer' || this.model === 'instant' ? this.model : 'fenced';
  }

  /** Whose log it shows. */
  get source(): SimulatedServer {
    return this.observed ?? this;
  }

  get streamKey(): string {
    return `observer ${this.index}`;
  }

  /** Who has its log: at this moment, or at any from then on. */
  protected viewing(since = this.world.now, stream = this.stream.current): Viewing {
    const { outsiders, engines } = this.world;
    const observers = engines.filter((engine) => engine.observed === this && engine.#streamedSince(since));
    const { current } = this.stream;
    const isStreaming = this.observed !== null && current !== null && current === stream;
    return {
      streamsAs: isStreaming ? this.streamKey : null,
      subscriptions: outsiders.subscriptionsOf(this),
      viewers: [
        ...observers.map(({ streamKey }) => ({
          kind: 'standby' as const,
          key: streamKey,
          isBlind: false,
          words: streamKey,
        })),
        ...outsiders.at(this, since).map(({ viewer, until }) =>
          // The name of a standby went with it; a slot keeps its own.
          until > this.world.now || viewer.kind === 'logical' ? viewer : { ...viewer, key: '' },
        ),
      ],
    };
  }

  /** It streams now, or did at some moment since. */
  #streamedSince(moment: number): boolean {
    return (this.isUp && this.stream.current !== null) || this.stream.brokeAfter(moment);
  }

  get isFenced(): boolean {
    const armed = this.armed;
    return armed !== null && armed.fencedAt !== null && armed.openedAt === null && this.model !== 'instant';
  }

  /** It went down with its fence closed, and whoever wants to open it can only wait until it is back. */
  get isLeft(): boolean {
    return this.#openWhenUp !== null;
  }

  get current(): Attempted | null {
    return this.armed;
  }

  attempt(token: Token): Attempted | undefined {
    return this.attempts.findLast((one) => formatToken(one.token) === formatToken(token));
  }

  // What clients do.

  write(effect: Effect, answer: (acknowledged: boolean) => void): void {
    if (!this.isUp) return answer(false);
    if (this.#isShut && this.model === 'writeFence') return this.written.block(effect, answer);
    if (this.daemon.updatesWait) return this.#waitsForRoom(effect, answer);
    this.written.append(effect, answer);
    this.#logged(effect);
    if (!(this.#isShut && this.model === 'commitFence')) this.show();
  }

  #waitsForRoom(effect: Effect, answer: (acknowledged: boolean) => void): void {
    this.world.checks.updateWaits(this);
    this.world.note(`engine ${this.index}`, 9, this.waiting, () => 'an update waits for the write daemon');
    this.written.block(effect, answer);
  }

  #logged(effect: Effect): void {
    this.daemon.take(effect);
    this.world.checks.logged(this);
  }

  /** The newest that a client can read here. */
  read(): Effect | null {
    if (!this.isUp) return null;
    const { log, visible } = this.written;
    if (this.observed === null) return log[visible - 1] ?? null;
    const shown = this.isFenced || this.isPaused ? this.shown : this.observed.log.length;
    return this.observed.log[shown - 1] ?? null;
  }

  get log(): readonly Effect[] {
    return this.written.log;
  }

  /** So many updates wait before the log. */
  get waiting(): number {
    return this.written.waiting;
  }

  /** Whoever waited before the log is let in, as far as there is room in memory. */
  protected letIn(): void {
    this.written.letIn(
      () => !this.daemon.updatesWait,
      (effect) => this.#logged(effect),
    );
  }

  /** Whoever waited for its write daemon; a fence that is closed lets in nobody, or shows nothing. */
  #goesOn(): void {
    if (!this.isUp || (this.#isShut && this.model === 'writeFence')) return;
    this.letIn();
    if (!this.#isShut) this.show();
  }

  protected show(): void {
    if (this.written.visible < this.log.length) this.shownAt.push(this.world.now);
    this.written.show(() => !this.losesAcknowledgements || this.world.random.chance(0.5));
  }

  /** Whoever does it: what was on its way to close the fence is undone with it. */
  open(by: NonNullable<Attempted['openedBy']>): void {
    if (this.calls.current?.action.type === 'freeze' || by === 'agentStart')
      this.calls.giveUp('the fence was opened');
    if (by === 'agentStart') this.calls.forgetAborts();
    if (by !== 'thaw' && this.isUp) this.daemon.resume(by);
    if (!this.isUp && by !== 'crash') {
      if (this.isFenced) this.#openWhenUp = by;
      return;
    }
    const armed = this.armed;
    if (armed !== null && armed.fencedAt !== null && armed.openedAt === null) {
      this.world.checks.opening(this.index, armed);
      armed.openedAt = this.world.now;
      armed.openedBy = by;
      for (const one of this.held) one.#openWithLead();
      this.world.note(`engine ${this.index}`, 4, this.log.length, () => `fence opened by ${by}`);
    }
    if (this.isUp && !this.#isShutByLead) {
      this.isPaused = false;
      this.letIn();
      this.show();
    }
    this.world.clientsWanted(3000);
  }

  /**
   * It is gone for a while. What is in its log is durable, and visible when it comes back, whoever waited for
   * it. A fence that is a setting on its disk is closed again then, and the new process cannot know of the gap.
   */
  crash(forTime: number, keepsFence: boolean): void {
    if (!this.isUp) return;
    this.world.note(`engine ${this.index}`, 5, Number(keepsFence), () => 'crashed');
    this.isUp = false;
    this.isPaused = false;
    this.calls.giveUp('connection lost');
    if (this.armed?.openedAt === null) this.armed.restarted = true;
    this.#failsItsLead(keepsFence);
    this.daemon.crashed();
    if (!keepsFence) this.open('crash');
    this.written.disconnect();
    this.world.timeline.after(forTime, () => this.start());
  }

  start(): void {
    if (this.isUp) return;
    this.isUp = true;
    this.upSince = this.world.now;
    this.#incarnation += 1;
    if (this.written.visible < this.log.length) this.shownAt.push(this.world.now);
    this.written.visible = this.log.length;
    this.daemon.started(this.log);
    this.shown = this.observed?.log.length ?? 0;
    this.world.note(`engine ${this.index}`, 6, this.#incarnation, () => 'started again');
    if (this.#openWhenUp !== null)
      this.world.timeline.after(this.world.random.between(0, TRIED_EVERY), () => this.#openLeft());
  }

  #openLeft(): void {
    const by = this.#openWhenUp;
    if (by === null || !this.isUp) return;
    this.#openWhenUp = null;
    this.open(by);
  }
}

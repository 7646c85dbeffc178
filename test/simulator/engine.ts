import { BY_ITSELF, type Assignment } from '../../shared/domain/assignment.ts';
import type { FreezeKind, MemberDescription } from '../../shared/domain/grid.ts';
import { formatToken, type Token } from '../../shared/domain/token.ts';
import type { Viewing } from '../../shared/domain/viewing.ts';
import type { EngineCall, EngineResult } from '../../shared/protocol/member-machine.ts';
import type { ServerIdentity } from '../../agent/engines/postgres/server/server-identity.ts';
import { describedMember } from '../coordinator/descriptions.ts';
import type { Fault, Model } from './scenario.ts';
import type { World } from './world.ts';
import { Written, type Effect } from './written.ts';

/** What really happened to a member in one attempt, in true time. No machine sees any of it. */
export interface Attempted {
  readonly operation: string;
  readonly token: Token;
  fencedAt: number | null;
  markedAt: number | null;
  openedAt: number | null;
  openedBy: 'thaw' | 'abort' | 'guard' | 'crash' | 'deadline' | 'agentStart' | null;
  /** Something got past the fence. */
  leaked: boolean;
  /** The process was restarted between the arm and the thaw. */
  restarted: boolean;
  /** The agent opened it when its lease had run out. */
  leaseEnded: boolean;
  /** Everybody was armed, and a thaw came: an attempt at a cut, though nobody may have been frozen for it. */
  wasThawed: boolean;
  cut: number | null;
  /** Where those are cut that it holds with itself, in their order. */
  cutsOfHeld: readonly number[];
  collected: boolean;
  /** Somebody was there with the arm of whom it is known that nobody holds it. */
  readonly isSeenByStrangers: boolean;
  /** Which of an observer's streams it was, at the arm. */
  readonly stream: number;
}

type Answer = (result: EngineResult) => void;
type EngineFault = Extract<Fault, { kind: 'engineFails' | 'engineRefuses' | 'engineHangs' | 'engineSlow' }>;

/** The engine opens by itself when nobody who lives has renewed its fence for so long. */
export const ENGINE_DEADLINE = 1_600_000;

/** A call that hangs fails after this at the latest. */
const HANGS = 5_000_000;

/** Whoever has to open the fence of a server that is down tries again after this. */
const TRIED_EVERY = 50_000;

/**
 * The software of a member, as far as the protocol knows it. It outlives its agent, tells the truth as far as
 * it knows it, and keeps what really happened.
 *
 * A commit fence lets clients write into the log, but shows and acknowledges nothing new. A write fence lets
 * nothing into the log. An observer shows what is in another's log, acknowledged or not, and shows nothing
 * new while it is fenced. An instant member has no fence, only a moment.
 */
export class SimulatedEngine {
  readonly attempts: Attempted[] = [];
  readonly index: number;
  readonly model: Model;
  readonly faults: EngineFault[] = [];
  isUp = true;
  upSince = 0;
  /** So many freezes from now will leak. */
  leaks = 0;
  losesAcknowledgements = false;
  isPoolFull = false;
  /** Who holds it: itself, or the lead of its domain. */
  holder: SimulatedEngine = this;
  readonly held: SimulatedEngine[] = [];
  #isShutByLead = false;
  /** What it was last prepared for. */
  assignment: Assignment = BY_ITSELF;
  collectedFor: string | null = null;
  /** Who was turned away until now tries again soon, not at once. */
  reachableFrom = 0;
  #stranger: ServerIdentity | null = null;
  #identity: ServerIdentity | null = null;
  readonly #world: World;
  readonly #observed: SimulatedEngine | null;
  /** The operation whose base copy is here. */
  preparedFor: string | null = null;
  /** An observer that shows nothing newer, and holds nobody. */
  isPaused = false;
  readonly #pausedFor = new Set<string>();
  #incarnation = 1;
  /** An observer's stream: a number for each; null while it is broken. */
  #stream: number | null = 1;
  #streams = 1;
  #brokeAt = -1;
  #armed: Attempted | null = null;
  #openWhenUp: NonNullable<Attempted['openedBy']> | null = null;
  readonly #written = new Written();
  /** What an observer shows while it is fenced. */
  #shown = 0;
  #generation = 0;
  #aborts = 0;
  #pending: { readonly action: EngineCall; readonly answer: Answer } | null = null;

  constructor(world: World, index: number, model: Model, observed: SimulatedEngine | null) {
    this.#world = world;
    this.index = index;
    this.model = model;
    this.#observed = observed;
  }

  /** Of this process: what a freeze record says of it. */
  get identity(): ServerIdentity {
    const { index, kind } = this;
    const startedAt = String(this.#incarnation);
    if (this.#identity?.startedAt !== startedAt)
      this.#identity = {
        systemIdentifier: `system ${index}`,
        startedAt,
        timeline: kind === 'observer' ? null : 1,
      };
    return this.#identity;
  }

  /** The server that a new connection to its address finds. */
  get answering(): ServerIdentity {
    return this.#stranger ?? this.identity;
  }

  /** A server of another system answers at its address, or the new primary of its own. */
  moveAddress(forTime: number, isSuccessor: boolean): void {
    const { systemIdentifier } = this.identity;
    this.#stranger = {
      systemIdentifier: isSuccessor ? systemIdentifier : 'another system',
      startedAt: 'elsewhere',
      timeline: isSuccessor ? 2 : 1,
    };
    this.#unreachableFor(forTime, () => (this.#stranger = null));
  }

  /** Every connection is taken; those that are held stay. */
  fillPool(forTime: number): void {
    this.isPoolFull = true;
    this.#unreachableFor(forTime, () => (this.isPoolFull = false));
  }

  #unreachableFor(forTime: number, then: () => void): void {
    this.reachableFrom = Math.max(this.reachableFrom, this.#world.now + forTime);
    this.#world.timeline.after(forTime, then);
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
  isHeldBy(lead: SimulatedEngine): void {
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

  #openWithLead(): void {
    this.#isShutByLead = false;
    if (!this.isUp) return;
    this.#written.letIn();
    this.#show();
  }

  get kind(): FreezeKind {
    return this.model === 'observer' || this.model === 'instant' ? this.model : 'fenced';
  }

  /** Whose log it shows. */
  get source(): SimulatedEngine {
    return this.#observed ?? this;
  }

  get streamKey(): string {
    return `observer ${this.index}`;
  }

  /** The log arrives anyhow, by another way: what an observer shows does not depend on its stream. */
  breakStream(forTime: number): void {
    if (this.#stream === null) return;
    this.#stream = null;
    this.#brokeAt = this.#world.now;
    this.#world.timeline.after(forTime, () => this.#connectAnew());
  }

  #connectAnew(): void {
    if (this.#stream !== null) return;
    this.#streams += 1;
    this.#stream = this.#streams;
  }

  /** Who has its log: at this moment, or at any from then on. */
  #viewing(since = this.#world.now, stream = this.#stream): Viewing {
    const { outsiders, engines } = this.#world;
    const observers = engines.filter((engine) => engine.#observed === this && engine.#streamedSince(since));
    const isStreaming = this.#observed !== null && this.#stream !== null && this.#stream === stream;
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
          until > this.#world.now || viewer.kind === 'logical' ? viewer : { ...viewer, key: '' },
        ),
      ],
    };
  }

  /** It streams now, or did at some moment since. */
  #streamedSince(moment: number): boolean {
    return (this.isUp && this.#stream !== null) || this.#brokeAt > moment;
  }

  get isFenced(): boolean {
    const armed = this.#armed;
    return armed !== null && armed.fencedAt !== null && armed.openedAt === null && this.model !== 'instant';
  }

  /** It went down with its fence closed, and whoever wants to open it can only wait until it is back. */
  get isLeft(): boolean {
    return this.#openWhenUp !== null;
  }

  hasPaused(operation: string, token: Token): boolean {
    return this.#pausedFor.has(`${operation} ${formatToken(token)}`);
  }

  get current(): Attempted | null {
    return this.#armed;
  }

  attempt(token: Token): Attempted | undefined {
    return this.attempts.findLast((one) => formatToken(one.token) === formatToken(token));
  }

  // What clients do.

  write(effect: Effect, answer: (acknowledged: boolean) => void): void {
    if (!this.isUp) return answer(false);
    if (this.#isShut && this.model === 'writeFence') return this.#written.block(effect, answer);
    this.#written.append(effect, answer);
    if (!(this.#isShut && this.model === 'commitFence')) this.#show();
  }

  /** The newest that a client can read here. */
  read(): Effect | null {
    if (!this.isUp) return null;
    const { log, visible } = this.#written;
    if (this.#observed === null) return log[visible - 1] ?? null;
    const shown = this.isFenced || this.isPaused ? this.#shown : this.#observed.log.length;
    return this.#observed.log[shown - 1] ?? null;
  }

  get log(): readonly Effect[] {
    return this.#written.log;
  }

  #show(): void {
    this.#written.show(() => !this.losesAcknowledgements || this.#world.random.chance(0.5));
  }

  // What the agent asks for.

  perform(action: EngineCall, operation: string, answer: Answer): void {
    if (action.type === 'abort') return this.#abort(answer);
    const { timeline, random } = this.#world;
    const pending = { action, answer };
    this.#pending = pending;
    const fault = this.isUp ? this.#takeFault(action.type) : undefined;
    if (!this.isUp || fault?.kind === 'engineFails' || fault?.kind === 'engineRefuses') {
      const cause = this.isUp ? 'refused' : 'nobody listens';
      return this.#later(action, () => {
        if (this.#pending === pending) this.#giveUp(cause, fault?.kind === 'engineRefuses');
      });
    }
    const hangs = fault?.kind === 'engineHangs';
    if (hangs) {
      timeline.after(HANGS, () => {
        if (this.#pending === pending) this.#giveUp('no answer');
      });
      if (random.chance(0.5)) return;
    }
    this.#later(
      action,
      () => this.#act(action, operation, answer, hangs),
      fault?.kind === 'engineSlow' ? fault.forTime : 0,
    );
  }

  /** Nothing that was asked before goes on, and nothing that opens the fence meanwhile keeps it from ending. */
  #abort(answer: Answer): void {
    this.#generation += 1;
    this.#pending = null;
    this.#aborts += 1;
    const number = this.#aborts;
    this.#world.timeline.after(this.#world.random.between(50, 2000), () => {
      if (number !== this.#aborts) return;
      this.open('abort');
      this.preparedFor = null;
      if (!this.isFenced) this.#armed = null;
      answer({ type: 'aborted', state: this.isUp ? 'running' : 'stopped' });
    });
  }

  #act(
    action: Exclude<EngineCall, { type: 'abort' }>,
    operation: string,
    answer: Answer,
    hangs: boolean,
  ): void {
    const pending = this.#pending;
    const done = (result: EngineResult): void => {
      if (this.#pending === pending && !hangs) this.#pending = null;
      if (!hangs) answer(result);
    };
    switch (action.type) {
      case 'prepare':
        this.#world.checks.begins(this, operation);
        this.preparedFor = operation;
        this.assignment = action.assignment;
        return done({ type: 'prepared' });
      case 'pause':
        if (!this.isPaused) this.#shown = this.#observed?.log.length ?? 0;
        this.isPaused = true;
        this.#pausedFor.add(`${operation} ${formatToken(action.token)}`);
        return done({ type: 'paused' });
      case 'disarm':
        if (this.isFenced) return this.#giveUp('it is fenced');
        this.#armed = null;
        this.isPaused = false;
        return done({ type: 'disarmed' });
      case 'arm':
        if (this.isFenced) return this.#giveUp('it is still fenced');
        this.#arm(action.token, operation);
        return done({
          type: 'armed',
          incarnation: String(this.#incarnation),
          viewing: this.#viewing(),
        });
      case 'freeze':
        return this.#freeze(action, done);
      case 'thaw':
        return this.#thaw(action, done);
      case 'collect':
        if (this.#armed !== null) this.#armed.collected = true;
        this.collectedFor = operation;
        return done({ type: 'collected', manifestDigest: 'd', sizeBytes: 10, storedBytes: 5 });
    }
  }

  #arm(token: Token, operation: string): void {
    const attempted: Attempted = {
      operation,
      token,
      fencedAt: null,
      markedAt: null,
      openedAt: null,
      openedBy: null,
      leaked: false,
      restarted: false,
      leaseEnded: false,
      wasThawed: false,
      cut: null,
      cutsOfHeld: [],
      collected: false,
      isSeenByStrangers: this.#world.outsiders
        .at(this, this.#world.now)
        .some(
          ({ kind, viewer }) =>
            kind === 'stranger' || (viewer.kind === 'logical' && !this.#world.scenario.allowsLogical),
        ),
      stream: this.#stream ?? 0,
    };
    this.#armed = attempted;
    this.attempts.push(attempted);
    this.#world.clientsWanted(15_000);
  }

  #freeze(action: Extract<EngineCall, { type: 'freeze' }>, answer: Answer): void {
    const armed = this.#armed;
    if (armed === null) return answer(failed('freeze: nothing is armed'));
    this.#world.checks.closing(this.index, armed, action.token);
    armed.fencedAt = this.#world.now;
    armed.openedAt = null;
    for (const one of this.held) one.#isShutByLead = true;
    if (!this.isPaused) this.#shown = this.#observed?.log.length ?? 0;
    this.#world.clientsWanted(15_000);
    this.#world.note(
      `engine ${this.index}`,
      1,
      this.log.length,
      () => `fence closed, ${formatToken(action.token)}`,
    );
    if (this.leaks > 0) {
      this.leaks -= 1;
      this.#world.timeline.after(this.#world.random.between(0, 3000), () => this.#leak(armed));
    }
    const mark = (): void => {
      armed.markedAt = this.#world.now;
      armed.cut = this.log.length;
      armed.cutsOfHeld = this.held.map(({ log }) => log.length);
      this.#world.note(`engine ${this.index}`, 2, armed.cut, () => `marked at ${armed.cut}`);
      const incarnation = String(this.#incarnation);
      const place = { journalFile: 'j', position: positionOf(armed), name: formatToken(action.token) };
      this.#later(action, () =>
        answer({
          type: 'marked',
          incarnation,
          mark: this.model === 'observer' ? null : place,
          fenceMs: 1,
          markMs: 1,
        }),
      );
    };
    if (this.model === 'instant') mark();
    else this.#later(action, mark);
  }

  #leak(armed: Attempted): void {
    if (this.#armed !== armed || !this.isFenced) return;
    armed.leaked = true;
    this.#world.note(`engine ${this.index}`, 3, 0, () => 'something gets past the fence');
    this.#shown = this.#observed?.log.length ?? 0;
    this.#written.letIn();
    this.#show();
  }

  #thaw(action: Extract<EngineCall, { type: 'thaw' }>, answer: Answer): void {
    const armed = this.#armed;
    const incarnation = String(this.#incarnation);
    const held =
      armed !== null &&
      formatToken(armed.token) === formatToken(action.token) &&
      armed.markedAt !== null &&
      armed.openedAt === null;
    if (armed !== null) armed.wasThawed = true;
    const leaked = armed?.leaked ?? false;
    const viewing = this.#viewing(armed?.markedAt ?? undefined, armed?.stream);
    this.open('thaw');
    answer({ type: 'released', thawMs: 1 });
    // The proof comes a little later: the log must be searched for leaks.
    this.#later(action, () => {
      if (!held) {
        const cause = 'it was not held';
        answer({ type: 'thawed', proof: { type: 'alreadyResumed', incarnation, cause } });
      } else if (leaked) {
        answer({
          type: 'thawed',
          proof: { type: 'broken', incarnation, cause: 'a commit got past the fence' },
        });
      } else answer({ type: 'thawed', proof: { type: 'held', incarnation, viewing } });
    });
  }

  // What happens to it.

  /** Its agent's connections are gone with that; what it has changed here stays. */
  agentDied(): void {
    this.#giveUp('its agent died');
    this.#aborts += 1;
  }

  /** Whoever does it: what was on its way to close the fence is undone with it. */
  open(by: NonNullable<Attempted['openedBy']>): void {
    if (this.#pending?.action.type === 'freeze' || by === 'agentStart') this.#giveUp('the fence was opened');
    if (by === 'agentStart') this.#aborts += 1;
    if (!this.isUp && by !== 'crash') {
      if (this.isFenced) this.#openWhenUp = by;
      return;
    }
    const armed = this.#armed;
    if (armed !== null && armed.fencedAt !== null && armed.openedAt === null) {
      this.#world.checks.opening(this.index, armed);
      armed.openedAt = this.#world.now;
      armed.openedBy = by;
      for (const one of this.held) one.#openWithLead();
      this.#world.note(`engine ${this.index}`, 4, this.log.length, () => `fence opened by ${by}`);
    }
    if (this.isUp && !this.#isShutByLead) {
      this.isPaused = false;
      this.#written.letIn();
      this.#show();
    }
    this.#world.clientsWanted(3000);
  }

  /**
   * It is gone for a while. What is in its log is durable, and visible when it comes back, whoever waited for
   * it. A fence that is a setting on its disk is closed again then, and the new process cannot know of the gap.
   */
  crash(forTime: number, keepsFence: boolean): void {
    if (!this.isUp) return;
    this.#world.note(`engine ${this.index}`, 5, Number(keepsFence), () => 'crashed');
    this.isUp = false;
    this.isPaused = false;
    this.#giveUp('connection lost');
    if (this.#armed?.openedAt === null) this.#armed.restarted = true;
    this.#failsItsLead(keepsFence);
    if (!keepsFence) this.open('crash');
    this.#written.disconnect();
    this.#world.timeline.after(forTime, () => this.start());
  }

  start(): void {
    if (this.isUp) return;
    this.isUp = true;
    this.upSince = this.#world.now;
    this.#incarnation += 1;
    this.#written.visible = this.log.length;
    this.#shown = this.#observed?.log.length ?? 0;
    this.#world.note(`engine ${this.index}`, 6, this.#incarnation, () => 'started again');
    if (this.#openWhenUp !== null)
      this.#world.timeline.after(this.#world.random.between(0, TRIED_EVERY), () => this.#openLeft());
  }

  #openLeft(): void {
    const by = this.#openWhenUp;
    if (by === null || !this.isUp) return;
    this.#openWhenUp = null;
    this.open(by);
  }

  /** What the agent waits for fails soon; nothing of it goes on. */
  #giveUp(cause: string, isFinal = false): void {
    this.#generation += 1;
    const pending = this.#pending;
    this.#pending = null;
    if (pending === null) return;
    this.#world.timeline.after(this.#world.random.between(50, 2000), () =>
      pending.answer(failed(`${pending.action.type}: ${cause}`, isFinal)),
    );
  }

  /** Nothing more goes wrong here; what hung fails. */
  heal(): void {
    this.leaks = 0;
    this.losesAcknowledgements = false;
    this.faults.length = 0;
    this.#connectAnew();
    this.start();
  }

  #takeFault(call: EngineCall['type']): EngineFault | undefined {
    if (this.faults.length === 0) return undefined;
    const index = this.faults.findIndex((fault) => fault.call === call);
    return index < 0 ? undefined : this.faults.splice(index, 1)[0];
  }

  #later(action: EngineCall, happen: () => void, more = 0): void {
    const generation = this.#generation;
    const { random, timeline } = this.#world;
    const longest = action.type === 'prepare' || action.type === 'collect' ? 20_000 : 2000;
    timeline.after(more + random.between(50, longest), () => {
      if (generation === this.#generation) happen();
    });
  }
}

function failed(message: string, isFinal = false): EngineResult {
  return {
    type: 'failed',
    failure: { code: 'modelled', message, hint: 'none', ...(isFinal && { isFinal }) },
  };
}

/** What its mark says: its own cut first. */
export function positionOf({ cut, cutsOfHeld }: Attempted): string {
  return [cut, ...cutsOfHeld].join(',');
}

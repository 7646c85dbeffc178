import type { Assignment } from '../shared/domain/assignment.ts';
import type { Failure } from '../shared/domain/errors.ts';
import type { MemberDescription } from '../shared/domain/grid.ts';
import type { MemberAnswer, MemberCommand, MemberProgress } from '../shared/domain/messages.ts';
import { FOR_CHECKPOINT, type HoldPurpose, type Purpose } from '../shared/domain/purpose.ts';
import { RECEIVED, SENT } from '../shared/domain/trace.ts';
import { sameToken, type Token } from '../shared/domain/token.ts';
import { operationSilenceMs } from '../shared/protocol/lease.ts';
import type { Alarm } from '../shared/runtime/clock.ts';
import type { Logger } from '../shared/runtime/log.ts';
import type { ProcessTracer } from '../shared/runtime/process-tracer.ts';
import type { MemberStore } from './collect.ts';
import type { Engine } from './engines/engine.ts';
import type { FreezeCharge } from './freeze-ledger.ts';
import { Guard } from './guard/guard.ts';
import type { Happenings } from './happenings.ts';
import { MemberRehearsal } from './member-rehearsal.ts';
import { MemberRuntime } from './member-runtime.ts';
import { memberRoom, watchRooms, type KeepFree, type Room } from './room-watch.ts';
import type { StateDirectory } from './state-directory.ts';
import type { Surroundings } from './surroundings.ts';
import type { UndoKeeper } from './undo-keeper.ts';

export interface CheckpointOperationContext {
  readonly id: string;
  readonly leaseMs: number;
  /** Not set or null: nobody has asked for its steps. Ended with the operation. */
  readonly tracer?: ProcessTracer | null;
  readonly surroundings: Surroundings;
  readonly members: ReadonlyMap<string, { readonly engine: OperatedEngine }>;
  readonly descriptions: { get(member: string): MemberDescription | undefined };
  readonly state: Pick<
    StateDirectory,
    'highestToken' | 'recordToken' | 'makeSpool' | 'dropSpool' | 'saveFreeze' | 'clearFreeze'
  >;
  /** Where a member's part of this checkpoint goes. */
  storeOf(checkpoint: string, description: MemberDescription): MemberStore;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** What it waits for, a new stream, did not come: it has ended by itself. */
  ended(): void;
  readonly undoKeeper: Pick<UndoKeeper, 'undoOnce' | 'keep'>;
  readonly freezeLedger: {
    refusal(): Failure | null;
    charge(leaseMs: number): Promise<Charge>;
  };
  readonly happenings: Pick<Happenings, 'membersReleased'>;
  readonly maxLeaseMs: number;
  /** How long its job may hold the members by a quiesce or a freeze. */
  readonly maxHoldMs: number;
  readonly keepFree: KeepFree;
  /** Of the disks that all members of the host share. */
  readonly hostRooms: readonly Room[];
}

/** What the members of the host were first prepared for. */
interface Prepared {
  readonly checkpoint: string;
  readonly purpose: Purpose;
}

/** What a checkpoint needs of an engine. */
type OperatedEngine = Pick<Engine, 'begin' | 'isRunning' | 'freeBytes'> & Partial<Pick<Engine, 'messages'>>;
type Charge = Pick<FreezeCharge, 'held' | 'release' | 'end'>;

/** Where its answers go: the stream that holds it. */
export interface Listener {
  answer(member: string, answer: MemberAnswer): void;
  /** Of a stand-in. */
  rehearsed(member: string, answer: MemberAnswer): void;
  progress(progress: MemberProgress): void;
  /** Somebody who may has asked the job to let go. */
  letGoAsked(holder: string): void;
}

/** One checkpoint's work on this host: a runtime for each member that takes part, and one guard for all. */
export class CheckpointOperation {
  readonly #context: CheckpointOperationContext;
  readonly #runtimes = new Map<string, MemberRuntime>();
  readonly #watched = new Set<string>();
  /** Null when the members themselves are asked for more than a prepare. */
  #rehearsals: Map<string, MemberRehearsal> | null = new Map();
  #guard: Guard | null = null;
  #listener: Listener | null;
  #ending: Promise<void> | null = null;
  #attempt: { readonly token: Token; readonly charge: Promise<Charge> } | null = null;
  #charge: Charge | null = null;
  #heldFrom: number | null = null;
  /** What waits until no member is frozen. */
  #afterFreeze: (() => void)[] = [];
  /** End the watch over a disk. */
  readonly #watches: (() => void)[] = [];
  readonly #collected = new Set<string>();
  #prepared: Prepared | null = null;
  readonly #held: Alarm;
  /** Null before a member is held or suspended for the job; not counted anew for another. */
  #heldUntil: number | null = null;

  constructor(context: CheckpointOperationContext, listener: Listener) {
    this.#context = context;
    this.#listener = listener;
    this.#held = context.surroundings.clock.alarm(() =>
      this.#giveUp('heldTooLong', [...this.#runtimes.keys()], heldTooLong(context.maxHoldMs)),
    );
  }

  /** Null where its steps are not noted. */
  get tracer(): ProcessTracer | null {
    return this.#context.tracer ?? null;
  }

  /** Null where no member was prepared yet. */
  get prepared(): Prepared | null {
    return this.#prepared;
  }

  /** The quiesce or freeze that holds a member; null where none does, or not yet, or no longer. */
  heldForJob(member: string): { readonly purpose: HoldPurpose; readonly checkpoint: string } | null {
    if (this.#prepared === null || this.#runtimes.get(member)?.isHeldForJob !== true) return null;
    const { checkpoint, purpose } = this.#prepared;
    return purpose.type === 'checkpoint' ? null : { purpose: purpose.type, checkpoint };
  }

  get frozenMembers(): ReadonlySet<string> {
    return new Set([...this.#runtimes].filter(([, runtime]) => runtime.isFrozen).map(([name]) => name));
  }

  /** From the moment at which something has to be undone on a member until it is. */
  get mayHold(): boolean {
    return this.#watched.size > 0;
  }

  /** The members whose abort is under way and cannot end yet, and why. */
  get unfinished(): ReadonlyMap<string, Failure> {
    return new Map(
      [...this.#runtimes].flatMap(([name, { abortFailure }]) =>
        abortFailure === null ? [] : [[name, abortFailure] as const],
      ),
    );
  }

  /** Before anything is done with it. */
  received(member: string, command: MemberCommand): void {
    const { tracer } = this;
    if (tracer === null) return;
    tracer.note(RECEIVED[command.type], member);
    if (command.type === 'freeze' || command.type === 'thaw') tracer.sample();
  }

  /** While members are prepared: a stand-in goes through it. When one is armed it is over. */
  rehearse(member: string, command: MemberCommand): void {
    const { descriptions, surroundings, leaseMs } = this.#context;
    const description = descriptions.get(member);
    const runtime = this.#runtimes.get(member);
    const rehearsals = this.#rehearsals;
    if (rehearsals === null || description === undefined || runtime === undefined) return;
    const rehearsal =
      rehearsals.get(member) ??
      new MemberRehearsal({
        member,
        kind: description.freezeKind,
        surroundings,
        leaseMs,
        rehearse: (part) => runtime.rehearse(part),
        send: (answer) => this.#listener?.rehearsed(member, answer),
      });
    rehearsals.set(member, rehearsal);
    rehearsal.receive(command);
  }

  #endRehearsals(): void {
    for (const rehearsal of this.#rehearsals?.values() ?? []) rehearsal.end();
    this.#rehearsals = null;
  }

  receive(member: string, command: MemberCommand): void {
    if (command.type !== 'prepare') this.#endRehearsals();
    if (this.#ending !== null) return;
    const failure = this.#refusal(member, command);
    if (failure !== null) {
      this.#listener?.answer(member, { type: 'refused', failure });
      return;
    }
    const runtime = this.#runtimes.get(member) ?? this.#begin(member, command);
    runtime?.receive(command);
  }

  /** Before anything is prepared, and before each attempt (where it is charged), the budget is asked. */
  #refusal(member: string, command: MemberCommand): Failure | null {
    if (command.type === 'prepare')
      return this.#unfit(member, command.assignment) ?? this.#context.freezeLedger.refusal();
    if (command.type !== 'arm' && command.type !== 'freeze') return null;
    return leaseRefusal(command.leaseMs, this.#context.maxLeaseMs);
  }

  /** Nobody else's freeze holds a member that its engine declares to stand alone. */
  #unfit(member: string, { hold }: Assignment): Failure | null {
    const isAlone = this.#context.descriptions.get(member)?.traits.domain === member;
    if (hold === 'member' || !isAlone) return null;
    return {
      code: 'assignment-unfit',
      message: `${member} is to be held with a domain, and is held by itself`,
      hint: 'install the same version of stillpoint on every host',
    };
  }

  /** One charge for all members of the host that are frozen under a token. */
  async #record(token: Token, leaseMs: number): Promise<void> {
    if (this.#attempt === null || !sameToken(this.#attempt.token, token)) {
      this.#charge?.end();
      // What a quiesce holds has a bound of its own.
      const chargedMs = this.#prepared?.purpose.type === 'quiesce' ? 0 : leaseMs;
      this.#attempt = { token, charge: this.#context.freezeLedger.charge(chargedMs) };
    }
    this.#charge = await this.#attempt.charge;
    await this.#context.state.recordToken(token);
  }

  #heldChanged(): void {
    const isQuiesce = this.#prepared?.purpose.type === 'quiesce';
    if (this.frozenMembers.size > 0) {
      this.#heldFrom ??= this.#context.surroundings.clock.now();
      if (isQuiesce) this.#timeHold();
      else this.#charge?.held((failure) => this.#exhausted(failure));
      return;
    }
    this.#charge?.release();
    // Nothing of a quiesce is left to hold; the write daemon of a freeze waits until it is collected.
    if (isQuiesce) this.#held.set(null);
    // What is held for long by intent says nothing of how quick freezes are.
    if (this.#heldFrom !== null && !isQuiesce)
      this.#context.happenings.membersReleased(this.#context.surroundings.clock.now() - this.#heldFrom);
    this.#heldFrom = null;
    for (const perform of this.#afterFreeze.splice(0)) perform();
  }

  #timeHold(): void {
    this.#heldUntil ??= this.#context.surroundings.clock.now() + this.#context.maxHoldMs;
    this.#held.set(this.#heldUntil);
  }

  /** Calls this when the last member that is frozen is let go of. */
  afterFreeze(perform: () => void): void {
    this.#afterFreeze.push(perform);
  }

  /** To the job: somebody else wants it to let go. */
  askToLetGo(holder: string): void {
    this.#context.log.info({ event: 'letGoAsked', by: holder }, `${holder} asks to let go`);
    this.#listener?.letGoAsked(holder);
  }

  /** Ends it, whatever its job says. What it came for is lost. */
  force(holder: string): void {
    this.#giveUp('forced', [...this.#runtimes.keys()], forced(holder));
  }

  /** Words of the coordinator have renewed the lease for too long. */
  #exhausted(failure: Failure): void {
    this.#giveUp('heldTooLong', [...this.frozenMembers], failure);
  }

  /** Lets go of everything as if the coordinator had gone, and says why. */
  #giveUp(event: string, members: readonly string[], failure: Failure): void {
    if (this.#ending !== null) return;
    this.#context.log.warn({ event, members }, failure.message);
    for (const member of members) {
      const state = this.frozenMembers.has(member) ? 'frozen' : 'running';
      this.#listener?.answer(member, { type: 'failed', failure, state });
    }
    void this.end();
  }

  /** Everything that was begun is still worth something, and nobody was ever armed. */
  mayBeResumed(): boolean {
    const runtimes = [...this.#runtimes.values()];
    return this.#ending === null && runtimes.length > 0 && runtimes.every((runtime) => runtime.mayBeResumed);
  }

  /** False: it must end at once. True: it is kept until it is resumed, or the coordinator is silent for too long. */
  streamClosed(): boolean {
    if (!this.mayBeResumed()) return false;
    this.#listener = null;
    this.#context.log.warn({ event: 'streamLost' }, 'the stream is lost; what is prepared waits for another');
    for (const runtime of this.#runtimes.values()) {
      runtime.streamClosed();
      void runtime.closed.then(() => this.#context.ended());
    }
    return true;
  }

  resume(listener: Listener): void {
    this.#listener = listener;
    for (const runtime of this.#runtimes.values()) runtime.streamResumed();
  }

  messageReceived(): void {
    for (const runtime of this.#runtimes.values()) runtime.messageReceived();
  }

  /** Aborts what is under way (what is collected stays). Resolves when every member is done with it. */
  end(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  /** A full disk harms more than the checkpoint: it ends before. What is collected needs no room any more. */
  #watchRooms(member: string, engine: OperatedEngine): void {
    const { keepFree, hostRooms, surroundings } = this.#context;
    const short = (failure: Failure): void => {
      const ofIt = failure.member === undefined ? [...this.#runtimes.keys()] : [failure.member];
      this.#giveUp('roomShort', ofIt, failure);
    };
    const rooms = [memberRoom(member, engine, keepFree)];
    if (this.#watches.length === 0) rooms.push(...hostRooms);
    this.#watches.push(watchRooms(rooms, short, surroundings.clock));
  }

  #endWatches(): void {
    for (const end of this.#watches) end();
  }

  #answer(member: string, answer: MemberAnswer): void {
    if (answer.type === 'collected') this.#collected.add(member);
    if (this.#collected.size === this.#runtimes.size) {
      this.#endWatches();
      this.#held.set(null);
    }
    this.#trace(member, answer);
    this.#listener?.answer(member, answer);
  }

  #trace(member: string, answer: MemberAnswer): void {
    const { tracer } = this;
    if (tracer === null) return;
    if (answer.type === 'marked' || answer.type === 'released') tracer.sample();
    tracer.note(SENT[answer.type], member);
  }

  async #end(): Promise<void> {
    this.#endWatches();
    this.#endRehearsals();
    this.#held.set(null);
    for (const runtime of this.#runtimes.values()) runtime.operationEnded();
    await Promise.all([...this.#runtimes.values()].map((runtime) => runtime.closed));
    this.#charge?.end();
    this.#context.tracer?.end();
    if (this.#watched.size === 0) {
      await this.#guard?.end();
      return;
    }
    // The guard goes on trying too, and ends by itself when it is done: there is no need to wait for it.
    for (const member of this.#watched) this.#context.undoKeeper.keep(member);
    this.#guard?.leave();
  }

  #begin(member: string, command: MemberCommand): MemberRuntime | null {
    const { members, descriptions, log, leaseMs, id, state, surroundings, storeOf } = this.#context;
    const { clock, time, machine, priority, reach } = surroundings;
    const known = members.get(member);
    const description = descriptions.get(member);
    if (known === undefined || description === undefined) {
      this.#listener?.answer(member, { type: 'refused', failure: unknownMember(member) });
      return null;
    }
    // The guard starts with the first command, long before anything could need it: arming must be quick.
    this.#guard ??= this.#startGuard();
    const checkpoint = command.type === 'prepare' ? command.checkpoint : '';
    if (command.type === 'prepare') this.#prepare(command);
    const runtime = new MemberRuntime({
      machine,
      clock,
      time,
      priority,
      reach: (moment) => reach(moment, member),
      step: (step, atMs) => this.tracer?.note(step, member, atMs),
      member,
      kind: description.freezeKind,
      engine: known.engine,
      operation: id,
      state,
      log,
      operationSilenceMs: operationSilenceMs(leaseMs),
      leaseMs,
      store: storeOf(checkpoint, description),
      send: (answer) => this.#answer(member, answer),
      record: (token, forMs) => this.#record(token, forMs),
      heldChanged: () => this.#heldChanged(),
      undoLeft: () => this.#context.undoKeeper.undoOnce(member),
      progress: (bytesDone, bytesTotal) =>
        this.#listener?.progress({ member, phase: 'copy', bytesDone, bytesTotal, waitsFor: '' }),
      waitsFor: (waitsFor) =>
        this.#listener?.progress({ member, phase: 'wait', bytesDone: 0, bytesTotal: 0, waitsFor }),
      lost: (failure) => this.#giveUp('captureLost', [member], failure),
      saveUndo: async (undo, silenceMs) => {
        if (undo === null) {
          await state.clearFreeze(member);
          this.#watched.delete(member);
          this.#guard?.unwatch(member);
          return;
        }
        await state.saveFreeze({ member, operation: id, undo });
        this.#watched.add(member);
        this.#guard ??= this.#startGuard();
        await this.#guard.watch(member, undo, silenceMs);
      },
    });
    this.#runtimes.set(member, runtime);
    this.#watchRooms(member, known.engine);
    return runtime;
  }

  #prepare({ checkpoint, purpose = FOR_CHECKPOINT }: Extract<MemberCommand, { type: 'prepare' }>): void {
    this.#prepared ??= { checkpoint, purpose };
    // Its write daemon is suspended in the prepare.
    if (purpose.type === 'freeze') this.#timeHold();
  }

  #startGuard(): Guard {
    return new Guard({
      start: this.#context.surroundings.startGuard,
      clock: this.#context.surroundings.clock,
      operation: this.#context.id,
      log: this.#context.log,
      undone: (member) => this.#runtimes.get(member)?.guardThawed(),
      // Without a guard nobody may stay frozen: end the operation as if the coordinator had gone.
      lost: () => void this.end(),
    });
  }
}

/** Why a lease is not granted; null where it may be. */
export function leaseRefusal(leaseMs: number, maxLeaseMs: number): Failure | null {
  if (leaseMs <= maxLeaseMs) return null;
  return {
    code: 'lease-too-long',
    message: `a lease of ${leaseMs / 1000} s was asked for; the agent grants ${maxLeaseMs / 1000} s at most`,
    hint: 'lower leaseSeconds in the grid file, or raise freezeBudget.leaseSeconds in the agent file',
  };
}

function heldTooLong(maxHoldMs: number): Failure {
  return {
    code: 'held-too-long',
    message: `the members were held for the ${maxHoldMs / 1000} s that one job may hold them, and let go`,
    hint: 'what was copied meanwhile is not to be trusted: copy faster (a snapshot), or raise freezeBudget.holdSeconds in the agent file',
  };
}

function forced(holder: string): Failure {
  return {
    code: 'forced',
    message: `${holder} has ended it with --force`,
    hint: 'what was copied meanwhile is not to be trusted: start it again, and copy again',
  };
}

function unknownMember(member: string): Failure {
  return {
    code: 'unknown-member',
    message: `this agent has no member ${member}, or it was not described in this operation`,
    hint: "compare the agent's file with what `stillpoint grid status` prints",
  };
}

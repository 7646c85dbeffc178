import { StillpointError } from '../../../shared/domain/errors.ts';
import type {
  JournalCut,
  ParticipantDescription,
  ParticipantHolds,
} from '../../../shared/domain/participant.ts';
import type { Mark } from '../../../shared/domain/grid.ts';
import type { ThawProof } from '../../../shared/domain/messages.ts';
import { lastsUntilLetGo } from '../../../shared/domain/purpose.ts';
import type { Token } from '../../../shared/domain/token.ts';
import type { Participant } from '../../../shared/rpc/participant-client.ts';
import { outOfOrder, type HoldContext, type JournalContext } from '../engine.ts';
import { OneCallAtATime } from '../one-call-at-a-time.ts';
import { holdLost, notQuiesced, roleChanged } from './hold-failures.ts';
import { connectTo, withParticipant } from './link.ts';
import { isProcessRunning } from './native-process.ts';
import { NativeGuardian, type NativeUndo } from './native-undo.ts';
import type { NativeSettings } from './settings.ts';

/** What is held for long (writing, journal, maintenance) ends by itself this long after our last word, or later. */
const HOLD_LEASE_MS = 30_000;
const RENEW_EVERY_MS = 5000;
/** How long a process may take to come to rest for an instant. */
const QUIESCE_MS = 3000;
/** Calls before the freeze; a hundred make a path warm. */
const REHEARSALS = 100;
/** The process's own deadline for a freeze lies this far behind the agent's. */
const BEHIND_AGENT_MS = 2000;

export const RESTARTED = 'it was restarted meanwhile';

type OperationContext = HoldContext & Pick<JournalContext, 'lost'>;

/** What a job waits for that must last until it lets go: as the process tells it. */
type Awaited = 'quiesced' | 'writingSuspended';

/**
 * One operation's work on one process: what all roles have in common, and what hold and copy share. It quiesces, marks
 * and resumes, renews what is held for long, and lets go of everything at the end.
 */
export class Operation {
  readonly id = crypto.randomUUID();
  readonly calls = new OneCallAtATime();
  readonly #settings: NativeSettings;
  readonly #context: OperationContext;
  readonly #ended: () => void;
  #participant: Participant | null = null;
  #incarnation: string | null = null;
  /** From then on something may be held. */
  #begun = false;
  #renewing: NodeJS.Timeout | null = null;
  /** While it is quiesced only the coordinator's word renews anything: no renewal may outlive that. */
  #quiesced = false;
  #cut: JournalCut | null = null;
  readonly #awaited = new Set<Awaited>();
  #renewedAt = 0;
  #lost = false;

  /** `ended`: it was let go of, or that was tried. */
  constructor(settings: NativeSettings, context: OperationContext, ended: () => void) {
    this.#settings = settings;
    this.#context = context;
    this.#ended = ended;
  }

  /** The lease for what is held for long, renewed until the end: longer than the coordinator's, whose word it needs. */
  get lease(): { readonly operation: string; readonly leaseMs: number } {
    const leaseMs = Math.max(HOLD_LEASE_MS, this.#context.leaseMs() + BEHIND_AGENT_MS);
    return { operation: this.id, leaseMs };
  }

  get participant(): Participant {
    if (this.#participant === null) throw outOfOrder('the operation is not begun');
    return this.#participant;
  }

  get cut(): JournalCut {
    if (this.#cut === null) throw outOfOrder('nothing is marked');
    return this.#cut;
  }

  get isMarked(): boolean {
    return this.#cut !== null;
  }

  /** Connects, and makes the way back durable before anything is held. */
  async begin(): Promise<ParticipantDescription> {
    this.#participant = await connectTo(this.#settings);
    const description = await this.#participant.describe();
    this.#incarnation = description.incarnation;
    this.#begun = true;
    await this.#context.saveUndo({ kind: 'native', operation: this.id } satisfies NativeUndo);
    this.#renewedAt = performance.now();
    this.#renewing = setInterval(() => this.#renewUnlessQuiesced(), RENEW_EVERY_MS);
    void this.#rehearse();
    return description;
  }

  /** The same process as at the beginning, in the same role; else what was prepared of it is worth nothing. */
  async arm(
    isAsPrepared: (description: ParticipantDescription) => boolean,
  ): Promise<{ incarnation: string }> {
    this.#cut = null;
    const description = await this.participant.describe();
    this.mustBeSame(description.incarnation);
    if (!isAsPrepared(description)) throw roleChanged(this.#settings.name);
    return { incarnation: description.incarnation };
  }

  async freeze(
    token: Token,
  ): Promise<{ incarnation: string; mark: Mark; fencedAt: number; markedAt: number }> {
    const { purpose } = this.#context;
    const attempt = { operation: this.id, token };
    const leaseMs = this.#context.leaseMs() + BEHIND_AGENT_MS;
    const { allowReads, timeoutMs } =
      purpose.type === 'quiesce'
        ? { allowReads: purpose.allowReads, timeoutMs: purpose.timeOutMs }
        : { allowReads: true, timeoutMs: QUIESCE_MS };
    this.#quiesced = true;
    this.#context.step('fence asked');
    const rest = await this.participant.quiesce({ ...attempt, allowReads, timeoutMs, leaseMs });
    this.#context.step('fence answered');
    if (!rest.quiesced) throw notQuiesced(this.#settings.name, rest.notQuiesced, timeoutMs);
    const fencedAt = performance.now();
    this.#context.step('fence closed');
    await this.#context.reach('fenced');
    this.#context.step('mark asked');
    const cut = await this.participant.switchJournal(attempt);
    this.#context.step('mark answered');
    const markedAt = performance.now();
    this.mustBeSame(rest.incarnation);
    this.mustBeSame(cut.incarnation);
    this.#cut = cut;
    if (purpose.type === 'quiesce') this.awaits('quiesced');
    const mark: Mark = {
      journalFile: cut.journalFile,
      position: `${cut.journalFile}:${cut.length}`,
      name: `${this.#context.checkpoint} ${token.attempt}`,
    };
    return { incarnation: cut.incarnation, mark, fencedAt, markedAt };
  }

  async thaw(token: Token, released: () => void): Promise<ThawProof> {
    this.#awaited.delete('quiesced');
    this.#context.step('open asked');
    const { incarnation, held, cause } = await this.participant.resume({ operation: this.id, token });
    this.#context.step('open answered');
    released();
    this.#quiesced = false;
    if (this.#cut === null) return { type: 'alreadyResumed', incarnation, cause: 'it was not frozen' };
    return held ? { type: 'held', incarnation } : { type: 'alreadyResumed', incarnation, cause };
  }

  /** From now on it must be held until `awaitsNoMore`: where the process says otherwise, all ends at once. */
  awaits(what: Awaited): void {
    if (lastsUntilLetGo(this.#context.purpose)) this.#awaited.add(what);
  }

  awaitsNoMore(what: Awaited): void {
    this.#awaited.delete(what);
  }

  /** The coordinator's word came: what ends by the process's clock counts anew. */
  renew(): void {
    const participant = this.#participant;
    if (participant === null) return;
    const asked = new Set(this.#awaited);
    participant.renew({ operation: this.id }).then(
      (held) => this.#renewed(held, asked),
      () => void this.#notRenewed(),
    );
  }

  /**
   * Lets go of everything at once, and again when no call of ours is under way any more: what was on its way to the
   * process may have taken hold after that. Resolves when the process holds nothing of ours, or is gone. Idempotent.
   */
  async release(): Promise<void> {
    this.#awaited.clear();
    try {
      await this.calls.abort({ release: () => this.#release(), end: () => this.#end() });
    } finally {
      this.#ended();
    }
  }

  /** Every answer names the process that gave it: one that was started meanwhile holds nothing of what was asked. */
  mustBeSame(incarnation: string): void {
    if (this.isSame(incarnation)) return;
    throw new StillpointError({
      code: 'member-restarted',
      message: `${this.#settings.name} was restarted during the checkpoint`,
      hint: 'see why in its log, then create the checkpoint again',
      isFinal: true,
    });
  }

  isSame(incarnation: string): boolean {
    return incarnation === this.#incarnation;
  }

  async #release(): Promise<void> {
    if (!this.#begun) return;
    const guardian = new NativeGuardian(this.#settings);
    try {
      await guardian.undo({ kind: 'native', operation: this.id } satisfies NativeUndo);
    } finally {
      await guardian.close();
    }
  }

  async #end(): Promise<void> {
    if (this.#renewing !== null) clearInterval(this.#renewing);
    this.#renewing = null;
    await this.#release();
    if (this.#begun) await this.#context.saveUndo(null);
    this.#begun = false;
    this.#close();
  }

  #close(): void {
    this.#participant?.close();
    this.#participant = null;
  }

  /** The way of the freeze, walked so often that both sides have it compiled when it counts. */
  async #rehearse(): Promise<void> {
    for (let round = 0; round < REHEARSALS && this.#renewing !== null && !this.#quiesced; round += 1) {
      await this.#participant?.renew({ operation: this.id }).catch(() => undefined);
    }
  }

  #renewUnlessQuiesced(): void {
    if (!this.#quiesced) this.renew();
  }

  /** `asked`: what was awaited when it was asked; what has begun since need not be in the answer. */
  #renewed(held: ParticipantHolds, asked: ReadonlySet<Awaited>): void {
    this.#renewedAt = performance.now();
    const ended = [...asked].find((what) => this.#awaited.has(what) && !held[what]);
    if (ended !== undefined) this.#lose('it says that it holds nothing any more: was it restarted?');
  }

  /** What a lost renewal costs shows when the hold ends; but a job should not copy for hours what is lost already. */
  async #notRenewed(): Promise<void> {
    if (this.#awaited.size === 0 || this.#lost) return;
    const { leaseMs } = this.lease;
    if (performance.now() - this.#renewedAt > leaseMs)
      return this.#lose(`it could not be reached for ${leaseMs / 1000} s, so it has let go by itself`);
    const cause = await this.whyOver().catch(() => null);
    if (cause !== null && this.#awaited.size > 0) this.#lose(cause);
  }

  /**
   * Why nothing of this operation can be held any more, where a call failed: the process is gone, or another one is in its
   * place. Null where it may still be the one that was asked.
   */
  async whyOver(): Promise<string | null> {
    try {
      const { incarnation, recovering } = await withParticipant(this.#settings, (participant) =>
        participant.describe(),
      );
      if (this.isSame(incarnation)) return null;
      return recovering === null ? RESTARTED : `${RESTARTED}, and is recovering: ${recovering}`;
    } catch (error) {
      if (!(error instanceof StillpointError)) throw error;
      return (await isProcessRunning(this.#settings))
        ? null
        : 'it does not run any more: it was stopped, or it crashed';
    }
  }

  #lose(cause: string): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#context.lost(holdLost(this.#settings.name, cause));
  }
}

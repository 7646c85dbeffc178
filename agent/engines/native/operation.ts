import { StillpointError } from '../../../shared/domain/errors.ts';
import type { ParticipantDescription, JournalCut } from '../../../shared/domain/participant.ts';
import type { Mark } from '../../../shared/domain/grid.ts';
import type { ThawProof } from '../../../shared/domain/messages.ts';
import type { Token } from '../../../shared/domain/token.ts';
import type { Participant } from '../../../shared/rpc/participant-client.ts';
import { outOfOrder, type HoldContext } from '../engine.ts';
import { OneCallAtATime } from '../one-call-at-a-time.ts';
import { connectTo } from './link.ts';
import { NativeGuardian, type NativeUndo } from './native-undo.ts';
import type { NativeSettings } from './settings.ts';

/** What is held for long (writing, journal, maintenance) ends by itself this long after our last word. */
const HOLD_LEASE_MS = 30_000;
const RENEW_EVERY_MS = 5000;
/** How long a process may take to come to rest. */
const QUIESCE_MS = 3000;
/** Calls before the freeze; a hundred make a path warm. */
const REHEARSALS = 100;
/** The process's own deadline for a freeze lies this far behind the agent's. */
const BEHIND_AGENT_MS = 2000;

/**
 * One checkpoint's work on one process: what all roles have in common, and what hold and copy share. It quiesces, marks
 * and resumes, renews what is held for long, and lets go of everything at the end.
 */
export class Operation {
  readonly id = crypto.randomUUID();
  readonly calls = new OneCallAtATime();
  readonly #settings: NativeSettings;
  readonly #context: HoldContext;
  readonly #ended: () => void;
  #participant: Participant | null = null;
  #incarnation: string | null = null;
  /** From then on something may be held. */
  #begun = false;
  #renewing: NodeJS.Timeout | null = null;
  /** While it is quiesced only its own lease counts: no renewal may outlive the agent's word. */
  #quiesced = false;
  #cut: JournalCut | null = null;

  /** `ended`: it was let go of, or that was tried. */
  constructor(settings: NativeSettings, context: HoldContext, ended: () => void) {
    this.#settings = settings;
    this.#context = context;
    this.#ended = ended;
  }

  /** The lease for what is held for long, renewed until the end. */
  readonly lease = { operation: this.id, leaseMs: HOLD_LEASE_MS } as const;

  get participant(): Participant {
    if (this.#participant === null) throw outOfOrder('the operation is not begun');
    return this.#participant;
  }

  get cut(): JournalCut {
    if (this.#cut === null) throw outOfOrder('nothing is marked');
    return this.#cut;
  }

  /** Connects, and makes the way back durable before anything is held. */
  async begin(): Promise<ParticipantDescription> {
    this.#participant = await connectTo(this.#settings);
    const description = await this.#participant.describe();
    this.#incarnation = description.incarnation;
    this.#begun = true;
    await this.#context.saveUndo({ kind: 'native', operation: this.id } satisfies NativeUndo);
    this.#renewing = setInterval(() => this.#renew(), RENEW_EVERY_MS);
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
    const attempt = { operation: this.id, token };
    const leaseMs = this.#context.leaseMs() + BEHIND_AGENT_MS;
    this.#quiesced = true;
    const rest = await this.participant.quiesce({
      ...attempt,
      allowReads: true,
      timeoutMs: QUIESCE_MS,
      leaseMs,
    });
    if (!rest.quiesced) throw notQuiesced(this.#settings.name, rest.notQuiesced);
    const fencedAt = performance.now();
    await this.#context.reach('fenced');
    const cut = await this.participant.switchJournal(attempt);
    const markedAt = performance.now();
    this.mustBeSame(rest.incarnation);
    this.mustBeSame(cut.incarnation);
    this.#cut = cut;
    const mark: Mark = {
      journalFile: cut.journalFile,
      position: `${cut.journalFile}:${cut.length}`,
      name: `${this.#context.checkpoint} ${token.attempt}`,
    };
    return { incarnation: cut.incarnation, mark, fencedAt, markedAt };
  }

  async thaw(token: Token, released: () => void): Promise<ThawProof> {
    const { incarnation, held, cause } = await this.participant.resume({ operation: this.id, token });
    released();
    this.#quiesced = false;
    if (this.#cut === null) return { type: 'alreadyResumed', incarnation, cause: 'it was not frozen' };
    return held ? { type: 'held', incarnation } : { type: 'alreadyResumed', incarnation, cause };
  }

  /**
   * Lets go of everything at once, and again when no call of ours is under way any more: what was on its way to the
   * process may have taken hold after that. Resolves when the process holds nothing of ours, or is gone. Idempotent.
   */
  async release(): Promise<void> {
    try {
      await this.calls.abort({ release: () => this.#release(), end: () => this.#end() });
    } finally {
      this.#ended();
    }
  }

  /** Every answer names the process that gave it: one that was started meanwhile holds nothing of what was asked. */
  mustBeSame(incarnation: string): void {
    if (incarnation === this.#incarnation) return;
    throw new StillpointError({
      code: 'member-restarted',
      message: `${this.#settings.name} was restarted during the checkpoint`,
      hint: 'see why in its log, then create the checkpoint again',
      isFinal: true,
    });
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

  #renew(): void {
    // What a lost renewal costs shows when the hold ends: it was not held.
    if (!this.#quiesced) this.#participant?.renew({ operation: this.id }).catch(() => undefined);
  }
}

/** Something that was held for long ended before it was to. */
export function notHeld(member: string, what: string, cause: string): StillpointError {
  return new StillpointError({
    code: 'hold-lost',
    message: `${what} on ${member} did not last until the checkpoint had it${cause === '' ? '' : `: ${cause}`}`,
    hint: "see the process's log: was it restarted, or its host stopped for a while? Then create the checkpoint again",
    isFinal: true,
  });
}

function notQuiesced(member: string, activities: readonly string[]): StillpointError {
  return new StillpointError({
    code: 'fence-not-reached',
    message: `${member} did not come to rest in ${QUIESCE_MS} ms: ${activities.join(', ') || 'it did not say what'}`,
    hint: 'end what it names, or wait for it, then create the checkpoint again',
  });
}

function roleChanged(member: string): StillpointError {
  return new StillpointError({
    code: 'role-changed',
    message: `${member} changed its role during the checkpoint`,
    hint: 'a process took over from another; create the checkpoint again',
    isFinal: true,
  });
}

import type { FreezeKind } from '../../shared/domain/grid.ts';
import type { MemberAnswer, Suspension, ThawProof } from '../../shared/domain/messages.ts';
import { FOR_CHECKPOINT, type Purpose } from '../../shared/domain/purpose.ts';
import {
  initialCoordinator,
  stepCoordinator,
  type ConfiguredMember,
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorState,
  type Held,
  type Outcome,
} from '../../shared/protocol/coordinator-machine.ts';

export const token = (attempt: number) => ({ epoch: 0, counter: 7, attempt });
export const failure = { code: 'x', message: 'it broke', hint: 'mend it' };

function holding(name: string, heldBy: Record<string, string>): Partial<ConfiguredMember> {
  const lead = heldBy[name];
  if (lead !== undefined) return { assignment: { hold: 'none', part: 'none' }, heldBy: lead };
  return Object.values(heldBy).includes(name) ? { assignment: { hold: 'lead', part: 'whole' } } : {};
}

/** The coordinator, driven by hand: events in, the effects of the last one kept; time is a number. */
export class Driven {
  state: CoordinatorState;
  effects: CoordinatorEffect[] = [];
  now = 0;

  /** `heldBy`: who is held by a lead, and by whom. */
  constructor(
    members: Record<string, FreezeKind>,
    limits: { prepareMs?: number; collectMs?: number } = {},
    heldBy: Record<string, string> = {},
    purpose: Purpose = FOR_CHECKPOINT,
  ) {
    this.state = initialCoordinator({
      members: Object.entries(members).map(([name, kind]) => ({ name, kind, ...holding(name, heldBy) })),
      maintenance: false,
      checkpoint: 'c',
      purpose,
      epoch: 0,
      counter: 7,
      leaseMs: 1000,
      maxAttempts: 3,
      maxArms: 3,
      deadlines: {
        prepareMs: null,
        pauseMs: 300,
        armMs: 100,
        disarmMs: 100,
        armAgainMs: 20,
        reconnectMs: 600,
        freezeMs: 100,
        thawMs: 100,
        collectMs: null,
        abortRetryMs: 50,
        abortGiveUpMs: 500,
        ...limits,
      },
    });
    this.happens({ type: 'started', now: 0 });
  }

  happens(event: CoordinatorEvent): void {
    const { state, effects } = stepCoordinator(this.state, event);
    this.state = state;
    this.effects = [...effects];
  }

  answers(member: string, answer: MemberAnswer): void {
    this.now += 1;
    this.happens({ type: 'answerReceived', now: this.now, member, answer });
  }

  sent(): string[] {
    return this.effects.flatMap((effect) => {
      if (effect.type !== 'send') return [];
      const attempt = 'token' in effect.command ? `#${effect.command.token?.attempt ?? '-'}` : '';
      return [`${effect.member} ${effect.command.type}${attempt}`];
    });
  }

  /** What the job is told when it has the grid. */
  get held(): Held | undefined {
    return this.effects.flatMap((effect) => (effect.type === 'holding' ? [effect.held] : []))[0];
  }

  letGo(): void {
    this.now += 1;
    this.happens({ type: 'letGo', now: this.now });
  }

  get outcome(): Outcome | undefined {
    return this.effects.flatMap((effect) => (effect.type === 'finish' ? [effect.outcome] : []))[0];
  }

  armAll(attempt = 1): void {
    if (attempt === 1)
      for (const { name } of this.state.config.members) this.answers(name, { type: 'prepared' });
    for (const { name, kind } of this.state.config.members)
      if (kind === 'observer') this.answers(name, { type: 'paused', token: token(attempt) });
    for (const { name } of this.state.config.members)
      this.answers(name, { type: 'armed', token: token(attempt), incarnation: 'i' });
  }

  marks(member: string, attempt = 1): void {
    this.answers(member, {
      type: 'marked',
      token: token(attempt),
      incarnation: 'i',
      mark: null,
      fenceMs: 1,
      markMs: 1,
    });
  }

  thaws(member: string, proof: ThawProof = { type: 'held', incarnation: 'i' }, attempt = 1): void {
    this.answers(member, { type: 'thawed', token: token(attempt), proof });
  }

  /** `suspension`: what a member of a freeze says besides. */
  collects(member: string, suspension?: Suspension, attempt = 1): void {
    this.answers(member, {
      type: 'collected',
      token: token(attempt),
      manifestDigest: `digest of ${member}`,
      sizeBytes: 10,
      storedBytes: 5,
      ...(suspension !== undefined && { suspension }),
    });
  }
}

import { BY_ITSELF } from '../../shared/domain/assignment.ts';
import type { MemberCommand } from '../../shared/domain/messages.ts';
import { FOR_CHECKPOINT, type Purpose } from '../../shared/domain/purpose.ts';
import type { Token } from '../../shared/domain/token.ts';
import {
  initialMember,
  stepMember,
  type EngineResult,
  type MemberEffect,
  type MemberEvent,
} from '../../shared/protocol/member-machine.ts';

export const first: Token = { epoch: 0, counter: 3, attempt: 1 };
export const second: Token = { epoch: 0, counter: 3, attempt: 2 };
export const LEASE = 100;

export const marked: EngineResult = { type: 'marked', incarnation: 'i', mark: null, fenceMs: 1, markMs: 1 };
export const held: EngineResult = { type: 'thawed', proof: { type: 'held', incarnation: 'i' } };

/** A member's machine, driven by hand: events in, the effects of the last one kept; time is a number. */
export class Driven {
  state;
  effects: MemberEffect[] = [];
  now = 0;
  readonly #purpose: Purpose;

  constructor(highest: Token | null = null, purpose: Purpose = FOR_CHECKPOINT) {
    this.#purpose = purpose;
    this.state = initialMember(
      { member: 'm', kind: 'fenced', operationSilenceMs: 1000, leaseMs: 1000 },
      highest,
    );
  }

  happens(event: MemberEvent): this {
    const { state, effects } = stepMember(this.state, event);
    this.state = state;
    this.effects = [...effects];
    return this;
  }

  receives(command: MemberCommand): this {
    return this.happens({ type: 'commandReceived', now: this.now, command });
  }

  engine(result: EngineResult): this {
    return this.happens({ type: 'engineAnswered', now: this.now, call: this.state.nextCall - 1, result });
  }

  timeIs(now: number): this {
    this.now = now;
    return this.happens({ type: 'timePassed', now });
  }

  get did(): string[] {
    return this.effects.map((effect) => {
      if (effect.type === 'engine') return `engine ${effect.action.type}`;
      return effect.type === 'answer' ? `answer ${effect.answer.type}` : effect.type;
    });
  }

  preparing(): this {
    const purpose = this.#purpose;
    const asked = { type: 'prepare', checkpoint: 'c', assignment: BY_ITSELF, maintenance: false } as const;
    return this.receives({ ...asked, purpose });
  }

  armed(token = first): this {
    return this.preparing()
      .engine({ type: 'prepared' })
      .receives({ type: 'arm', token, leaseMs: LEASE })
      .engine({ type: 'armed', incarnation: 'i' });
  }

  frozen(): this {
    return this.armed().receives({ type: 'freeze', token: first, leaseMs: LEASE }).engine(marked);
  }

  thawed(): this {
    return this.frozen().receives({ type: 'thaw', token: first }).engine(held);
  }
}

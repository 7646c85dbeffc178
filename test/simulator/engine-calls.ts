import type { EngineCall, EngineResult } from '../../shared/protocol/member-machine.ts';
import type { World } from './world.ts';

export type Answer = (result: EngineResult) => void;

interface Call {
  readonly action: EngineCall;
  readonly answer: Answer;
}

/** What an agent waits for: one call at a time, and nothing of one that was given up goes on. */
export class EngineCalls {
  readonly #world: World;
  #current: Call | null = null;
  #generation = 0;
  #aborts = 0;

  constructor(world: World) {
    this.#world = world;
  }

  get current(): Call | null {
    return this.#current;
  }

  begin(action: EngineCall, answer: Answer): Call {
    this.#current = { action, answer };
    return this.#current;
  }

  end(call: Call | null): void {
    if (this.#current === call) this.#current = null;
  }

  later(action: EngineCall, happen: () => void, more = 0): void {
    const generation = this.#generation;
    const { random, timeline } = this.#world;
    const longest = action.type === 'prepare' || action.type === 'collect' ? 20_000 : 2000;
    timeline.after(more + random.between(50, longest), () => {
      if (generation === this.#generation) happen();
    });
  }

  /** What the agent waits for fails soon; nothing of it goes on. */
  giveUp(cause: string, isFinal = false): void {
    this.#generation += 1;
    const call = this.#current;
    this.#current = null;
    if (call === null) return;
    this.#world.timeline.after(this.#world.random.between(50, 2000), () =>
      call.answer(failed(`${call.action.type}: ${cause}`, isFinal)),
    );
  }

  /** Begins an abort, whose number it returns: nothing that was asked before is answered. */
  abort(): number {
    this.#generation += 1;
    this.#current = null;
    this.#aborts += 1;
    return this.#aborts;
  }

  /** The number of the abort that counts. */
  get aborts(): number {
    return this.#aborts;
  }

  /** Whoever asked for one does not wait for it any more. */
  forgetAborts(): void {
    this.#aborts += 1;
  }
}

export function failed(message: string, isFinal = false): EngineResult {
  return {
    type: 'failed',
    failure: { code: 'modelled', message, hint: 'none', ...(isFinal && { isFinal }) },
  };
}

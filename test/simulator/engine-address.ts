import type { ServerIdentity } from '../../agent/engines/postgres/server/server-identity.ts';
import type { Model } from './scenario.ts';
import type { World } from './world.ts';

/** Who answers at the address of an engine, and whether anybody is let in. */
export class EngineAddress {
  /** Every connection is taken; those that are held stay. */
  isPoolFull = false;
  /** Who was turned away until now tries again soon, not at once. */
  reachableFrom = 0;
  #stranger: ServerIdentity | null = null;
  #identity: ServerIdentity | null = null;
  readonly #world: World;
  /** Of the process that runs there. */
  readonly #process: { readonly index: number; readonly incarnation: string; readonly model: Model };

  constructor(
    world: World,
    process: { readonly index: number; readonly incarnation: string; readonly model: Model },
  ) {
    this.#world = world;
    this.#process = process;
  }

  /** Of the engine's own process: what a freeze record says of it. */
  get identity(): ServerIdentity {
    const { index, incarnation: startedAt, model } = this.#process;
    if (this.#identity?.startedAt !== startedAt)
      this.#identity = {
        systemIdentifier: `system ${index}`,
        startedAt,
        timeline: model === 'observer' ? null : 1,
      };
    return this.#identity;
  }

  /** The server that a new connection to its address finds. */
  get answering(): ServerIdentity {
    return this.#stranger ?? this.identity;
  }

  /** A server of another system answers at its address, or the new primary of its own. */
  move(forTime: number, isSuccessor: boolean): void {
    const { systemIdentifier } = this.identity;
    this.#stranger = {
      systemIdentifier: isSuccessor ? systemIdentifier : 'another system',
      startedAt: 'elsewhere',
      timeline: isSuccessor ? 2 : 1,
    };
    this.#unreachableFor(forTime, () => (this.#stranger = null));
  }

  fill(forTime: number): void {
    this.isPoolFull = true;
    this.#unreachableFor(forTime, () => (this.isPoolFull = false));
  }

  #unreachableFor(forTime: number, then: () => void): void {
    this.reachableFrom = Math.max(this.reachableFrom, this.#world.now + forTime);
    this.#world.timeline.after(forTime, then);
  }
}

import type { SimulatedEngine } from './engine.ts';
import type { World } from './world.ts';
import type { Effect } from './written.ts';

/** Without an answer (it was lost, or its server died) a client goes on after this, not knowing. */
const PATIENCE = 10_000;

/**
 * A client of the grid. It writes on one member after the other, each write with all that it knew: its last
 * acknowledged write and what it has read since. What it was told is the only history that a cut is judged by.
 */
class Client {
  readonly #world: World;
  #knows: readonly Effect[] = [];
  isIdle = true;

  constructor(world: World) {
    this.#world = world;
  }

  act(): void {
    const { random, timeline, engines, outsiders } = this.#world;
    if (!this.#world.clientsAreWanted) {
      this.isIdle = true;
      return;
    }
    this.isIdle = false;
    if (random.chance(0.4)) {
      const seen = random.pick([...engines, ...outsiders.readers()]).read();
      if (seen !== null && !this.#knows.includes(seen)) this.#knows = [...this.#knows, seen];
    }
    const engine = this.#whereToWrite();
    const effect: Effect = { member: engine.index, causes: this.#knows, place: null, acknowledgedAt: null };
    timeline.after(random.between(50, 800), () =>
      engine.write(effect, (told) => this.#answered(effect, told)),
    );
  }

  #answered(effect: Effect, isAcknowledged: boolean): void {
    const { random, timeline } = this.#world;
    timeline.after(isAcknowledged ? random.between(50, 400) : PATIENCE, () => {
      if (isAcknowledged) {
        effect.acknowledgedAt = this.#world.now;
        this.#world.checks.acknowledged(effect);
        this.#knows = [effect];
      }
      this.act();
    });
  }

  #whereToWrite(): SimulatedEngine {
    const { random, engines } = this.#world;
    for (;;) {
      const engine = random.pick(engines);
      if (engine.model !== 'observer') return engine;
    }
  }
}

/** They write while something is armed, fenced or just released; in between nothing they do could matter. */
export class Clients {
  readonly #world: World;
  readonly #clients: readonly Client[];

  constructor(world: World, count: number) {
    this.#world = world;
    this.#clients = Array.from({ length: count }, () => new Client(world));
  }

  wake(): void {
    for (const client of this.#clients) {
      if (!client.isIdle) continue;
      client.isIdle = false;
      this.#world.timeline.after(this.#world.random.between(0, 500), () => client.act());
    }
  }
}

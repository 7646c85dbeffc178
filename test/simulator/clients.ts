import type { Effect, SimulatedEngine } from './engine.ts';
import type { World } from './world.ts';

/** So long a client waits for an answer; then it goes on, not knowing. */
const PATIENCE = 30_000;

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
    const { random, timeline, engines } = this.#world;
    if (!this.#world.clientsAreWanted) {
      this.isIdle = true;
      return;
    }
    this.isIdle = false;
    if (random.chance(0.4)) {
      const seen = random.pick(engines).read();
      if (seen !== null && !this.#knows.includes(seen)) this.#knows = [...this.#knows, seen];
    }
    const engine = this.#whereToWrite();
    const effect: Effect = { member: engine.index, causes: this.#knows, place: null, acknowledgedAt: null };
    let isAnswered = false;
    timeline.after(random.between(50, 800), () =>
      engine.write(effect, (acknowledged) => {
        if (isAnswered || !acknowledged) return;
        isAnswered = true;
        timeline.after(random.between(50, 400), () => {
          effect.acknowledgedAt = this.#world.now;
          this.#knows = [effect];
          this.act();
        });
      }),
    );
    timeline.after(PATIENCE, () => {
      if (isAnswered) return;
      // Blocked by a fence is no reason to give up; an engine that is down or an answer that was lost is.
      if (engine.isFenced) return this.#waitFor(engine, () => isAnswered);
      isAnswered = true;
      this.act();
    });
  }

  #waitFor(engine: SimulatedEngine, isAnswered: () => boolean): void {
    this.#world.timeline.after(PATIENCE, () => {
      if (isAnswered()) return;
      if (engine.isFenced) this.#waitFor(engine, isAnswered);
      else this.act();
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

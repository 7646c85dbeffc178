import type { SimulatedAgent } from './agent.ts';
import type { SimulatedCoordinator } from './coordinator.ts';
import type { Process } from './process.ts';
import type { World } from './world.ts';

type Side = 'agent' | 'coordinator';

interface End {
  isOpen: boolean;
  /** Messages to this end stay where they are until it is repaired. */
  isHeld: boolean;
  held: (() => void)[];
  lastAt: number;
}

/** So long a connection may say nothing before the transport calls it dead. */
const PING_FROM = 500_000;
const PING_TO = 4_000_000;

/**
 * A stream between a coordinator and an agent. In order and at most once, unless the weather says otherwise;
 * late, held back by a partition in one direction or both, or dead without anybody being told.
 */
export class Connection {
  readonly agent: SimulatedAgent;
  readonly coordinator: SimulatedCoordinator;
  readonly #world: World;
  readonly #ends: Record<Side, End> = {
    agent: { isOpen: true, isHeld: false, held: [], lastAt: 0 },
    coordinator: { isOpen: true, isHeld: false, held: [], lastAt: 0 },
  };
  #vanishes = false;

  constructor(world: World, coordinator: SimulatedCoordinator, agent: SimulatedAgent) {
    this.#world = world;
    this.coordinator = coordinator;
    this.agent = agent;
    const blocked = world.blocked(agent);
    this.#ends.agent.isHeld = blocked === 'toAgent' || blocked === 'both';
    this.#ends.coordinator.isHeld = blocked === 'toCoordinator' || blocked === 'both';
    if (blocked !== null) this.#noticeLater();
  }

  get isUsed(): boolean {
    return this.#ends.agent.isOpen || this.#ends.coordinator.isOpen;
  }

  isOpenAt(side: Side): boolean {
    return this.#ends[side].isOpen;
  }

  /** A message of the protocol: the weather may repeat it or lose it. */
  send(to: Side, receive: () => void): void {
    const { weather, random } = this.#world;
    if (weather.loses && random.chance(0.1)) {
      // A transport that loses a message has lost the connection; it only takes a while to know.
      this.#world.timeline.after(random.between(PING_FROM, PING_TO), () => this.break());
      return;
    }
    this.sendSafely(to, receive);
    // The second one comes when it comes, after others that were sent later.
    if (weather.duplicates && random.chance(0.3) && !this.#vanishes && !this.#ends[to].isHeld)
      this.#arrive(to, random.between(50, 15_000), receive);
  }

  /** One that a connection either carries or breaks over. */
  sendSafely(to: Side, receive: () => void): void {
    if (!this.#ends[to === 'agent' ? 'coordinator' : 'agent'].isOpen || this.#vanishes) return;
    const end = this.#ends[to];
    if (end.isHeld) {
      end.held.push(receive);
      return;
    }
    const { random, weather, now } = this.#world;
    let at = now + random.between(50, weather.isSlow ? 300_000 : weather.reorders ? 8000 : 600);
    if (!weather.reorders) {
      at = Math.max(at, end.lastAt);
      end.lastAt = at;
    }
    this.#arrive(to, at - now, receive);
  }

  /** In both directions, noticed by each side in its own time. */
  break(): void {
    this.#vanishes = true;
    this.#close('agent', 0, 50_000);
    this.#close('coordinator', 0, 50_000);
  }

  /** Bytes vanish, and no side is told before its own ping was not answered. */
  vanish(): void {
    this.#vanishes = true;
    this.#noticeLater();
  }

  hold(direction: 'toAgent' | 'toCoordinator' | 'both'): void {
    if (direction !== 'toCoordinator') this.#ends.agent.isHeld = true;
    if (direction !== 'toAgent') this.#ends.coordinator.isHeld = true;
    this.#noticeLater();
  }

  /** What was held back arrives, in order. */
  repair(): void {
    for (const side of ['agent', 'coordinator'] as const) {
      const end = this.#ends[side];
      end.isHeld = false;
      for (const receive of end.held.splice(0)) this.#sendHeld(side, receive);
    }
  }

  #sendHeld(to: Side, receive: () => void): void {
    const end = this.#ends[to];
    const at = Math.max(this.#world.now + this.#world.random.between(50, 600), end.lastAt);
    end.lastAt = at;
    this.#arrive(to, at - this.#world.now, receive);
  }

  /** One side closes; the other hears of it after all that was sent before. */
  closeFrom(side: Side): void {
    const mine = this.#ends[side];
    if (!mine.isOpen) return;
    mine.isOpen = false;
    const other: Side = side === 'agent' ? 'coordinator' : 'agent';
    const closed = (): void => this.#closedAt(other);
    if (this.#vanishes) return;
    if (this.#ends[other].isHeld) this.#ends[other].held.push(closed);
    else
      this.#arrive(
        other,
        this.#world.random.between(100, 1000) + Math.max(0, this.#ends[other].lastAt - this.#world.now),
        closed,
      );
  }

  #arrive(to: Side, delay: number, receive: () => void): void {
    this.#process(to).after(delay, () => {
      if (this.#ends[to].isOpen) receive();
    });
  }

  #close(side: Side, from: number, until: number): void {
    this.#process(side).after(this.#world.random.between(from, until), () => this.#closedAt(side));
  }

  #closedAt(side: Side): void {
    const end = this.#ends[side];
    if (!end.isOpen) return;
    end.isOpen = false;
    if (side === 'agent') this.agent.streamClosed(this);
    else this.coordinator.connectionLost(this);
  }

  #noticeLater(): void {
    for (const side of ['agent', 'coordinator'] as const) {
      this.#process(side).after(this.#world.random.between(PING_FROM, PING_TO), () => {
        const { agent, coordinator } = this.#ends;
        // Also when the other side has given it up meanwhile.
        if (this.#vanishes || agent.isHeld || coordinator.isHeld || !agent.isOpen || !coordinator.isOpen)
          this.#closedAt(side);
      });
    }
  }

  #process(side: Side): Process {
    return side === 'agent' ? this.agent : this.coordinator;
  }
}

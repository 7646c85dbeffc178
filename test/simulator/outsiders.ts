import type { Viewer } from '../../shared/domain/viewing.ts';
import type { SimulatedServer } from './server.ts';
import type { Effect } from './written.ts';
import type { World } from './world.ts';

/**
 * Who gets a member's log and is no member.
 * `stranger` and `namesake`: standbys that clients read from; the second bears the name of an observer.
 * `blind`: a standby without reads, and with nobody behind it.
 * `consumer`: it reads decoded changes, and brings nothing back. `subscription`: a member's own; it does.
 */
export type OutsiderKind = 'stranger' | 'namesake' | 'blind' | 'consumer' | 'subscription';

interface Outsider {
  readonly kind: OutsiderKind;
  readonly source: SimulatedServer;
  /** Who applies what a subscription gets. */
  readonly target: SimulatedServer;
  readonly viewer: Viewer;
  readonly since: number;
  until: number;
  applied: number;
}

const APPLIES_EVERY = 300;

/** They come and go; each gets all that is in the log of its member, whether anybody may see it or not. */
export class Outsiders {
  readonly #world: World;
  readonly #all: Outsider[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  come(kind: OutsiderKind, member: number, forTime: number): void {
    const { engines, now, timeline } = this.#world;
    const source = engines[member];
    const observer = engines.find(({ kind: one }) => one === 'observer');
    const target = engines.find((engine) => engine !== source && engine.kind === 'fenced');
    if (source === undefined || source.model === 'instant') return;
    if (kind === 'namesake' && observer === undefined) return;
    if (kind === 'subscription' && (target === undefined || source.kind !== 'fenced')) return;
    if (kind === 'consumer' && source.kind !== 'fenced') return;
    const number = this.#all.length;
    const isLogical = kind === 'consumer' || kind === 'subscription';
    this.#all.push({
      kind,
      source,
      target: target ?? source,
      viewer: {
        kind: isLogical ? 'logical' : 'standby',
        key: kind === 'namesake' ? (observer?.streamKey ?? '') : `outsider ${number}`,
        isBlind: kind === 'blind',
        words: `outsider ${number}`,
      },
      since: now,
      until: now + forTime,
      applied: source.source.log.length,
    });
    if (kind === 'subscription') timeline.after(APPLIES_EVERY, () => this.#apply(number));
  }

  /** Whoever has streamed from this member at some moment since. */
  at(source: SimulatedServer, from: number): readonly Outsider[] {
    return this.#all.filter((one) => one.source === source && one.until > from);
  }

  /** What this member subscribes to. One that has gone is disabled, and still there. */
  subscriptionsOf(target: SimulatedServer): { name: string; key: string; publications: string[] }[] {
    return this.#all
      .filter((one) => one.kind === 'subscription' && one.target === target)
      .map(({ viewer: { key } }) => ({ name: key, key, publications: ['all'] }));
  }

  /** What clients can read from each: the newest of its member's log. */
  readers(): { read(): Effect | null }[] {
    return this.#present()
      .filter(({ kind }) => kind === 'stranger' || kind === 'namesake')
      .map(({ source }) => ({ read: () => source.source.log.at(-1) ?? null }));
  }

  /** They all go. */
  heal(): void {
    for (const one of this.#present()) one.until = this.#world.now;
  }

  #present(): Outsider[] {
    const { now } = this.#world;
    return this.#all.filter(({ until }) => until > now);
  }

  /** What is applied is there because of what was read, whether its publisher has shown it or not. */
  #apply(number: number): void {
    const one = this.#all[number];
    if (one === undefined || one.until <= this.#world.now) return;
    const cause = one.source.source.log[one.applied];
    if (cause !== undefined && one.target.isUp) {
      one.applied += 1;
      const effect: Effect = {
        member: one.target.index,
        causes: [cause],
        place: null,
        acknowledgedAt: null,
      };
      one.target.write(effect, () => undefined);
    }
    this.#world.timeline.after(APPLIES_EVERY, () => this.#apply(number));
  }
}

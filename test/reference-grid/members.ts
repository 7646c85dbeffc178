import type { Heartbeat, KeeperState } from './calls.ts';
import type { Joined, NodeHealth } from './keeper-rules.ts';

/** What a keeper knows of nodes and proxies, by their heartbeats. Time is passed in. */
export class Members {
  readonly #timeoutMs: number;
  readonly #graceMs: number;
  readonly #seen = new Map<string, { incarnation: string; at: number; known: string }>();
  readonly #joined = new Map<string, Joined>();
  readonly #beganAt: number;
  /** Since when nothing was missed for this keeper's own sake. */
  #listeningSince: number;
  #checkedAt: number;

  constructor(timeoutMs: number, graceMs: number, now: number) {
    this.#timeoutMs = timeoutMs;
    this.#graceMs = graceMs;
    this.#beganAt = now;
    this.#listeningSince = now;
    this.#checkedAt = now;
  }

  /** Answers whether it is news: something may be due. */
  hear({ name, incarnation, joined }: Heartbeat, now: number): boolean {
    const before = this.#seen.get(name);
    this.#seen.set(name, { incarnation, at: now, known: before?.known ?? incarnation });
    if (joined === undefined) return before?.incarnation !== incarnation;
    const said = this.#joined.get(joined.copyset);
    this.#joined.set(joined.copyset, joined);
    return said?.term !== joined.term || said.nodes.length !== joined.nodes.length;
  }

  /** To be called again and again: who was stopped itself does not take all others for dead. */
  check(now: number): void {
    if (now - this.#checkedAt > this.#timeoutMs / 2) this.#listeningSince = now;
    this.#checkedAt = now;
  }

  healthOf(name: string, now: number): NodeHealth {
    const seen = this.#seen.get(name);
    if (seen === undefined) return now - this.#beganAt > this.#graceMs ? 'down' : 'up';
    if (now - Math.max(seen.at, this.#listeningSince) > this.#timeoutMs) return 'down';
    return seen.incarnation === seen.known ? 'up' : 'restarted';
  }

  joinedOf(copyset: string): Joined | undefined {
    return this.#joined.get(copyset);
  }

  incarnations(): Map<string, string> {
    return new Map(this.#seen.entries().map(([name, { incarnation }]) => [name, incarnation]));
  }

  /** The restarts that led to these incarnations are in the state that is effective now. */
  settle(incarnations: ReadonlyMap<string, string>): void {
    for (const [name, seen] of this.#seen) seen.known = incarnations.get(name) ?? seen.known;
  }

  /** Nodes in sync that are not up. */
  lost(state: KeeperState, now: number): [copyset: string, node: string][] {
    return Object.entries(state.copysets).flatMap(([copyset, { inSync }]) =>
      inSync
        .filter((node) => this.healthOf(node, now) !== 'up')
        .map((node): [string, string] => [copyset, node]),
    );
  }
}

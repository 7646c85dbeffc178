import { join } from 'node:path';
import { bytesBelow } from '../shared/repository/size.ts';
import type { AgentMember } from './agent-member.ts';

/** Nobody needs to know sooner, and a look may start a program (systemctl). */
const LOOK_EVERY_MS = 10_000;
/** A member whose look takes longer is asked about further, and not waited for. */
const PATIENCE_MS = 2000;
/** What was seen before that is not said any more: a look that hangs must not pass for a member that runs. */
const GOOD_FOR_MS = 60_000;

interface Seen<T> {
  readonly value: T;
  readonly atMs: number;
}

/** What metrics tell that must be looked for. While a member may be held nothing is looked for: what was seen stands. */
export class LastLook {
  readonly #members: readonly AgentMember[];
  readonly #spool: string;
  readonly #mayHold: () => boolean;
  readonly #running = new Map<string, Seen<boolean | null>>();
  readonly #underWay = new Set<string>();
  #spoolBytes: Seen<number | null> | null = null;
  #lookedAt = -Infinity;

  constructor(input: {
    readonly members: ReadonlyMap<string, AgentMember>;
    readonly statePath: string;
    readonly mayHold: () => boolean;
  }) {
    this.#members = [...input.members.values()];
    this.#spool = join(input.statePath, 'spool');
    this.#mayHold = input.mayHold;
  }

  isRunning(member: string): boolean | null {
    return this.#current(this.#running.get(member) ?? null);
  }

  spoolBytes(): number | null {
    return this.#current(this.#spoolBytes);
  }

  /** Resolves when it is as new as it need be, within two seconds. Never rejects. */
  async refresh(): Promise<void> {
    if (this.#mayHold() || performance.now() - this.#lookedAt < LOOK_EVERY_MS) return;
    this.#lookedAt = performance.now();
    const looks = [
      this.#once('spool', async () => {
        this.#spoolBytes = seen(await bytesBelow(this.#spool).catch(() => null));
      }),
      ...this.#members.map(({ name, engine }) =>
        this.#once(`member ${name}`, async () => {
          this.#running.set(name, seen(await engine.isRunning().catch(() => null)));
        }),
      ),
    ];
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PATIENCE_MS);
    });
    await Promise.race([Promise.all(looks), patience]);
    clearTimeout(timer);
  }

  async #once(what: string, look: () => Promise<void>): Promise<void> {
    if (this.#underWay.has(what)) return;
    this.#underWay.add(what);
    await look();
    this.#underWay.delete(what);
  }

  #current<T>(last: Seen<T> | null): T | null {
    if (last === null) return null;
    return this.#mayHold() || performance.now() - last.atMs < GOOD_FOR_MS ? last.value : null;
  }
}

function seen<T>(value: T): Seen<T> {
  return { value, atMs: performance.now() };
}

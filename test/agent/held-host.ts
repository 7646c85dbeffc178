import type { CheckpointOperationContext } from '../../agent/checkpoint-operation.ts';
import type { Hold } from '../../agent/engines/engine.ts';
import type { GuardProcess } from '../../agent/guard/guard-process.ts';
import type { FromGuard, ToGuard } from '../../agent/guard/messages.ts';
import type { Surroundings } from '../../agent/surroundings.ts';
import type { MemberDescription } from '../../shared/domain/grid.ts';
import type { Token } from '../../shared/domain/token.ts';
import * as machine from '../../shared/protocol/member-machine.ts';
import type { Alarm, Clock } from '../../shared/runtime/clock.ts';
import { createLog } from '../../shared/runtime/log.ts';
import { describedMember } from '../coordinator/descriptions.ts';

export const silentLog = createLog({ name: 'test', level: 'silent' });
export const firstToken: Token = { epoch: 0, counter: 1, attempt: 1 };

/** Resolves when all that waits for no event has gone on. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Time that the test moves. */
export class HandClock implements Clock {
  #nowMs = 0;
  readonly #alarms = new Map<object, { atMs: number; ring: () => void }>();

  now(): number {
    return this.#nowMs;
  }

  alarm(ring: () => void): Alarm {
    const key = {};
    return {
      set: (atMs) => {
        if (atMs === null) this.#alarms.delete(key);
        else this.#alarms.set(key, { atMs, ring });
      },
    };
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.alarm(resolve).set(this.#nowMs + ms));
  }

  async pass(ms: number): Promise<void> {
    await settled();
    const until = this.#nowMs + ms;
    for (;;) {
      const due = [...this.#alarms].filter(([, { atMs }]) => atMs <= until);
      const [next] = due.toSorted(([, one], [, other]) => one.atMs - other.atMs);
      if (next === undefined) break;
      this.#alarms.delete(next[0]);
      this.#nowMs = Math.max(this.#nowMs, next[1].atMs);
      next[1].ring();
      await settled();
    }
    this.#nowMs = until;
  }
}

/** A guard's process that answers at once, and dies when the test says so. */
export class ToldGuard implements GuardProcess {
  readonly told: ToGuard['type'][] = [];
  readonly gone: Promise<void>;
  isLeft = false;
  die: () => void = () => undefined;
  readonly #heard: (message: FromGuard) => void;

  constructor(heard: (message: FromGuard) => void) {
    this.#heard = heard;
    this.gone = new Promise((resolve) => (this.die = resolve));
  }

  say(message: ToGuard): void {
    this.told.push(message.type);
    if (message.type === 'watch') this.#heard({ type: 'watching', member: message.member });
  }

  hangUp(): void {
    this.isLeft = true;
  }

  kill(): void {
    this.die();
  }
}

/** A host whose members note what is called, in its one list, and whose guards, disk and time are the test's. */
export class HeldHost {
  readonly calls: string[] = [];
  readonly guards: ToldGuard[] = [];
  readonly clock = new HandClock();
  /** What a member's release waits for. */
  releasing: Promise<void> = Promise.resolve();
  isRunning = true;
  readonly descriptions = new Map<string, MemberDescription>();
  readonly context: Omit<CheckpointOperationContext, 'ended'>;

  constructor(members: readonly string[]) {
    for (const name of members) this.descriptions.set(name, describedMember(name));
    this.context = {
      id: 'operation',
      leaseMs: 1000,
      surroundings: this.#surroundings(),
      members: new Map(members.map((name) => [name, { engine: this.engine(name) }])),
      descriptions: this.descriptions,
      state: {
        highestToken: () => null,
        recordToken: () => this.#note('token recorded'),
        makeSpool: () => Promise.resolve('spool'),
        dropSpool: () => Promise.resolve(),
        saveFreeze: ({ member }) => this.#note(`${member}: undo saved`),
        clearFreeze: (member) => this.#note(`${member}: undo cleared`),
      },
      storeOf: () => ({
        file: () => Promise.reject(new Error('nothing is stored')),
        directory: () => undefined,
        symlink: () => undefined,
        finish: () => Promise.resolve({ manifestDigest: 'd', sizeBytes: 1, storedBytes: 1 }),
      }),
      log: silentLog,
      undoKeeper: {
        undoOnce: () => Promise.resolve(null),
        keep: (member) => void this.calls.push(`${member}: undo kept`),
      },
      happenings: { membersReleased: () => undefined },
      freezeLedger: {
        refusal: () => null,
        charge: (leaseMs) => {
          this.calls.push(`charged ${leaseMs}`);
          return Promise.resolve({
            held: () => undefined,
            release: () => undefined,
            end: () => void this.calls.push('charge ended'),
          });
        },
      },
      maxLeaseMs: 5000,
      maxHoldMs: 3_600_000,
      keepFree: { journal: 0, state: 0, repository: 0 },
      hostRooms: [],
    };
  }

  engine(
    name: string,
  ): CheckpointOperationContext['members'] extends ReadonlyMap<string, infer Member>
    ? Member extends { readonly engine: infer Engine }
      ? Engine
      : never
    : never {
    return {
      begin: ({ saveUndo }) => ({ hold: this.#hold(name, saveUndo), copy: null, journal: null }),
      isRunning: () => Promise.resolve(this.isRunning),
      freeBytes: () => Promise.resolve(null),
    };
  }

  #surroundings(): Surroundings {
    return {
      clock: this.clock,
      time: () => new Date(),
      machine,
      priority: { raise: () => () => undefined, soon: (putBack) => putBack() },
      reach: () => Promise.resolve(),
      rested: () => void this.calls.push('rested'),
      startGuard: (_, heard) => {
        const guard = new ToldGuard(heard);
        this.guards.push(guard);
        return guard;
      },
    };
  }

  #hold(name: string, saveUndo: (undo: Record<string, unknown> | null) => Promise<void>): Hold {
    const incarnation = 'i';
    return {
      prepare: () => this.#note(`${name}: prepare`),
      arm: async () => {
        await saveUndo({ of: name });
        await this.#note(`${name}: arm`);
        return { incarnation };
      },
      disarm: () => this.#note(`${name}: disarm`),
      freeze: async () => {
        await this.#note(`${name}: freeze`);
        return { incarnation, mark: null, fencedAt: 0, markedAt: 0 };
      },
      thaw: async (_, released) => {
        await this.#note(`${name}: thaw`);
        await saveUndo(null);
        released();
        return { type: 'held', incarnation };
      },
      release: async () => {
        await this.#note(`${name}: release`);
        await this.releasing;
        await saveUndo(null);
      },
    };
  }

  #note(call: string): Promise<void> {
    this.calls.push(call);
    return Promise.resolve();
  }
}

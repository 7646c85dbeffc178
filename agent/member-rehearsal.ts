import type { FreezeKind } from '../shared/domain/grid.ts';
import type { MemberAnswer, MemberCommand } from '../shared/domain/messages.ts';
import { goOn } from '../shared/runtime/moments.ts';
import type { Hold } from './engines/engine.ts';
import { MemberRuntime } from './member-runtime.ts';
import type { MemberRuntimeContext } from './member-runtime-context.ts';
import type { Surroundings } from './surroundings.ts';

interface RehearsedMember {
  readonly member: string;
  readonly kind: FreezeKind;
  readonly surroundings: Pick<Surroundings, 'clock' | 'time' | 'machine'>;
  readonly leaseMs: number;
  /** Asks the member's own server what the real thing will ask it; it holds nobody. */
  rehearse(part: 'freeze' | 'thaw'): Promise<void>;
  send(answer: MemberAnswer): void;
}

const INCARNATION = 'rehearsed';
const DIGEST = '0'.repeat(64);
const SILENT: MemberRuntimeContext['log'] = { info() {}, warn() {}, error() {} };

/**
 * A stand-in of one member. Its runtime and its machine are of the code that will hold the member, so that this code has
 * run often when it counts; around them nothing is written, recorded, watched or held. Each prepare begins anew.
 */
export class MemberRehearsal {
  readonly #about: RehearsedMember;
  #runtime: MemberRuntime | null = null;

  constructor(about: RehearsedMember) {
    this.#about = about;
  }

  receive(command: MemberCommand): void {
    if (command.type === 'prepare') {
      this.end();
      // What an earlier one still has to say is of no interest.
      const runtime: MemberRuntime = new MemberRuntime(
        this.#context((answer) => {
          if (this.#runtime === runtime) this.#about.send(answer);
        }),
      );
      this.#runtime = runtime;
    }
    this.#runtime?.receive(command);
  }

  /** Nothing of it goes on, and nobody is answered any more. Idempotent. */
  end(): void {
    const runtime = this.#runtime;
    this.#runtime = null;
    runtime?.operationEnded();
  }

  #context(send: MemberRuntimeContext['send']): MemberRuntimeContext {
    const { member, kind, surroundings, leaseMs } = this.#about;
    const { clock, time, machine } = surroundings;
    const nothing = (): Promise<void> => Promise.resolve();
    return {
      machine,
      clock,
      time,
      priority: { raise: () => () => undefined, soon: (putBack) => putBack() },
      reach: (moment) => goOn(moment, member),
      member,
      kind,
      engine: {
        begin: () => ({ hold: this.#hold(), copy: null, journal: null }),
        isRunning: () => Promise.resolve(true),
      },
      operation: INCARNATION,
      state: { highestToken: () => null, makeSpool: () => Promise.resolve(''), dropSpool: nothing },
      store: {
        file: () => Promise.reject(new Error('a rehearsal stores nothing')),
        directory: () => undefined,
        symlink: () => undefined,
        finish: () => Promise.resolve({ manifestDigest: DIGEST, sizeBytes: 0, storedBytes: 0 }),
      },
      log: SILENT,
      operationSilenceMs: leaseMs,
      leaseMs,
      send,
      record: nothing,
      heldChanged: () => undefined,
      progress: () => undefined,
      lost: () => undefined,
      waitsFor: () => undefined,
      undoLeft: () => Promise.resolve(null),
      saveUndo: nothing,
    };
  }

  #hold(): Hold {
    const { kind, rehearse } = this.#about;
    const nothing = (): Promise<void> => Promise.resolve();
    const mark = { journalFile: INCARNATION, position: INCARNATION, name: INCARNATION };
    return {
      prepare: nothing,
      pause: nothing,
      arm: () => Promise.resolve({ incarnation: INCARNATION }),
      disarm: nothing,
      freeze: async () => {
        await rehearse('freeze').catch(() => undefined);
        const now = performance.now();
        const held = { incarnation: INCARNATION, fencedAt: now, markedAt: now };
        return { ...held, mark: kind === 'observer' ? null : mark };
      },
      thaw: async (_, released) => {
        await rehearse('thaw').catch(() => undefined);
        released();
        return { type: 'held', incarnation: INCARNATION };
      },
      release: nothing,
    };
  }
}

import type { FreezeKind } from '../../shared/domain/grid.ts';
import type { EngineCall, EngineResult } from '../../shared/protocol/member-machine.ts';
import type { Random } from './random.ts';
import type { Timeline } from './timeline.ts';

/** What really happened to a member, by a clock that the machines cannot see. */
export interface Attempted {
  readonly token: string;
  fencedAt: number | null;
  markedAt: number | null;
  openedAt: number | null;
  /** Something got past the fence, or the process was restarted: no cut can be made of it. */
  spoiled: boolean;
}

export interface EngineFaults {
  /** The engine answers `failed` to this call. */
  fails?: EngineCall['type'] | undefined;
  /** Something gets past the fence: the proof says so. */
  leaks?: boolean | undefined;
  /** The process is restarted after the arm: the fence is gone, and so is its incarnation. */
  restarts?: boolean | undefined;
  /** This call takes this long. */
  slow?: { call: EngineCall['type']; forMs: number } | undefined;
}

/**
 * An engine as the machines know it: it fences and marks, opens again, and tells the truth. Its fence is on a
 * server that outlives the agent: a killed agent leaves it closed until the guard opens it.
 */
export class ModelledEngine {
  readonly history: Attempted[] = [];
  readonly calls: string[] = [];
  readonly #timeline: Timeline;
  readonly #random: Random;
  readonly #kind: FreezeKind;
  faults: EngineFaults = {};
  #incarnation = 1;
  #generation = 0;

  constructor(timeline: Timeline, random: Random, kind: FreezeKind) {
    this.#timeline = timeline;
    this.#random = random;
    this.#kind = kind;
  }

  get isFrozen(): boolean {
    const last = this.history.at(-1);
    return last !== undefined && last.fencedAt !== null && last.openedAt === null;
  }

  get frozenSince(): number | null {
    return this.isFrozen ? (this.history.at(-1)?.fencedAt ?? null) : null;
  }

  /** The fence opens, whoever did it. */
  open(): void {
    const last = this.history.at(-1);
    if (last !== undefined) last.openedAt ??= this.#timeline.now;
  }

  /** The agent died: what it had asked for is answered to nobody, and does not go on. */
  abandon(): void {
    this.#generation += 1;
  }

  perform(action: EngineCall, answer: (result: EngineResult) => void): void {
    this.calls.push('token' in action ? `${action.type} ${action.token.attempt}` : action.type);
    if (action.type === 'abort') {
      this.#generation += 1;
      this.#later(action, () => {
        this.open();
        answer({ type: 'aborted', state: 'running' });
      });
      return;
    }
    if (this.faults.fails === action.type) {
      this.#later(action, () =>
        answer({
          type: 'failed',
          failure: { code: 'modelled', message: `${action.type} failed`, hint: 'none' },
        }),
      );
      return;
    }
    this.#act(action, answer);
  }

  #act(action: Exclude<EngineCall, { type: 'abort' }>, answer: (result: EngineResult) => void): void {
    switch (action.type) {
      case 'prepare':
        return this.#later(action, () => answer({ type: 'prepared' }));
      case 'arm':
        return this.#later(action, () => {
          answer({ type: 'armed', incarnation: String(this.#incarnation) });
        });
      case 'freeze':
        return this.#freeze(action, answer);
      case 'thaw':
        return this.#later(action, () => {
          const last = this.history.at(-1);
          if (last !== undefined && this.faults.leaks === true) last.spoiled = true;
          const held = last !== undefined && last.markedAt !== null && last.openedAt === null;
          this.open();
          answer({ type: 'released', thawMs: 1 });
          const incarnation = String(this.#incarnation);
          const cause = this.faults.leaks === true ? 'a commit got past the fence' : 'it was not held';
          answer({
            type: 'thawed',
            proof:
              held && this.faults.leaks !== true
                ? { type: 'held', incarnation }
                : { type: 'broken', incarnation, cause },
          });
        });
      case 'collect':
        return this.#later(action, () =>
          answer({ type: 'collected', manifestDigest: 'd', sizeBytes: 10, storedBytes: 5 }),
        );
    }
  }

  #freeze(action: Extract<EngineCall, { type: 'freeze' }>, answer: (result: EngineResult) => void): void {
    const attempted: Attempted = {
      token: `${action.token.counter}/${action.token.attempt}`,
      fencedAt: null,
      markedAt: null,
      openedAt: null,
      spoiled: false,
    };
    this.history.push(attempted);
    this.#later(action, () => {
      attempted.fencedAt = this.#timeline.now;
      this.#later({ type: 'collect', token: action.token }, () => {
        attempted.markedAt = this.#timeline.now;
        if (this.faults.restarts === true) {
          this.#incarnation += 1;
          attempted.spoiled = true;
        }
        const mark =
          this.#kind === 'observer' ? null : { journalFile: 'f', position: 'p', name: attempted.token };
        answer({ type: 'marked', incarnation: String(this.#incarnation), mark, fenceMs: 1, markMs: 1 });
      });
    });
  }

  #later(action: EngineCall, happen: () => void): void {
    const generation = this.#generation;
    const slow = this.faults.slow?.call === action.type ? this.faults.slow.forMs : 0;
    this.#timeline.after(slow + this.#random.between(0.1, 5), () => {
      if (generation === this.#generation) happen();
    });
  }
}

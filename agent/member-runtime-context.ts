import type { Failure } from '../shared/domain/errors.ts';
import type { FreezeKind } from '../shared/domain/grid.ts';
import type { MemberAnswer } from '../shared/domain/messages.ts';
import type { EngineStep } from '../shared/domain/trace.ts';
import type { Token } from '../shared/domain/token.ts';
import type * as memberMachine from '../shared/protocol/member-machine.ts';
import type { Clock } from '../shared/runtime/clock.ts';
import type { Logger } from '../shared/runtime/log.ts';
import type { MemberStore } from './collect.ts';
import type { Engine, Undo } from './engines/engine.ts';
import type { StateDirectory } from './state-directory.ts';

/** What the runtime needs of the rest of the agent, and of the world; the simulator hands in its own (test/simulator). */
export interface MemberRuntimeContext {
  readonly machine: Pick<
    typeof memberMachine,
    'initialMember' | 'stepMember' | 'nextMemberDeadline' | 'mayBeResumed'
  >;
  readonly clock: Clock;
  readonly priority: Priority;
  /** For people: no decision rests on it. */
  time(): Date;
  /** A moment by which tests may hold the agent. */
  reach(moment: string): Promise<void>;
  /** A step of its hold, for a trace; by the machine's clock where it was not now. */
  step?(step: EngineStep, atMs?: number): void;
  readonly member: string;
  readonly kind: FreezeKind;
  /** Without `messages` the agent's log has them. */
  readonly engine: Pick<Engine, 'begin' | 'isRunning'> & Partial<Pick<Engine, 'messages'>>;
  readonly operation: string;
  readonly state: Pick<StateDirectory, 'highestToken' | 'makeSpool' | 'dropSpool'>;
  readonly store: MemberStore;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly operationSilenceMs: number;
  /** Until a freeze is armed with one of its own. */
  readonly leaseMs: number;
  send(answer: MemberAnswer): void;
  /** The token is on disk, and the freeze that it is for charged, when it resolves. */
  record(token: Token, leaseMs: number): Promise<void>;
  /** `isFrozen` has changed. */
  heldChanged(): void;
  progress(bytesDone: number, bytesTotal: number): void;
  /** The capture cannot become a checkpoint any more: ends the operation on this host, with this cause. */
  lost(failure: Failure): void;
  /** What it waits for by now, in words. */
  waitsFor(cause: string): void;
  /** Undoes what an earlier stream of the operation left on this member; why it cannot be done yet, else null. */
  undoLeft(): Promise<Failure | null>;
  /** Freeze record and guard: durable and watched when it resolves. */
  saveUndo(undo: Undo | null, silenceMs: number): Promise<void>;
}

/** Of this process, while a member may be held. */
export interface Priority {
  /** What it gives puts that back. */
  raise(): () => void;
  /** Puts it back when what was just answered is on its way. */
  soon(putBack: () => void): void;
}

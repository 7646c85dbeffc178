import * as memberMachine from '../shared/protocol/member-machine.ts';
import { computerClock, type Clock } from '../shared/runtime/clock.ts';
import { reach } from '../shared/runtime/hooks.ts';
import { raisePriority } from '../shared/runtime/priority.ts';
import { guardStarter, type StartGuard } from './guard/guard-process.ts';
import type { MemberRuntimeContext, Priority } from './member-runtime.ts';

/** What a checkpoint needs of the process and the machine that it runs on; the simulator hands in its own (test/simulator). */
export interface Surroundings {
  readonly clock: Clock;
  readonly machine: MemberRuntimeContext['machine'];
  readonly priority: Priority;
  /** A moment by which tests may hold the agent. */
  reached(moment: string, member: string): Promise<void>;
  readonly startGuard: StartGuard;
}

/** Of an agent with this file. */
export function ofThisProcess(configuration: string): Surroundings {
  return {
    clock: computerClock,
    machine: memberMachine,
    priority: {
      raise: raisePriority,
      // What was just answered is written in the next turn of the loop.
      soon: (putBack) => void setImmediate(() => setImmediate(putBack)),
    },
    reached: reach,
    startGuard: guardStarter(configuration),
  };
}

import * as memberMachine from '../shared/protocol/member-machine.ts';
import { computerClock, type Clock } from '../shared/runtime/clock.ts';
import type { Reach } from '../shared/runtime/moments.ts';
import { raisePriority } from '../shared/runtime/priority.ts';
import { guardStarter, type StartGuard } from './guard/guard-process.ts';
import type { MemberRuntimeContext, Priority } from './member-runtime.ts';

/** What a checkpoint needs of the process and the machine that it runs on; the simulator hands in its own (test/simulator). */
export interface Surroundings {
  readonly clock: Clock;
  readonly machine: MemberRuntimeContext['machine'];
  readonly priority: Priority;
  readonly reach: Reach;
  readonly startGuard: StartGuard;
}

/** Of an agent with this file. */
export function ofThisProcess(configuration: string, reach: Reach): Surroundings {
  return {
    clock: computerClock,
    machine: memberMachine,
    priority: {
      raise: raisePriority,
      // What was just answered is written in the next turn of the loop.
      soon: (putBack) => void setImmediate(() => setImmediate(putBack)),
    },
    reach,
    startGuard: guardStarter(configuration),
  };
}

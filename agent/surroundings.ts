import * as memberMachine from '../shared/protocol/member-machine.ts';
import { computerClock, type Clock } from '../shared/runtime/clock.ts';
import { giveMemoryBack } from '../shared/runtime/memory.ts';
import type { Reach } from '../shared/runtime/moments.ts';
import { raisePriority } from '../shared/runtime/priority.ts';
import { guardStarter, type StartGuard } from './guard/guard-process.ts';
import type { MemberRuntimeContext, Priority } from './member-runtime-context.ts';

/** What a checkpoint needs of the process and the machine that it runs on; the simulator hands in its own (test/simulator). */
export interface Surroundings {
  readonly clock: Clock;
  /** For people: no decision rests on it. */
  readonly time: () => Date;
  readonly machine: MemberRuntimeContext['machine'];
  readonly priority: Priority;
  readonly reach: Reach;
  readonly startGuard: StartGuard;
  /** Called when nobody has spoken to the agent for a while and no member is held. */
  rested(): void;
}

/** Of an agent with this file. */
export function ofThisProcess(configuration: string, reach: Reach): Surroundings {
  return {
    clock: computerClock,
    time: () => new Date(),
    machine: memberMachine,
    priority: {
      raise: raisePriority,
      // What was just answered is written in the next turn of the loop.
      soon: (putBack) => void setImmediate(() => setImmediate(putBack)),
    },
    reach,
    startGuard: guardStarter(configuration),
    // What a checkpoint took would else be kept until the next one.
    rested: giveMemoryBack,
  };
}

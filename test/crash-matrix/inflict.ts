import { guardOf } from '../lab/guards.ts';
import { until, type RunningCommand } from '../lab/processes.ts';
import type { Cell } from './cells.ts';
import { LEASE_SECONDS, type Subject } from './subject.ts';

/** How long a stopped process is stopped: longer than the lease, so that others have given it up. */
const STOPPED_MS = LEASE_SECONDS * 1000 + 1000;

/** A fault that was done, and what is to be done about it. */
export interface Inflicted {
  /** Whether the engine takes writes while the fault lasts. */
  readonly engineRuns: boolean;
  /** Lets what was stopped go on, and starts an agent that was killed: the coordinator waits for it. */
  letGoOn(): Promise<void>;
  /** When the checkpoint has ended: starts what was killed. */
  putRight(): Promise<void>;
}

const nothing = (): Promise<void> => Promise.resolve();

/** Does the fault of the cell, and resolves when it is done: the process is gone, or stopped. */
export async function inflict(cell: Cell, subject: Subject, command: RunningCommand): Promise<Inflicted> {
  const { fault } = cell;
  const { grid, engine } = subject;
  if (cell.process === 'engine') {
    await engine[fault]();
    return {
      engineRuns: false,
      letGoOn: fault === 'kill' ? nothing : afterTheLease(() => engine.goOn()),
      putRight: () => engine.start(),
    };
  }
  if (cell.process === 'agent' && fault === 'kill') {
    await grid.killAgent(0);
    return { engineRuns: true, letGoOn: () => grid.startAgent(0).then(() => undefined), putRight: nothing };
  }
  const pid = pidOf(cell.process, subject, command);
  process.kill(pid, fault === 'kill' ? 'SIGKILL' : 'SIGSTOP');
  const letGoOn =
    fault === 'kill' ? nothing : afterTheLease(() => Promise.resolve(goOn(pid, cell.process === 'guard')));
  return { engineRuns: true, letGoOn, putRight: nothing };
}

/** An agent ends a guard that does not answer, and then there is nobody who could go on. */
function goOn(pid: number, mayBeGone: boolean): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch (error) {
    if (!mayBeGone || (error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function pidOf(which: 'coordinator' | 'agent' | 'guard', { grid }: Subject, command: RunningCommand): number {
  if (which === 'coordinator') return command.pid;
  const pid = which === 'agent' ? grid.agents[0]?.pid : guardOf(grid.hosts[0]?.configuration ?? '');
  if (pid === undefined) throw new Error('the first host has no agent');
  return pid;
}

/** Counted from now. Time itself is what is waited for: a lease is nothing else. */
function afterTheLease(work: () => Promise<void>): () => Promise<void> {
  const from = performance.now();
  return async () => {
    await until('the lease to pass', () => performance.now() - from > STOPPED_MS);
    await work();
  };
}

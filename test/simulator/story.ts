import type { TraceLine } from './event-log.ts';
import type { HoldScenario } from './hold-scenario.ts';
import type { Machines } from './machines.ts';
import { PROMISES } from './promises.ts';
import { simulate } from './run.ts';
import type { Fault, Scenario } from './scenario.ts';
import { shrink } from './shrink.ts';
import type { StorageScenario } from './storage-scenario.ts';

const LAST_EVENTS = 12;

/** A failure as a person wants to read it: what broke, the shortest way to it, and how each process got there. */
export async function tellFailure(scenario: Scenario, machines: Machines): Promise<string> {
  const { scenario: shortest, run, runs } = await shrink(scenario, machines);
  const { trace } = await simulate(shortest, { machines, isTraced: true });
  const { failure } = run;
  if (failure === null) return `seed ${scenario.seed}: nothing is wrong`;
  return [
    `seed ${scenario.seed}: ${PROMISES[failure.promise]} (${failure.promise})`,
    `  ${failure.message}`,
    `shortest schedule (${faultsOf(scenario)} faults shrunk to ${faultsOf(shortest)} in ${runs} runs):`,
    ...tellScenario(shortest).map((line) => `  ${line}`),
    'the last events of each process:',
    ...lastOfEach(trace).map(tellLine),
  ].join('\n');
}

/** The whole run of a scenario. */
export async function tellRun(scenario: Scenario, machines: Machines): Promise<string> {
  const { trace, failure, hash, endings } = await simulate(scenario, { machines, isTraced: true });
  const end = failure === null ? 'every promise was kept' : `${failure.promise}: ${failure.message}`;
  return [
    `seed ${scenario.seed}`,
    ...tellScenario(scenario).map((line) => `  ${line}`),
    ...trace.map(tellLine),
    `ended: ${endings.join(', ')}; ${end}; hash ${hash}`,
  ].join('\n');
}

function tellScenario({ models, clients, isPatient, faults, storage, hold }: Scenario): string[] {
  const members = models.map((model, index) => `${index} ${model}`).join(', ');
  return [
    `members: ${members}; clients: ${clients}; ${isPatient ? 'no deadline' : 'deadlines'} for prepare and collect`,
    ...(hold === undefined ? [] : tellHold(hold)),
    ...faults.map(tellFault),
    ...(storage === null ? [] : tellStorage(storage)),
  ];
}

function faultsOf({ faults, storage }: Scenario): number {
  return faults.length + (storage?.faults.length ?? 0);
}

function tellStorage({ earlier, isAbandoned, operators, faults }: StorageScenario): string[] {
  return [
    `the real repository, with ${earlier} checkpoints${isAbandoned ? ' and one that was abandoned' : ''}`,
    ...operators.map(({ kind, at }) => `after ${(at / 1000).toFixed(1)} ms: an operator, to ${kind}`),
    ...faults.map(({ call, name, by, kind, forTime }) => {
      const when = `from call ${call} on, at the first ${name ?? 'call'} of any ${by ?? 'process'}`;
      return `${when}: ${kind}, ${(forTime / 1000).toFixed(1)} ms`;
    }),
  ];
}

function tellHold({ purpose, worksFor, others, backups, room }: HoldScenario): string[] {
  return [
    `a job comes for a ${purpose.type}, works for ${(worksFor / 1000).toFixed(1)} ms when it has the grid; then others, for ${others.map(({ type }) => type).join(', ')}`,
    ...(room === null ? [] : [`while files are not written, ${room} updates have room in memory`]),
    ...backups.map(
      ({ member, at, isWhileHeld, takes }) =>
        `${(at / 1000).toFixed(1)} ms after ${isWhileHeld ? 'a job has the grid' : 'the beginning'}: somebody copies member ${member}, ${(takes / 1000).toFixed(1)} ms`,
    ),
  ];
}

function tellFault(fault: Fault): string {
  const { step, heldFor, kind, member, forTime } = fault;
  const when =
    heldFor === undefined
      ? `after step ${Math.ceil(step)}`
      : `${(heldFor / 1000).toFixed(1)} ms after a job has the grid`;
  const more = 'call' in fault ? ` ${fault.call}` : 'direction' in fault ? ` ${fault.direction}` : '';
  return `${when}: ${kind}${more}, member ${member}, ${(forTime / 1000).toFixed(1)} ms`;
}

function lastOfEach(trace: readonly TraceLine[]): TraceLine[] {
  const left = new Map<string, number>();
  return trace
    .toReversed()
    .filter(({ process, text }) => {
      // A word that changes nothing, every quarter of a lease.
      if (text.startsWith('messageReceived')) return false;
      const count = (left.get(process) ?? 0) + 1;
      left.set(process, count);
      return count <= LAST_EVENTS;
    })
    .toReversed();
}

function tellLine({ at, process, text }: TraceLine): string {
  return `${(at / 1000).toFixed(2).padStart(10)} ms  ${process.padEnd(14)} ${text}`;
}

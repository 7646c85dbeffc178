import { expect } from 'chai';
import { EXIT } from '../../shared/domain/errors.ts';
import { CausalClients, type Write } from '../lab/causal-clients.ts';
import { guardsOf } from '../lab/guards.ts';
import { until, type Finished, type RunningCommand } from '../lab/processes.ts';
import { isCoordinators, type Cell, type CrashEvent } from './cells.ts';
import { expectTruth, expectWhole, listed, type Ending } from './ending.ts';
import { inflict } from './inflict.ts';
import { HELD_AT_MOST_MS, TRIES, type Subject } from './subject.ts';

const CREATE = ['checkpoint', 'create', 'faulted', '--output', 'json', '--quiet'];
const CLIENTS = 2;
/** They need not be fast; what they leave of the machine is the agents'. */
const CLIENT_PAUSE_MS = 5;
/** So that a cell does not begin before there is something to lose. */
const WRITES_BEFORE = 20;
/** Generous: nothing takes so long but a command that hangs. */
const ENDS_WITHIN_MS = 90_000;
const MOST_KEPT = 8;
const GUARDS_END_WITHIN_MS = 10_000;

/** What clients did to one grid in all its cells: what a restore is held against. */
export interface History {
  readonly writes: Write[];
  clients: number;
  /** The last valid checkpoint, and when its command began, by performance.now(). */
  last: { readonly checkpoint: string; readonly beganAt: number } | null;
}

/**
 * One cell on a grid that is well: clients write, a checkpoint comes to the event, the fault is done, everything goes
 * on; then all promises are asked of the real things. Rejects with the first that is not kept; then the grid is not
 * fit for another cell.
 */
export async function runCell(cell: Cell, subject: Subject, history: History): Promise<Ending> {
  const { grid, hooks } = subject;
  const before = new Set((await listed(grid)).map(({ checkpoint }) => checkpoint));
  const finished = await whileClientsWrite(subject, history, () => checkpointWithFault(cell, subject));
  const ending = await expectTruth(cell, grid, finished, before);
  hooks.reset();
  await subject.expectUntouched();
  await expectProcesses(subject);
  await whileClientsWrite(subject, history, async () => {
    const beganAt = performance.now();
    const checkpoint = await subject.expectNextCheckpoint();
    history.last = { checkpoint, beganAt };
    await expectWhole(grid, checkpoint);
  });
  for (const { checkpoint, state } of await listed(grid)) expect(state, checkpoint).to.equal('valid');
  if (before.size > MOST_KEPT) await prune(subject);
  return ending;
}

/** Else each cell would be slower than the one before it. */
async function prune({ grid }: Subject): Promise<void> {
  const { code, stderr } = await grid.run(['checkpoint', 'prune', '--keep', '1', '--yes', '--quiet']);
  expect(code, stderr).to.equal(0);
}

/** Resolves with how the command ended, when everything runs again. */
async function checkpointWithFault(cell: Cell, subject: Subject): Promise<Finished> {
  const { hooks, member } = subject;
  const who = isCoordinators(cell.event) ? 'coordinator' : member;
  const command = await heldAt(cell.event, who, subject);
  try {
    const fault = await inflict(cell, subject, command);
    hooks.release(cell.event, who);
    // While the fault lasts: what is stopped has not gone on, and of a killed agent only its guard is left.
    await subject.expectWrites(fault.engineRuns, HELD_AT_MOST_MS);
    await fault.letGoOn();
    const finished = await ended(command);
    await fault.putRight();
    return finished;
  } catch (error) {
    command.signal('SIGKILL');
    throw error;
  }
}

/**
 * A checkpoint that has come to the moment and waits there. On a loaded machine one may abort by itself before: an arm
 * outlives its lease, a ping is not answered. Nothing was done to it then, and another is begun, so often and no more.
 */
async function heldAt(event: CrashEvent, who: string, { grid, hooks }: Subject): Promise<RunningCommand> {
  for (let tries = 1; ; tries += 1) {
    hooks.reset();
    hooks.hold(event, who);
    const command = grid.begin(CREATE);
    try {
      await hooks.reachedBy(command, event, who, ENDS_WITHIN_MS);
      return command;
    } catch (error) {
      command.signal('SIGKILL');
      const { code } = await command.finished;
      if (code !== EXIT.aborted || tries === TRIES) throw error;
    }
  }
}

async function ended(command: RunningCommand): Promise<Finished> {
  let finished: Finished | null = null;
  void command.finished.then((one) => (finished = one));
  await until('the command to end', () => finished !== null, ENDS_WITHIN_MS).catch((error: unknown) => {
    throw new Error(`it does not end; so far it said: ${command.stderr()}`, { cause: error });
  });
  return command.finished;
}

/** Each time with clients of their own: the connections of others may have gone with a server. */
async function whileClientsWrite<T>(
  { shards }: Subject,
  history: History,
  work: () => Promise<T>,
): Promise<T> {
  const clients = await CausalClients.start(shards, CLIENTS, {
    first: history.clients,
    pauseMs: CLIENT_PAUSE_MS,
  });
  history.clients += CLIENTS;
  let result: T;
  try {
    await until('clients to write', () => clients.writes.length > WRITES_BEFORE);
    result = await work();
  } catch (error) {
    // Where something is still frozen they end with their server; nobody waits for that.
    void clients.stop();
    throw error;
  }
  await clients.stop();
  history.writes.push(...clients.writes);
  return result;
}

/** The agents live, and their guards have ended with the operation. */
async function expectProcesses({ grid }: Subject): Promise<void> {
  for (const [index, { address, configuration }] of grid.hosts.entries()) {
    const { pid } = grid.agents[index] ?? {};
    expect(pid !== undefined && isAlive(pid), `the agent of ${address} lives`).to.equal(true);
    await until(
      `the guard of ${address} to end`,
      () => guardsOf(configuration).length === 0,
      GUARDS_END_WITHIN_MS,
    );
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

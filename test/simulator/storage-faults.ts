import { SimulatedAgent } from './agent.ts';
import { SimulatedCoordinator } from './coordinator.ts';
import type { Process } from './process.ts';
import { Operator } from './operator.ts';
import type { Storage } from './storage.ts';
import type { StorageFault } from './storage-scenario.ts';
import type { World } from './world.ts';

/** Longer than the marker of an operation is believed when it says nothing: ten minutes. */
const LONG_MS = 11 * 60_000;
const MOST_ERRORS = 30;
/** More than two leases. */
const TAKEN_OVER = 2_400_000;

/** Whether the fault strikes at this call. */
export function isMeant(fault: StorageFault, number: number, called: string, caller: Process): boolean {
  const { call, name, by } = fault;
  if (number < call || (name !== null && name !== called)) return false;
  if (by === 'committer')
    return caller instanceof SimulatedCoordinator && number >= caller.commitsFrom + call;
  return by === null || caller.name.startsWith(by);
}

/** Something goes wrong with the disk, or with the process that has just made a call. */
export function strikeStorage(world: World, storage: Storage, fault: StorageFault, caller: Process): void {
  const { kernel, ledger } = storage;
  const { kind, forTime } = fault;
  world.note('fault', 63, fault.call, () => `${kind}, ${caller.name}`);
  const until = (end: () => void): void => world.timeline.after(forTime, end);
  switch (kind) {
    case 'killCaller':
      return killProcess(world, caller, forTime, false);
    case 'stopCaller': {
      if (!(caller instanceof SimulatedCoordinator)) return stop(world, caller, forTime);
      // Long enough for another to take the grid over.
      stop(world, caller, TAKEN_OVER + forTime);
      return world.startCoordinator(TAKEN_OVER * (2 / 3));
    }
    case 'stopCallerForLong':
      stop(world, caller, forTime);
      kernel.setClocksAhead(LONG_MS);
      // Now somebody takes it for dead.
      return storage.startOperator('collect');
    case 'interruptCaller':
      if (caller instanceof SimulatedCoordinator || caller instanceof Operator) caller.cancel();
      return;
    case 'powerCut':
      kernel.cutPower();
      for (const process of world.processes()) killProcess(world, process, forTime, true);
      return;
    case 'diskFull':
      kernel.faults.isFull = true;
      return until(() => (kernel.faults.isFull = false));
    case 'diskReadOnly':
      kernel.faults.isReadOnly = true;
      return until(() => (kernel.faults.isReadOnly = false));
    case 'diskErrors':
      kernel.faults.errors = 1 + world.random.below(MOST_ERRORS);
      return until(() => (kernel.faults.errors = 0));
    case 'oneDiskError':
      kernel.failNext();
      return;
    case 'slowDisk':
      kernel.faults.isSlow = true;
      return until(() => (kernel.faults.isSlow = false));
    case 'bitRot': {
      const files = kernel.disk.files().filter(([path, file]) => path.includes('/grids/') && canRot(file));
      if (files.length === 0) return;
      const [path, file] = world.random.pick(files);
      world.note('fault', 64, file.ino, () => `a bit of ${path} is another one`);
      ledger.rot(file, world.random);
      return;
    }
    case 'clocksGoAhead':
      kernel.setClocksAhead(LONG_MS);
      return;
  }
}

/** What has been there for a while: no link of repository.json, and nothing that is being written. */
function canRot({
  links,
  content,
  writes,
}: {
  links: number;
  content: Uint8Array;
  writes: unknown[];
}): boolean {
  return links === 1 && content.byteLength > 0 && writes.length === 0;
}

function stop(world: World, process: Process, forTime: number): void {
  if (!process.isAlive || process.isPaused) return;
  if (process instanceof SimulatedAgent) world.checks.excuse(process.index);
  process.pause();
  world.timeline.after(forTime, () => process.isPaused && process.resume());
}

function killProcess(world: World, process: Process, forTime: number, isSilent: boolean): void {
  if (!process.isAlive) return;
  if (process instanceof SimulatedAgent) {
    world.checks.excuse(process.index);
    if (isSilent) process.guardLives = false;
    for (const connection of world.connectionsOf(process)) {
      if (isSilent) connection.vanish();
      else connection.closeFrom('agent');
    }
    process.kill();
    world.timeline.after(forTime, () => process.start());
  } else if (process instanceof SimulatedCoordinator) {
    if (process.hasExited) return;
    process.die(isSilent);
    world.startCoordinator(forTime);
  } else process.kill();
}

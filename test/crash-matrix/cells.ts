import { Random } from '../simulator/random.ts';

/**
 * What the matrix is made of: at which moment of a checkpoint, to which process, what happens. Events are the moments
 * of shared/runtime/hooks.ts on the way of a checkpoint, in the order of the protocol.
 */
export const EVENTS = [
  'accepted',
  'prepared',
  'armed',
  'fenced',
  'marked',
  'thawing',
  'released',
  'collected',
  'committing',
  'committed',
  'settling',
] as const;
export const PROCESSES = ['coordinator', 'agent', 'guard', 'engine'] as const;
/** `stop`: SIGSTOP, and SIGCONT when the lease has passed. */
export const FAULTS = ['kill', 'stop'] as const;
export const GRIDS = ['postgres', 'reference'] as const;

export type CrashEvent = (typeof EVENTS)[number];
type CrashProcess = (typeof PROCESSES)[number];
type Fault = (typeof FAULTS)[number];
export type GridKind = (typeof GRIDS)[number];

export interface Cell {
  readonly grid: GridKind;
  readonly event: CrashEvent;
  readonly process: CrashProcess;
  readonly fault: Fault;
}

/** Of each kind those that are wanted; all where none is named. */
export interface CellFilter {
  readonly grid?: readonly GridKind[];
  readonly event?: readonly CrashEvent[];
  readonly process?: readonly CrashProcess[];
  readonly fault?: readonly Fault[];
}

/** Every combination, also those that make no sense. */
export function allCells(filter: CellFilter = {}): Cell[] {
  const { grid = [], event = [], process = [], fault = [] } = filter;
  const isWanted = <T>(wanted: readonly T[], one: T): boolean => wanted.length === 0 || wanted.includes(one);
  const all = GRIDS.flatMap((g) =>
    EVENTS.flatMap((e) =>
      PROCESSES.flatMap((p) => FAULTS.map((f): Cell => ({ grid: g, event: e, process: p, fault: f }))),
    ),
  );
  return all.filter(
    (cell) =>
      isWanted(grid, cell.grid) &&
      isWanted(event, cell.event) &&
      isWanted(process, cell.process) &&
      isWanted(fault, cell.fault),
  );
}

/** Why a cell cannot be tried; null where it can. */
export function whyNot({ event, process }: Cell): string | null {
  if (event === 'accepted' && process === 'guard')
    return 'an agent starts its guard with the first command to a member: when a checkpoint is accepted there is none';
  return null;
}

/** So many of those that can be tried; the same for the same seed. */
export function sampleOf(cells: readonly Cell[], count: number, seed: number): Cell[] {
  const random = new Random(seed);
  const left = cells.filter((cell) => whyNot(cell) === null);
  const drawn = new Set<Cell>();
  while (drawn.size < Math.min(count, left.length)) drawn.add(random.pick(left));
  return left.filter((cell) => drawn.has(cell));
}

/** Who comes to the moment: the coordinator, or a member on the first host. */
export function isCoordinators(event: CrashEvent): boolean {
  return event === 'accepted' || event === 'committing' || event === 'committed';
}

/** Whether the commit object is durable when the moment is reached. */
export function isCommittedAt(event: CrashEvent): boolean {
  return event === 'committed' || event === 'settling';
}

/**
 * Whether the checkpoint must not be committed: something that its cut or its artifacts need was killed before the
 * member had stored everything. What was only stopped may be caught up with, by a new attempt or in time.
 */
export function mustNotCommit({ event, process, fault }: Cell): boolean {
  return fault === 'kill' && process !== 'coordinator' && EVENTS.indexOf(event) < EVENTS.indexOf('collected');
}

/**
 * Whether the first attempt must not be what is committed: the one who holds its freeze, or keeps it alive, was silent
 * for longer than the lease between fence and thaw.
 */
export function needsNewAttempt({ event, process, fault }: Cell): boolean {
  if (fault !== 'stop' || (process !== 'coordinator' && process !== 'agent')) return false;
  // At `thawing` every member has its order to thaw, and holds until it does: a coordinator is not needed for that.
  return event === 'fenced' || event === 'marked' || (event === 'thawing' && process === 'agent');
}

/** How to see one cell again. */
export function commandOf({ grid, event, process, fault }: Cell): string {
  return `./scripts/crash-matrix --grid ${grid} --event ${event} --process ${process} --fault ${fault}`;
}

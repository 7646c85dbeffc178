/**
 * What the soak may do to a grid, as data: at which moments, to whom, for how long, and what may come of it.
 * Moments are those of shared/runtime/hooks.ts; 'before' is before the checkpoint begins, with nothing frozen.
 */
export type Moment =
  'before' | 'prepared' | 'armed' | 'marked' | 'thawing' | 'released' | 'collected' | 'committing';

/** How a checkpoint may end: its exit code in a word; `killed` has none. */
export type Ending = 'committed' | 'refused' | 'aborted' | 'maybeFrozen' | 'invalid' | 'killed';

export type FaultName =
  | 'agent killed'
  | 'agent killed and started'
  | 'agent stopped'
  | 'guard killed'
  | 'coordinator killed'
  | 'coordinator interrupted'
  | 'server killed'
  | 'standby killed'
  | 'server killed and started'
  | 'wait of a commit cancelled'
  | 'asynchronous commits'
  | 'network silent both ways'
  | 'network silent towards the agent'
  | 'connections broken';

export interface FaultKind {
  readonly name: FaultName;
  readonly moments: readonly Moment[];
  /** `mortal`: members whose agent may be killed. */
  readonly victims: 'any' | 'mortal' | 'primary' | 'standby';
  /** From and to, in ms. */
  readonly lastsMs?: readonly [number, number];
  readonly endings: readonly Ending[];
  /** Its clients wait until the server is started again. */
  readonly stopsServer?: true;
  /** From the fault until every server commits again, at most. */
  readonly thawLimitMs: number;
}

/** The default of a grid file. */
export const LEASE_MS = 10_000;
/** Some faults are over before the lease, some last longer than it and its guard's second. */
const FOR_A_WHILE_MS = [100, 1.5 * LEASE_MS] as const;
const A_RESTART_MS = [100, 4000] as const;
/** A second for the guard, the rest for a busy machine. */
const AT_ONCE_MS = 4000;
/** The guard allows an agent a second more than the lease. */
const AFTER_LEASE_MS = LEASE_MS + 1000 + AT_ONCE_MS;

const IN_THE_PROTOCOL: readonly Moment[] = ['prepared', 'armed', 'marked', 'released', 'collected'];
const WITHOUT_WORD: readonly Ending[] = ['committed', 'aborted', 'invalid'];

export const FAULT_KINDS: readonly FaultKind[] = [
  {
    name: 'agent killed',
    moments: ['prepared', 'armed', 'marked', 'thawing', 'released', 'collected'],
    victims: 'mortal',
    endings: ['aborted'],
    thawLimitMs: AT_ONCE_MS,
  },
  {
    name: 'agent killed and started',
    moments: ['before'],
    victims: 'mortal',
    endings: ['committed'],
    thawLimitMs: AT_ONCE_MS,
  },
  {
    name: 'guard killed',
    moments: ['prepared', 'marked', 'collected'],
    victims: 'any',
    endings: ['aborted'],
    thawLimitMs: AT_ONCE_MS,
  },
  {
    name: 'agent stopped',
    moments: IN_THE_PROTOCOL,
    victims: 'any',
    lastsMs: FOR_A_WHILE_MS,
    endings: WITHOUT_WORD,
    thawLimitMs: AFTER_LEASE_MS,
  },
  {
    name: 'coordinator killed',
    moments: [...IN_THE_PROTOCOL, 'committing'],
    victims: 'any',
    endings: ['killed'],
    thawLimitMs: AT_ONCE_MS,
  },
  {
    name: 'coordinator interrupted',
    moments: IN_THE_PROTOCOL,
    victims: 'any',
    endings: ['aborted'],
    thawLimitMs: AT_ONCE_MS,
  },
  {
    name: 'server killed',
    moments: ['prepared', 'armed', 'marked', 'released'],
    victims: 'primary',
    lastsMs: A_RESTART_MS,
    endings: ['aborted', 'invalid'],
    stopsServer: true,
    thawLimitMs: AT_ONCE_MS,
  },
  {
    // Released, it has proven what it is there to prove, and nothing is collected from it.
    name: 'standby killed',
    moments: ['prepared', 'armed', 'marked', 'released'],
    victims: 'standby',
    lastsMs: A_RESTART_MS,
    endings: ['committed', 'aborted', 'invalid'],
    thawLimitMs: AT_ONCE_MS,
  },
  {
    name: 'server killed and started',
    moments: ['before'],
    victims: 'any',
    endings: ['committed'],
    stopsServer: true,
    thawLimitMs: AT_ONCE_MS,
  },
  {
    name: 'wait of a commit cancelled',
    moments: ['marked'],
    victims: 'primary',
    endings: ['committed'],
    thawLimitMs: AT_ONCE_MS,
  },
  {
    // The first attempt is spoiled for sure, the next two most likely.
    name: 'asynchronous commits',
    moments: ['marked'],
    victims: 'primary',
    endings: ['committed', 'invalid'],
    thawLimitMs: AT_ONCE_MS,
  },
  {
    name: 'network silent both ways',
    moments: IN_THE_PROTOCOL,
    victims: 'any',
    lastsMs: FOR_A_WHILE_MS,
    endings: WITHOUT_WORD,
    thawLimitMs: AFTER_LEASE_MS,
  },
  {
    name: 'network silent towards the agent',
    moments: IN_THE_PROTOCOL,
    victims: 'any',
    lastsMs: FOR_A_WHILE_MS,
    endings: WITHOUT_WORD,
    thawLimitMs: AFTER_LEASE_MS,
  },
  {
    name: 'connections broken',
    moments: IN_THE_PROTOCOL,
    victims: 'any',
    endings: ['aborted'],
    thawLimitMs: AT_ONCE_MS,
  },
];

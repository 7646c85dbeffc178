import type { Role } from '../../../shared/domain/grid.ts';

// The contract as a table: in which state which call is answered with what. docs/participant-table.md is printed from
// it, the model takes its decisions by it, and the suite walks through it.

export type Status = 'OK' | 'INVALID_ARGUMENT' | 'UNIMPLEMENTED' | 'FAILED_PRECONDITION' | 'ABORTED';
export type HoldName = 'quiesced' | 'writingSuspended' | 'journalRetained' | 'maintenance';
export type CallName =
  | 'describe'
  | 'health'
  | 'renew'
  | 'release'
  | 'quiesce'
  | 'switchJournal'
  | 'resume'
  | 'suspendWriting'
  | 'resumeWriting'
  | 'releaseJournal'
  | 'enterMaintenance'
  | 'leaveMaintenance'
  | 'backUpDatabase'
  | 'saveKeeperState'
  | 'relocate';

/** What an answer changes. `forestall`: what has not begun is over, so that a late beginning is refused. */
type Effect = 'none' | 'take' | 'join' | 'mark' | 'end' | 'forestall' | 'give-up' | 'renew' | 'release';

export interface Cell {
  readonly status: Status;
  readonly effect: Effect;
  /** Of the calls that end something. */
  readonly held: boolean | null;
  readonly says: string;
}

export interface StateTable {
  readonly title: string;
  /** What a state is a state of. */
  readonly about: string;
  readonly states: Readonly<Record<string, string>>;
  readonly calls: Readonly<Partial<Record<CallName, Readonly<Record<string, Cell>>>>>;
}

const ok = (says: string, effect: Effect = 'none'): Cell => ({ status: 'OK', effect, held: null, says });
const ends = (held: boolean, says = '', effect: Effect = 'none'): Cell => ({
  status: 'OK',
  effect,
  held,
  says: `\`held: ${String(held)}\`${says === '' ? '' : `; ${says}`}`,
});
const refused = (status: Status, says = ''): Cell => ({ status, effect: 'none', held: null, says });
const notNow = (says = ''): Cell => refused('FAILED_PRECONDITION', says);
const superseded = (says = ''): Cell => refused('ABORTED', says);

const SAME = 'the same answer as once';
const OLDER = { older: superseded(), another: superseded() };
const ENDED_TWICE = {
  endedHeld: ends(true, SAME),
  endedLost: ends(false, SAME),
};
const BEGUN_ONCE = {
  endedHeld: notNow('an operation does it once'),
  endedLost: notNow('an operation does it once'),
  another: superseded(),
};

export const REST_TABLE: StateTable = {
  title: 'Rest and mark',
  about: 'of the rest for this operation and token',
  states: {
    fresh: 'nothing rests, the token is new, or its Quiesce was answered with `not_quiesced`',
    coming: 'a Quiesce with this operation and token waits',
    resting: 'at rest for this operation and token',
    marked: 'at rest for them, and SwitchJournal was answered',
    otherToken: 'at rest, or coming to rest, for this operation and an older token',
    endedHeld: 'Resume was answered with `held: true`',
    endedLost: 'the lease ran out, Release ended it, or Resume was answered with `held: false`',
    older: 'the token is older than one seen before',
    another: 'another operation holds anything',
  },
  calls: {
    quiesce: {
      fresh: ok('`quiesced: true` when it rests; `not_quiesced` where it does not in time', 'take'),
      coming: ok('waits with the first; both get one answer', 'join'),
      resting: ok(`${SAME}; the lease is not counted anew`),
      marked: ok(`${SAME}; the lease is not counted anew`),
      otherToken: notNow('the rest that is held goes on'),
      endedHeld: notNow('a newer token is needed'),
      endedLost: notNow('a newer token is needed'),
      ...OLDER,
    },
    switchJournal: {
      fresh: notNow(),
      coming: notNow(),
      resting: ok('the mark', 'mark'),
      marked: ok(SAME),
      otherToken: notNow(),
      endedHeld: notNow(),
      endedLost: notNow(),
      ...OLDER,
    },
    resume: {
      fresh: ends(false, 'a Quiesce with this token that comes later is refused', 'forestall'),
      coming: ends(false, 'the Quiesce that waits is answered with ABORTED', 'give-up'),
      resting: ends(true, 'it goes on', 'end'),
      marked: ends(true, 'it goes on', 'end'),
      otherToken: notNow('the rest that is held goes on'),
      ...ENDED_TWICE,
      ...OLDER,
    },
  },
};

export const HOLD_TABLE: StateTable = {
  title: 'Writing, journal, maintenance',
  about:
    'of what the call begins or ends: SuspendWriting and ResumeWriting the suspension, ReleaseJournal the retention, the last two maintenance',
  states: {
    fresh: 'never held for this operation',
    held: 'held for this operation',
    endedHeld: 'ended by its call in time',
    endedLost: 'the lease ran out, Release ended it, or the call that ends it came first',
    another: 'another operation holds anything',
  },
  calls: {
    suspendWriting: {
      fresh: ok('`first_journal_file`', 'take'),
      held: ok(`${SAME}; the lease is not counted anew`),
      ...BEGUN_ONCE,
    },
    resumeWriting: {
      fresh: ends(false, 'nothing is retained, and a later SuspendWriting is refused', 'forestall'),
      held: ends(true, 'with `retain_journal` the journal is retained from now', 'end'),
      endedHeld: ends(true, `${SAME}; the retention's lease is not counted anew`),
      endedLost: ends(false, 'nothing is retained'),
      another: superseded(),
    },
    releaseJournal: {
      fresh: ends(false, 'a suspension goes on'),
      held: ends(true, 'files may be removed', 'end'),
      ...ENDED_TWICE,
      another: superseded(),
    },
    enterMaintenance: {
      fresh: ok("clients' writes are refused", 'take'),
      held: ok(`${SAME}; the lease is not counted anew`),
      ...BEGUN_ONCE,
    },
    leaveMaintenance: {
      fresh: ends(false, 'a later EnterMaintenance is refused', 'forestall'),
      held: ends(true, 'writes are taken again', 'end'),
      ...ENDED_TWICE,
      another: superseded(),
    },
  },
};

export const OTHER_TABLE: StateTable = {
  title: 'The other calls',
  about: 'of the process as a whole',
  states: {
    free: 'nothing is held',
    held: 'held for this operation, not at rest',
    resting: 'at rest, or coming to rest, for this operation',
    another: 'another operation holds anything',
  },
  calls: {
    describe: same(['free', 'held', 'resting', 'another'], ok('within a second')),
    health: same(['free', 'held', 'resting', 'another'], ok('')),
    renew: {
      free: ok('what is held: nothing'),
      held: ok('every lease is counted anew', 'renew'),
      resting: ok('every lease is counted anew', 'renew'),
      another: superseded(),
    },
    release: {
      free: ok('nothing changes'),
      held: ok('everything of this operation ends', 'release'),
      resting: ok(
        'everything of this operation ends; a Quiesce that waits is answered with ABORTED',
        'release',
      ),
      another: ok('nothing changes'),
    },
    backUpDatabase: {
      free: ok('a copy; repeated, the same file'),
      resting: notNow('nothing changes at rest'),
      another: superseded(),
    },
    relocate: {
      free: ok('the new version; where all is so already, the old'),
      resting: notNow('nothing changes at rest'),
      another: notNow('as at rest: it has no operation'),
    },
    saveKeeperState: { free: ok('the state'), resting: ok('the state'), another: superseded() },
  },
};

export const TABLES: readonly StateTable[] = [REST_TABLE, HOLD_TABLE, OTHER_TABLE];

const REALM: readonly Role[] = ['realm-service'];
const NODE: readonly Role[] = ['node'];
const RESTING: readonly Role[] = ['realm-service', 'state-keeper', 'node'];
const EVERY: readonly Role[] = [...RESTING, 'proxy'];

/** Which role has which call; every other is UNIMPLEMENTED. */
export const ROLES_OF: Readonly<Record<CallName, readonly Role[]>> = {
  describe: EVERY,
  health: EVERY,
  renew: EVERY,
  release: EVERY,
  quiesce: RESTING,
  switchJournal: RESTING,
  resume: RESTING,
  suspendWriting: NODE,
  resumeWriting: NODE,
  releaseJournal: NODE,
  enterMaintenance: NODE,
  leaveMaintenance: NODE,
  backUpDatabase: REALM,
  saveKeeperState: ['state-keeper'],
  relocate: REALM,
};

/** The hold that a call begins or ends. */
export const HOLD_OF: Readonly<Partial<Record<CallName, HoldName>>> = {
  quiesce: 'quiesced',
  switchJournal: 'quiesced',
  resume: 'quiesced',
  suspendWriting: 'writingSuspended',
  resumeWriting: 'writingSuspended',
  releaseJournal: 'journalRetained',
  enterMaintenance: 'maintenance',
  leaveMaintenance: 'maintenance',
};

/** `quiesce` → `Quiesce`, as in the proto. */
export function protoName(call: string): string {
  return call.slice(0, 1).toUpperCase() + call.slice(1);
}

function same(states: readonly string[], cell: Cell): Record<string, Cell> {
  return Object.fromEntries(states.map((state) => [state, cell]));
}

import type { Role } from '../../../shared/domain/grid.ts';
import { compareTokens, formatToken, type Token } from '../../../shared/domain/token.ts';
import {
  HOLD_OF,
  HOLD_TABLE,
  OTHER_TABLE,
  REST_TABLE,
  ROLES_OF,
  type CallName,
  type Cell,
  type HoldName,
  type StateTable,
} from './table.ts';

/** What a call asks, as far as a decision needs it. */
export interface Asked {
  readonly call: CallName;
  readonly operation?: string;
  readonly token?: Token | undefined;
  readonly leaseMs?: number;
  readonly timeoutMs?: number;
  readonly retainJournal?: boolean;
}

/** A cell of the table: which, and what it says. */
export interface Decision extends Cell {
  readonly state: string;
}

export interface Hold {
  readonly operation: string;
  /** `''` but for quiesced. */
  readonly token: string;
  readonly leaseMs: number;
  /** False while a Quiesce waits. */
  taken: boolean;
  marked: boolean;
}

/** Cells that are other than the contract's, as `call.state`: planted faults. */
export type OtherCells = Readonly<Record<string, Partial<Cell>>>;

const HOLDS: readonly HoldName[] = ['quiesced', 'writingSuspended', 'journalRetained', 'maintenance'];
const LEASED: ReadonlySet<CallName> = new Set(['quiesce', 'suspendWriting', 'enterMaintenance']);
const TOKENED: ReadonlySet<CallName> = new Set(['quiesce', 'switchJournal', 'resume']);
const UNNAMED: ReadonlySet<CallName> = new Set(['describe', 'health', 'relocate']);

/**
 * Tokens, holds and their endings of one process: decides by the table and knows no clock, no files and no clients. Who
 * has these tells it when a lease ran out (`lapse`) and when a Quiesce has come to rest (`settle`).
 */
export class ContractMachine {
  readonly role: Role;
  readonly #isSatellite: boolean;
  readonly #other: OtherCells;
  readonly #holds = new Map<HoldName, Hold>();
  /** How holds ended, by kind, operation and token. */
  readonly #endings = new Map<string, boolean>();
  #newest: Token | undefined;

  constructor(role: Role, options: { isSatellite?: boolean; otherCells?: OtherCells } = {}) {
    this.role = role;
    this.#isSatellite = options.isSatellite ?? false;
    this.#other = options.otherCells ?? {};
  }

  /** Who holds anything; `''` where nobody does. */
  get operation(): string {
    return this.#holds.values().find(() => true)?.operation ?? '';
  }

  hold(name: HoldName): Hold | undefined {
    return this.#holds.get(name);
  }

  held(name: HoldName): boolean {
    return this.#holds.get(name)?.taken ?? false;
  }

  /** Changes nothing. */
  decide(asked: Asked): Decision {
    const refusal = this.#refusal(asked);
    if (refusal !== null) return this.#cell(...refusal, asked);
    const [table, state] = this.#stateFor(asked);
    const cell = table.calls[asked.call]?.[state];
    if (cell === undefined) throw new Error(`no cell for ${asked.call} in ${state}`);
    return this.#cell(state, cell, asked);
  }

  /** Takes what was decided for done: also by whoever only wants to know what comes next. */
  apply(asked: Asked, { status, effect, held }: Decision): void {
    const { call, operation = '', token, leaseMs = 0 } = asked;
    const name = HOLD_OF[call];
    if (status !== 'OK') return;
    if (token !== undefined && TOKENED.has(call) && this.#isNewer(token)) this.#newest = token;
    if (effect === 'release') {
      for (const kind of HOLDS) if (this.#holds.get(kind)?.operation === operation) this.end(kind, false);
    }
    if (name === undefined) return;
    const key = keyOf(name, operation, tokenOf(name, token));
    if (effect === 'take')
      this.#holds.set(name, {
        operation,
        token: tokenOf(name, token),
        leaseMs,
        taken: name !== 'quiesced',
        marked: false,
      });
    if (effect === 'mark') {
      const hold = this.#holds.get(name);
      if (hold !== undefined) hold.marked = true;
    }
    if (effect === 'end' || effect === 'give-up') this.end(name, held ?? false);
    if (effect === 'forestall') this.#endings.set(key, false);
    if (call === 'resumeWriting' && effect === 'end' && asked.retainJournal === true)
      this.#holds.set('journalRetained', { operation, token: '', leaseMs, taken: true, marked: false });
  }

  /** The Quiesce that waits has its answer. */
  settle(isAtRest: boolean): void {
    const hold = this.#holds.get('quiesced');
    if (hold === undefined) return;
    hold.taken = isAtRest;
    if (!isAtRest) this.#holds.delete('quiesced');
  }

  /** The lease of it ran out. */
  lapse(name: HoldName): void {
    this.end(name, false);
  }

  end(name: HoldName, held: boolean): void {
    const hold = this.#holds.get(name);
    if (hold === undefined) return;
    this.#holds.delete(name);
    this.#endings.set(keyOf(name, hold.operation, hold.token), held);
  }

  /** For a planted fault: a token is seen although its request was refused. */
  see(token: Token): void {
    if (this.#isNewer(token)) this.#newest = token;
  }

  /** For a planted fault. */
  forgetTokens(): void {
    this.#newest = undefined;
  }

  #isNewer(token: Token): boolean {
    return this.#newest === undefined || compareTokens(token, this.#newest) > 0;
  }

  #cell(state: string, cell: Cell, { call }: Asked): Decision {
    const { [`${call}.${state}`]: own, [`*.${state}`]: all, [`${call}.*`]: every } = this.#other;
    return { ...cell, ...every, ...all, ...own, state };
  }

  /** What is looked at before any state: who may call this, and whether the request is whole. */
  #refusal(asked: Asked): [state: string, cell: Cell] | null {
    const { call } = asked;
    const refuse = (state: string, status: Cell['status'], says: string): [string, Cell] => [
      state,
      { status, effect: 'none', held: null, says },
    ];
    if (!ROLES_OF[call].includes(this.role))
      return refuse('foreign', 'UNIMPLEMENTED', `a ${this.role} has no such call`);
    const complaint = complaintOf(asked);
    if (complaint !== null) return refuse('malformed', 'INVALID_ARGUMENT', complaint);
    if (this.#isSatellite && (call === 'backUpDatabase' || call === 'relocate'))
      return refuse(
        'satellite',
        'FAILED_PRECONDITION',
        'a satellite takes no updates: its primary does, realm at localhost:7100',
      );
    return null;
  }

  #stateFor({ call, operation = '', token }: Asked): [StateTable, string] {
    const isAnothers = this.operation !== '' && this.operation !== operation;
    const name = HOLD_OF[call];
    if (name === undefined) return [OTHER_TABLE, this.#otherState(isAnothers)];
    const table = name === 'quiesced' ? REST_TABLE : HOLD_TABLE;
    if (isAnothers) return [table, 'another'];
    const hold = this.#holds.get(name);
    if (name !== 'quiesced') return [table, hold === undefined ? this.#ended(name, operation, '') : 'held'];
    if (token !== undefined && this.#newest !== undefined && compareTokens(token, this.#newest) < 0)
      return [table, 'older'];
    const own = tokenOf(name, token);
    if (hold === undefined) return [table, this.#ended(name, operation, own)];
    if (hold.token !== own) return [table, 'otherToken'];
    if (!hold.taken) return [table, 'coming'];
    return [table, hold.marked ? 'marked' : 'resting'];
  }

  #otherState(isAnothers: boolean): string {
    if (isAnothers) return 'another';
    if (this.#holds.has('quiesced')) return 'resting';
    return this.operation === '' ? 'free' : 'held';
  }

  #ended(name: HoldName, operation: string, token: string): string {
    const ending = this.#endings.get(keyOf(name, operation, token));
    if (ending === undefined) return 'fresh';
    return ending ? 'endedHeld' : 'endedLost';
  }
}

function complaintOf({ call, operation, token, leaseMs, timeoutMs, retainJournal }: Asked): string | null {
  if (!UNNAMED.has(call) && (operation ?? '') === '') return 'operation is missing';
  if (TOKENED.has(call) && token === undefined) return 'token is missing';
  if (call === 'quiesce' && !(isTime(timeoutMs) || timeoutMs === 0)) return 'timeout_ms is not a time';
  const isLeased = LEASED.has(call) || (call === 'resumeWriting' && retainJournal === true);
  return isLeased && !isTime(leaseMs) ? 'lease_ms is not a time' : null;
}

function isTime(value: number | undefined): boolean {
  return value !== undefined && Number.isFinite(value) && value > 0;
}

function tokenOf(name: HoldName, token: Token | undefined): string {
  return name === 'quiesced' && token !== undefined ? formatToken(token) : '';
}

function keyOf(name: HoldName, operation: string, token: string): string {
  return `${name} ${operation} ${token}`;
}

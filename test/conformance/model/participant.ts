import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import type * as wire from '../../../shared/rpc/generated/participant.ts';
import type { Asked, ContractMachine, Decision, Hold } from '../contract/machine.ts';
import type { CallName, HoldName, Status } from '../contract/table.ts';
import type { HasFault } from './faults.ts';

export type ModelRole = 'node' | 'state-keeper' | 'realm-service' | 'satellite' | 'proxy';
type Service = typeof wire.ParticipantServiceService;
type RequestOf<Name extends keyof Service> = ReturnType<Service[Name]['requestDeserialize']>;

export class Refusal extends Error {
  readonly code: grpc.status;

  constructor(
    status: Status | 'INTERNAL',
    fact: string,
    hint = 'hint: docs/participant-table.md says when it is answered',
  ) {
    super(`${fact}; ${hint}`);
    this.code = grpc.status[status];
  }
}

/** What of the process the contract holds still: its clients, its write daemon, its journal. */
export interface Held {
  describe(): Omit<wire.DescribeResponse, 'incarnation' | 'held'>;
  /** What cannot come to rest now. */
  activities(): readonly string[];
  rest(allowReads: boolean): void;
  goOn(by: 'Release' | 'other'): void;
  mark(): { file: string; length: number; content: wire.Content | undefined };
  suspend(updatesWaitAfterMs: number): string;
  updatesWait(): boolean;
  resumeWriting(): void;
  retain(isRetained: boolean): void;
  backUp(key: string, epoch: number, counter: number): { file: string; definition: Buffer };
  saveState(): { state: Buffer; version: bigint };
  relocate(processes: readonly wire.DefinedProcess[]): bigint | null;
}

const EARLY_MS = 40;
const SLOW_MS = 1150;
const POLL_MS = 4;
const CAP_MS = 140;

/** Answers by the table of the contract, holds back what it says, by leases; and has what faults are planted in it. */
export class ModelParticipant {
  readonly machine: ContractMachine;
  readonly #held: Held;
  readonly #has: HasFault;
  readonly #incarnation = randomUUID();
  readonly #timers = new Map<HoldName, NodeJS.Timeout>();
  /** Of the marks by operation and token. */
  readonly #cuts = new Map<string, ReturnType<Held['mark']>>();
  readonly #firstFiles = new Map<string, string>();
  #coming: Promise<wire.QuiesceResponse> | null = null;

  constructor(machine: ContractMachine, held: Held, has: HasFault) {
    this.machine = machine;
    this.#held = held;
    this.#has = has;
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  readonly answers = {
    describe: async (): Promise<wire.DescribeResponse> => {
      const has = this.#has;
      const isSlow =
        has('describes-itself-slowly') ||
        (this.machine.held('quiesced') && has('describes-itself-slowly-at-rest')) ||
        (this.machine.held('writingSuspended') && has('describes-itself-slowly-while-suspended'));
      if (isSlow) await pause(SLOW_MS);
      return {
        ...this.#held.describe(),
        incarnation: this.#incarnationFor('describe'),
        held: this.heldNow(),
      };
    },
    health: () => {
      if (this.#has('fails-when-asked-for-its-health')) throw new Refusal('INTERNAL', 'null');
      if (this.#has('is-unhealthy-for-no-cause')) return { healthy: false, cause: '' };
      const cause = 'it starts\nand waits';
      return this.#has('says-its-health-in-two-lines')
        ? { healthy: false, cause }
        : { healthy: true, cause: '' };
    },
    quiesce: async (request: RequestOf<'quiesce'>): Promise<wire.QuiesceResponse> => {
      const has = this.#has;
      const asked = { call: 'quiesce', ...request } as const;
      const again = { incarnation: this.#incarnation, quiesced: true, notQuiesced: [] };
      const decision = this.#decided(asked);
      if (decision.effect === 'join') {
        if (has('refuses-a-Quiesce-that-is-repeated-while-it-waits'))
          throw new Refusal('FAILED_PRECONDITION', 'a Quiesce waits');
        if (has('says-at-once-that-it-rests-when-asked-again')) return again;
        return (await this.#coming) ?? again;
      }
      if (decision.effect !== 'take') {
        const hold = this.machine.hold('quiesced');
        if (hold !== undefined && has('a-repeated-Quiesce-renews-its-lease')) this.#count('quiesced', hold);
        return has('says-the-second-time-that-it-does-not-rest')
          ? { ...again, quiesced: false, notQuiesced: ['a'] }
          : again;
      }
      this.machine.apply(asked, decision);
      const hold = this.machine.hold('quiesced');
      if (hold === undefined) return again;
      const coming = this.#comesToRest(request, hold);
      coming.catch(() => undefined);
      this.#coming = coming;
      return await coming;
    },
    switchJournal: ({ operation, token }: RequestOf<'switchJournal'>) => {
      const asked = { call: 'switchJournal', operation, token } as const;
      const decision = this.#decided(asked);
      this.machine.apply(asked, decision);
      const key = `${operation} ${JSON.stringify(token)}`;
      const before = this.#has('switches-twice') ? undefined : this.#cuts.get(key);
      const cut = before ?? this.#held.mark();
      this.#cuts.set(key, cut);
      const { content } = cut;
      if (before !== undefined && this.#has('says-other-content-when-asked-again') && content !== undefined)
        content.count += 1n;
      if (before !== undefined && this.#has('says-another-length-when-asked-again')) cut.length += 1;
      const incarnation = this.#incarnationFor('switchJournal');
      return { incarnation, journalFile: cut.file, length: BigInt(cut.length), content };
    },
    resume: ({ operation, token }: RequestOf<'resume'>) => this.#ending({ call: 'resume', operation, token }),
    suspendWriting: ({ operation, leaseMs, updatesWaitAfterMs }: RequestOf<'suspendWriting'>) => {
      if (updatesWaitAfterMs > 0 && this.#has('knows-no-time-for-updates'))
        throw new Refusal('INVALID_ARGUMENT', 'updates_wait_after_ms is not known');
      const asked = { call: 'suspendWriting', operation, leaseMs } as const;
      const { effect } = this.#took('writingSuspended', asked);
      if (effect === 'take') this.#firstFiles.set(operation, this.#held.suspend(updatesWaitAfterMs));
      if (effect !== 'take' && this.#has('names-another-journal-file-when-asked-again'))
        this.#firstFiles.set(operation, `${this.#firstFiles.get(operation) ?? ''}.1`);
      if (effect !== 'take' && this.#has('names-no-journal-file-when-asked-again'))
        this.#firstFiles.set(operation, 'none');
      return { incarnation: this.#incarnation, firstJournalFile: this.#firstFiles.get(operation) ?? '' };
    },
    resumeWriting: ({ operation, retainJournal, leaseMs }: RequestOf<'resumeWriting'>) => {
      const asked = { call: 'resumeWriting', operation, retainJournal, leaseMs } as const;
      const answer = this.#ending(asked);
      const hold = this.machine.hold('journalRetained');
      if (hold !== undefined && !this.#timers.has('journalRetained')) this.#count('journalRetained', hold);
      this.#held.retain(hold !== undefined && !this.#has('does-not-retain-the-journal'));
      return answer;
    },
    releaseJournal: ({ operation }: RequestOf<'releaseJournal'>) =>
      this.#ending({ call: 'releaseJournal', operation }),
    renew: ({ operation }: RequestOf<'renew'>) => {
      const decision = this.#decided({ call: 'renew', operation });
      const has = this.#has;
      if (decision.effect !== 'renew' || has('renew-does-nothing')) return { held: this.heldNow() };
      for (const name of this.#names()) {
        const hold = this.machine.hold(name);
        if (hold?.taken !== true) continue;
        if (name === 'journalRetained' && has('renews-all-but-the-retention')) continue;
        if (name === 'maintenance' && has('renews-all-but-maintenance')) continue;
        if (name !== 'quiesced' && has('renews-only-the-rest')) continue;
        this.#count(name, hold);
      }
      return { held: has('answers-Renew-with-nothing') ? NOTHING : this.heldNow() };
    },
    release: ({ operation }: RequestOf<'release'>) => {
      const asked = { call: 'release', operation } as const;
      const has = this.#has;
      const decision = this.#decided(asked);
      if (decision.effect === 'release')
        for (const name of this.#names()) {
          const hold = this.machine.hold(name);
          if (hold === undefined) continue;
          if (name === 'maintenance' && has('release-forgets-maintenance')) continue;
          if (name === 'journalRetained' && has('release-forgets-the-retention')) continue;
          if (name === 'quiesced' && !hold.taken && has('a-Release-leaves-a-Quiesce-that-waits')) continue;
          this.#end(name, false, 'Release');
        }
      if (has('a-Release-forgets-the-newest-token')) this.machine.forgetTokens();
      return { incarnation: this.#incarnationFor('release') };
    },
    enterMaintenance: ({ operation, leaseMs }: RequestOf<'enterMaintenance'>) => {
      this.#took('maintenance', { call: 'enterMaintenance', operation, leaseMs });
      if (this.#has('an-EnterMaintenance-ends-a-suspension')) this.#end('writingSuspended', false);
      return { incarnation: this.#incarnation };
    },
    leaveMaintenance: ({ operation }: RequestOf<'leaveMaintenance'>) =>
      this.#ending({ call: 'leaveMaintenance', operation }),
    backUpDatabase: ({ operation, checkpoint, epoch, counter }: RequestOf<'backUpDatabase'>) => {
      this.#decided({ call: 'backUpDatabase', operation });
      return this.#held.backUp(JSON.stringify([operation, checkpoint, epoch, counter]), epoch, counter);
    },
    saveKeeperState: ({ operation }: RequestOf<'saveKeeperState'>) => {
      this.#decided({ call: 'saveKeeperState', operation });
      return this.#held.saveState();
    },
    relocate: ({ processes }: RequestOf<'relocate'>) => {
      this.#decided({ call: 'relocate' });
      const version = this.#held.relocate(processes);
      if (version === null) throw new Refusal('INVALID_ARGUMENT', 'a process is not known');
      return { version };
    },
  };

  heldNow(): wire.Held {
    const has = this.#has;
    const of = (name: HoldName): boolean => this.machine.held(name);
    const isSlowToSay = (name: HoldName): boolean => of(name) && !has(`hides-${name}`);
    return {
      operation: has('does-not-say-for-whom-it-holds') ? 'someone' : this.machine.operation,
      quiesced: isSlowToSay('quiesced'),
      writingSuspended: isSlowToSay('writingSuspended'),
      journalRetained: isSlowToSay('journalRetained'),
      maintenance: isSlowToSay('maintenance'),
      updatesWait: this.#held.updatesWait(),
    };
  }

  /** For an answer: throws where it is a refusal. */
  #decided(asked: Asked): Decision {
    const decision = this.machine.decide(asked);
    const { status, says, state } = decision;
    if (status === 'OK') return decision;
    const { token } = asked;
    if (token !== undefined && this.#sees(state)) this.machine.see(token);
    const fact = says === '' ? `not in this state (${state})` : says;
    if (this.#has('gives-no-remedy')) throw new Refusal(status, fact, '');
    if (this.#has('explains-itself-in-two-lines')) throw new Refusal(status, fact, '\nhint: see there');
    if (this.#has('gives-no-reason')) throw new Refusal(status, '', '');
    throw new Refusal(status, fact);
  }

  #sees(state: string): boolean {
    const has = this.#has;
    return (
      (state === 'malformed' && has('sees-the-token-of-a-malformed-request')) ||
      (state === 'another' && has('sees-the-token-of-another-operation')) ||
      (state === 'otherToken' && has('sees-the-token-that-comes-while-it-rests'))
    );
  }

  #took(name: 'writingSuspended' | 'maintenance', asked: Asked): Decision {
    const decision = this.#decided(asked);
    this.machine.apply(asked, decision);
    const hold = this.machine.hold(name);
    const isRepeated = decision.effect !== 'take' && this.#has(`a-repeated-beginning-of-${name}-renews`);
    if (hold !== undefined && (decision.effect === 'take' || isRepeated)) this.#count(name, hold);
    return decision;
  }

  #ending(asked: Asked & { call: CallName }): { incarnation: string; held: boolean; cause: string } {
    const decision = this.#decided(asked);
    const { call } = asked;
    const name = ENDS[call] ?? 'quiesced';
    if (decision.effect === 'end' || decision.effect === 'give-up') this.#ended(name);
    this.machine.apply(asked, decision);
    if (call === 'resume' && this.#has('a-Resume-ends-maintenance')) this.#end('maintenance', false);
    const held = decision.held ?? false;
    const cause = held || this.#has('gives-no-cause') ? '' : 'it was over, or had not begun';
    return { incarnation: this.#incarnationFor(call), held, cause };
  }

  async #comesToRest(request: RequestOf<'quiesce'>, hold: Hold): Promise<wire.QuiesceResponse> {
    const has = this.#has;
    const incarnation = this.#incarnation;
    const { timeoutMs } = request;
    const more = has('ignores-its-timeout')
      ? 30_000
      : has('takes-twice-its-timeout-and-more')
        ? 1300 + timeoutMs
        : 0;
    const until = performance.now() + (has('gives-up-at-once') ? 0 : timeoutMs + more);
    for (;;) {
      const activities = this.#held.activities();
      if (activities.length === 0 || has('rests-while-it-is-busy')) break;
      if (performance.now() >= until) {
        const staysClosed = has('stays-at-rest-when-it-does-not-come-to-rest');
        this.machine.settle(staysClosed);
        if (staysClosed) this.#held.rest(true);
        const named = has('cannot-rest-and-does-not-say-what') ? [] : activities.filter((one) => one !== '');
        return { incarnation, quiesced: false, notQuiesced: [...named] };
      }
      await pause(POLL_MS);
      if (this.machine.hold('quiesced') !== hold)
        throw new Refusal('ABORTED', 'it was given up: Resume or Release came while it waited');
    }
    this.machine.settle(true);
    this.#held.rest(request.allowReads);
    this.#count('quiesced', hold);
    return { incarnation, quiesced: true, notQuiesced: [] };
  }

  #count(name: HoldName, hold: Hold): void {
    const has = this.#has;
    clearTimeout(this.#timers.get(name));
    let { leaseMs } = hold;
    if (name === 'quiesced' && has('lease-never-ends')) return;
    if (name === 'maintenance' && has('maintenance-never-ends')) return;
    if (has('takes-milliseconds-for-seconds')) leaseMs *= 1000;
    if (name === 'quiesced' && has('resumes-early')) leaseMs = Math.min(EARLY_MS, leaseMs / 2);
    if (has('ends-long-leases-early')) leaseMs = Math.min(CAP_MS, leaseMs);
    if (name === 'journalRetained' && has('retains-for-half-the-lease')) leaseMs /= 2;
    const end = (): void =>
      this.#end(name, has('claims-held-after-expiry') || has(`claims-${name}-after-expiry`));
    this.#timers.set(name, setTimeout(end, Math.min(Math.ceil(leaseMs) + 1, 2 ** 31 - 1)));
  }

  /** For a planted fault: it ends before its time. */
  lapse(name: HoldName): void {
    this.#end(name, false);
  }

  #end(name: HoldName, held: boolean, by: 'Release' | 'other' = 'other'): void {
    this.#ended(name, by);
    this.machine.end(name, held);
  }

  /** What was held back goes on. */
  #ended(name: HoldName, by: 'Release' | 'other' = 'other'): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
    if (name === 'writingSuspended') this.#held.resumeWriting();
    if (name === 'journalRetained') this.#held.retain(false);
    // After the machine has it, for who waits asks the machine.
    if (name === 'quiesced') queueMicrotask(() => this.#held.goOn(by));
  }

  #incarnationFor(call: CallName): string {
    const has = this.#has;
    const isOther =
      has('changes-its-incarnation') ||
      (call === 'release' && has('has-another-incarnation-in-Release')) ||
      (call === 'resume' && has('has-another-incarnation-in-Resume')) ||
      (call === 'switchJournal' && has('has-another-incarnation-at-the-mark'));
    if (has('has-the-same-incarnation-after-a-restart')) return 'model';
    return isOther ? randomUUID() : this.#incarnation;
  }

  #names(): HoldName[] {
    const names: HoldName[] = ['quiesced', 'writingSuspended', 'journalRetained', 'maintenance'];
    return names.filter((name) => this.machine.hold(name) !== undefined);
  }
}

const NOTHING: wire.Held = {
  operation: '',
  quiesced: false,
  writingSuspended: false,
  journalRetained: false,
  maintenance: false,
  updatesWait: false,
};

const ENDS: Partial<Record<CallName, HoldName>> = {
  resume: 'quiesced',
  resumeWriting: 'writingSuspended',
  releaseJournal: 'journalRetained',
  leaveMaintenance: 'maintenance',
};

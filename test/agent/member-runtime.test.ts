import { expect } from 'chai';
import { BY_ITSELF } from '../../shared/domain/assignment.ts';
import type { Engine, Hold } from '../../agent/engines/engine.ts';
import { MemberRuntime } from '../../agent/member-runtime.ts';
import type { StateDirectory } from '../../agent/state-directory.ts';
import type { MemberAnswer } from '../../shared/domain/messages.ts';
import * as machine from '../../shared/protocol/member-machine.ts';
import { computerClock } from '../../shared/runtime/clock.ts';
import { createLog } from '../../shared/runtime/log.ts';

type Prepared = Pick<Hold, 'prepare' | 'release'>;
type State = Pick<StateDirectory, 'highestToken' | 'makeSpool' | 'dropSpool'>;

/** Of a member with this hold, that sends its answers into an array. */
function runtimeOf(hold: Prepared, state: State, answers: MemberAnswer[]): MemberRuntime {
  const engine: Pick<Engine, 'begin' | 'isRunning'> = {
    begin: () => ({ hold: hold as Hold, copy: null, journal: null }),
    isRunning: () => Promise.resolve(true),
  };
  return new MemberRuntime({
    machine,
    clock: computerClock,
    time: () => new Date(),
    priority: { raise: () => () => undefined, soon: (putBack) => putBack() },
    reach: () => Promise.resolve(),
    member: 'a',
    kind: 'fenced',
    engine,
    operation: 'operation',
    state,
    store: {} as never,
    log: createLog({ name: 'test', level: 'silent' }),
    operationSilenceMs: 60_000,
    leaseMs: 10_000,
    send: (answer) => void answers.push(answer),
    record: () => Promise.resolve(),
    heldChanged: () => undefined,
    progress: () => undefined,
    waitsFor: () => undefined,
    lost: () => undefined,
    undoLeft: () => Promise.resolve(null),
    saveUndo: () => Promise.resolve(),
  });
}

describe('a member whose prepare has just begun', () => {
  // Goal: a stream that closes before its parts are made leaves nothing behind that nobody would ever close.
  // Method: the real runtime and machine; a state directory whose disk is slow, and a hold that notes its calls.
  it('releases the hold that is being made, and drops its spool', async () => {
    const calls: string[] = [];
    const answers: MemberAnswer[] = [];
    const disk = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<never>();
    const hold: Prepared = {
      prepare() {
        calls.push('prepare');
        return aborted.promise;
      },
      release() {
        calls.push('release');
        aborted.reject(new Error('the checkpoint was aborted'));
        return Promise.resolve();
      },
    };
    const state: State = {
      highestToken: () => null,
      async makeSpool() {
        await disk.promise;
        calls.push('made spool');
        return 'spool';
      },
      dropSpool() {
        calls.push('dropped spool');
        return Promise.resolve();
      },
    };
    const runtime = runtimeOf(hold, state, answers);
    let isClosed = false;
    void runtime.closed.then(() => (isClosed = true));

    runtime.receive({ type: 'prepare', checkpoint: 'checkpoint', assignment: BY_ITSELF, maintenance: false });
    runtime.operationEnded();
    await new Promise((resolve) => setImmediate(resolve));
    expect(isClosed, 'closed before its disk has answered').to.equal(false);
    disk.resolve();
    await runtime.closed;

    expect(calls).to.deep.equal(['made spool', 'prepare', 'release', 'dropped spool']);
    expect(answers.map(({ type }) => type)).to.include('aborted');
  });
});

describe('a member whose abort cannot undo its freeze yet', () => {
  // Goal: what an abort closes goes at once, and nobody has to guess what it waits for.
  // Method: the real runtime; a hold whose release is refused until the test lets it succeed.
  it('has no spool any more after the first try, says why it waits, and ends when the undo is done', async () => {
    let refused: Error | null = new Error('permission denied');
    let spools = 0;
    const tried = Promise.withResolvers<void>();
    const hold: Prepared = {
      prepare: () => Promise.resolve(),
      release: () => (refused === null ? Promise.resolve() : Promise.reject(refused)),
    };
    const answers: MemberAnswer[] = [];
    const state: State = {
      highestToken: () => null,
      makeSpool: () => Promise.resolve(`spool ${(spools += 1)}`),
      dropSpool() {
        spools -= 1;
        tried.resolve();
        return Promise.resolve();
      },
    };
    const runtime = runtimeOf(hold, state, answers);
    const prepared = new Promise<void>((resolve) => {
      const look = (): void => (answers.length > 0 ? resolve() : void setImmediate(look));
      look();
    });
    runtime.receive({ type: 'prepare', checkpoint: 'checkpoint', assignment: BY_ITSELF, maintenance: false });
    await prepared;
    runtime.operationEnded();
    await tried.promise;

    expect(spools).to.equal(0);
    expect(runtime.abortFailure?.message).to.equal('permission denied');
    refused = null;
    await runtime.closed;

    expect(runtime.abortFailure).to.equal(null);
    expect(answers.map(({ type }) => type)).to.include('aborted');
  });
});

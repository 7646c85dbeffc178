import { expect } from 'chai';
import type { Capture, Engine } from '../../agent/engines/engine.ts';
import { MemberRuntime } from '../../agent/member-runtime.ts';
import type { StateDirectory } from '../../agent/state-directory.ts';
import type { MemberAnswer } from '../../shared/domain/messages.ts';
import { createLog } from '../../shared/runtime/log.ts';

describe('a member whose prepare has just begun', () => {
  // Goal: a stream that closes before the capture is made leaves nothing behind that nobody would ever close.
  // Method: the real runtime and machine; a state directory whose disk is slow, and a capture that notes its calls.
  it('aborts the capture that is being made, and drops its spool', async () => {
    const calls: string[] = [];
    const answers: MemberAnswer[] = [];
    const disk = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<never>();
    const capture: Pick<Capture, 'prepare' | 'abort'> = {
      prepare() {
        calls.push('prepare');
        return aborted.promise;
      },
      abort() {
        calls.push('abort');
        aborted.reject(new Error('the checkpoint was aborted'));
        return Promise.resolve();
      },
    };
    const engine: Pick<Engine, 'capture' | 'isRunning'> = {
      capture: () => capture as Capture,
      isRunning: () => Promise.resolve(true),
    };
    const state: Pick<StateDirectory, 'highestToken' | 'makeSpool' | 'dropSpool'> = {
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
    const runtime = new MemberRuntime({
      member: 'a',
      kind: 'fenced',
      engine: engine as Engine,
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
      lost: () => undefined,
      undoLeft: () => Promise.resolve(true),
      saveUndo: () => Promise.resolve(),
    });
    let isClosed = false;
    void runtime.closed.then(() => (isClosed = true));

    runtime.receive({ type: 'prepare', checkpoint: 'checkpoint', maintenance: false });
    runtime.streamClosed();
    await new Promise((resolve) => setImmediate(resolve));
    expect(isClosed, 'closed before its disk has answered').to.equal(false);
    disk.resolve();
    await runtime.closed;

    expect(calls).to.deep.equal(['made spool', 'prepare', 'abort', 'dropped spool']);
    expect(answers.map(({ type }) => type)).to.include('aborted');
  });
});

import { expect } from 'chai';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import type { Capture } from '../../../agent/capture.ts';
import { describeNative } from '../../../agent/engines/native/describe.ts';
import type { HoldFacts } from '../../../agent/engines/native/hold-facts.ts';
import { JournalWatch } from '../../../agent/engines/native/marked-journal.ts';
import { warningLine } from '../../../shared/domain/warning.ts';
import { StillpointError, type Failure } from '../../../shared/domain/errors.ts';
import type { Purpose } from '../../../shared/domain/purpose.ts';
import { until } from '../../lab/processes.ts';
import { Refusal } from '../../reference-grid/holds.ts';
import { token } from '../tested-capture.ts';
import { scriptedProcess, type ScriptedProcess } from './scripted-process.ts';

// Goal: what a node is asked for, by the contract, in a journal checkpoint, a quiesce and a freeze, and what its agent
// makes of each answer. Method: a process whose answers a test sets, and that notes its calls.

const QUIESCE: Purpose = { type: 'quiesce', allowReads: false, timeOutMs: 60_000 };
const FREEZE: Purpose = { type: 'freeze', timeOutMs: 600_000 };
const NOTHING_COPIED = { hold: 'member', part: 'none' } as const;
const FREE = { operation: '', quiesced: false, writingSuspended: false, journalRetained: false };
const HELD = { ...FREE, operation: 'x', writingSuspended: true, quiesced: true };

describe('a node that is held', () => {
  let node: ScriptedProcess;
  const captures: Capture[] = [];
  const lost: Failure[] = [];
  /** Of each call that matters here, its request. */
  const asked: Record<string, Record<string, unknown>> = {};

  function noting(name: string, answer: object): (request: never) => object {
    return (request) => {
      asked[name] = request;
      return answer;
    };
  }

  beforeEach(async () => {
    node = await scriptedProcess('node');
    writeFileSync(join(node.live, 'journal/7'), 'seven');
    writeFileSync(join(node.live, 'journal/8'), '');
    const { describe: said } = node.answers;
    node.answers['describe'] = (request) => ({ ...said?.(request), held: HELD });
    node.answers['renew'] = noting('renew', { held: HELD });
    node.answers['suspendWriting'] = noting('suspendWriting', { firstJournalFile: '7' });
    node.answers['quiesce'] = noting('quiesce', { quiesced: true });
    node.answers['switchJournal'] = () => ({
      journalFile: '7',
      length: 5n,
      content: { count: 3n, digest: Buffer.from('ab') },
    });
  });

  afterEach(async () => {
    for (const capture of captures.splice(0)) await capture.abort();
    lost.length = 0;
    node.close();
  });

  function begun(purpose: Purpose): Capture {
    const cause = (error: unknown): void => void lost.push((error as StillpointError).failure);
    const capture = node.capture(false, { purpose, assignment: NOTHING_COPIED, lost: cause });
    captures.push(capture);
    return capture;
  }

  async function held(purpose: Purpose): Promise<Capture> {
    const capture = begun(purpose);
    await capture.prepare();
    await capture.arm(token());
    await capture.freeze(token());
    return capture;
  }

  /** Without those that only look or renew. */
  const calls = (): string[] => node.calls.filter((name) => name !== 'describe' && name !== 'renew');
  const thawed = (capture: Capture): ReturnType<Capture['thaw']> => capture.thaw(token(), () => undefined);

  it('for a journal checkpoint rests with reads allowed for the switch alone, and nothing is copied [S76] [S79] [S80]', async () => {
    const capture = await held({ type: 'journalCheckpoint' });
    expect((await thawed(capture)).type).to.equal('held');
    const { mark, engineFacts } = await capture.collect();
    await capture.close();
    expect(calls().filter((name) => name !== 'release')).to.deep.equal([
      'quiesce',
      'switchJournal',
      'resume',
    ]);
    expect(asked['quiesce']).to.deep.include({ allowReads: true, timeoutMs: 3000 });
    expect(mark?.journalFile).to.equal('7');
    const facts = engineFacts as HoldFacts;
    expect(facts).to.deep.include({ journalFile: '7', length: 5, firstJournalFile: null });
    expect(facts.journalAtMark.map(({ name }) => name)).to.deep.equal(['7', '8']);
    expect(facts.content?.count).to.equal(3);
    expect(facts.digest).to.match(/^[0-9a-f]{64}$/);
  });

  it('for a quiesce has its files at rest first, then rests, reads too unless they are allowed, for so long as was asked [S67] [S69] [S70]', async () => {
    const capture = await held(QUIESCE);
    expect(calls()).to.deep.equal(['suspendWriting', 'quiesce', 'switchJournal']);
    expect(asked['quiesce']).to.deep.include({ allowReads: false, timeoutMs: 60_000 });
    expect(asked['suspendWriting']).to.deep.include({ updatesWaitAfterMs: 0 });
    expect((await thawed(capture)).type).to.equal('held');
    expect(calls().slice(3)).to.deep.equal(['resume', 'resumeWriting']);
    const { engineFacts } = await capture.collect();
    expect(engineFacts).to.deep.include({ firstJournalFile: '7' });
  });

  it('for a quiesce that allows reads goes on answering them [S68]', async () => {
    await held({ ...QUIESCE, allowReads: true });
    expect(asked['quiesce']).to.deep.include({ allowReads: true });
  });

  it('for a freeze has its write daemon wait, from before the mark until it is collected, and rests for the mark alone [S82] [S83] [S88]', async () => {
    const capture = await held(FREEZE);
    expect((await thawed(capture)).type).to.equal('held');
    expect(calls()).to.deep.equal(['suspendWriting', 'quiesce', 'switchJournal', 'resume']);
    const { suspension } = await capture.collect();
    expect(calls()[4]).to.equal('resumeWriting');
    expect(suspension).to.deep.equal({ held: true });
  });

  for (const timeOutMs of [600_000, 900_000])
    it(`tells the process of a freeze for how long updates go on: ${timeOutMs / 1000} s [S84] [S85]`, async () => {
      await begun({ ...FREEZE, timeOutMs }).prepare();
      expect(asked['suspendWriting']).to.deep.include({ updatesWaitAfterMs: timeOutMs });
    });

  it('is not said to have been frozen where writing had gone on, or the process is another one [S91]', async () => {
    const outcome = async (spoil: () => void): Promise<unknown> => {
      const capture = await held(FREEZE);
      await thawed(capture);
      spoil();
      const { suspension } = await capture.collect();
      await capture.abort();
      return suspension;
    };
    expect(await outcome(() => (node.answers['resumeWriting'] = () => ({ held: false })))).to.deep.equal({
      held: false,
      cause: 'it says that it had resumed writing before',
    });
    expect(
      await outcome(() => {
        node.answers['resumeWriting'] = () => ({ held: true });
        node.incarnation = 'two';
      }),
    ).to.deep.equal({ held: false, cause: 'it was restarted meanwhile' });
  });

  it('is not said to have been frozen where it crashed, and says how far it is when it comes back [S87] [S91]', async () => {
    const capture = await held(FREEZE);
    await thawed(capture);
    const { describe: said } = node.answers;
    node.incarnation = 'two';
    node.answers['resumeWriting'] = () => {
      throw new Refusal(status.UNAVAILABLE, 'it is recovering', 'wait');
    };
    node.answers['describe'] = (request) => ({
      ...said?.(request),
      held: FREE,
      recovering: 'reading the journal, file 3 of 9',
    });
    const { suspension } = await capture.collect();
    expect(suspension).to.deep.equal({
      held: false,
      cause: 'it was restarted meanwhile, and is recovering: reading the journal, file 3 of 9',
    });
  });

  it('is not said to have been frozen where it is gone; where nobody knows, that is an error [S92]', async () => {
    const capture = await held(FREEZE);
    await thawed(capture);
    node.answers['resumeWriting'] = () => {
      throw new Refusal(status.UNAVAILABLE, 'it is busy', 'wait');
    };
    expect(await codeOf(capture.collect())).to.equal('participant-unavailable');
    node.close();
    const { suspension } = await capture.collect();
    expect(suspension).to.have.property('held', false);
  });

  it('is not said to have been quiesced where its database files could be written [S75]', async () => {
    const capture = await held(QUIESCE);
    node.answers['resumeWriting'] = () => ({ held: false });
    const proof = await thawed(capture);
    expect(proof).to.include({ type: 'alreadyResumed' });
    expect(proof)
      .to.have.property('cause')
      .that.matches(/database files could be written/);
  });

  it('has its quiesce renewed by the coordinator’s word [S73]', async () => {
    const capture = await held(QUIESCE);
    const before = node.calls.filter((name) => name === 'renew').length;
    capture.renew();
    await until('the word to arrive', () => node.calls.filter((name) => name === 'renew').length > before);
    expect(lost).to.deep.equal([]);
  });

  it('is given up at once where the process says that it holds nothing any more, not when its job has copied for hours', async () => {
    for (const [purpose, now] of [
      [QUIESCE, { ...HELD, quiesced: false }],
      [QUIESCE, { ...HELD, writingSuspended: false }],
      [FREEZE, FREE],
    ] as const) {
      const capture = await held(purpose);
      if (purpose.type === 'freeze') await thawed(capture);
      node.answers['renew'] = () => ({ held: now });
      capture.renew();
      await until('it to be given up', () => lost.length > 0);
      expect(lost.splice(0).map(({ code }) => code)).to.deep.equal(['hold-lost']);
      node.answers['renew'] = () => ({ held: HELD });
      await capture.abort();
    }
  });

  it('is given up at once where its process is gone, or came anew', async () => {
    const capture = await held(FREEZE);
    await thawed(capture);
    node.answers['renew'] = () => {
      throw new Refusal(status.UNAVAILABLE, 'it is busy', 'wait');
    };
    const asks = (): number => node.calls.filter((name) => name === 'describe').length;
    const before = asks();
    capture.renew();
    await until('it to be looked at', () => asks() > before);
    expect(lost).to.deep.equal([]);
    node.incarnation = 'two';
    capture.renew();
    await until('it to be given up', () => lost.length > 0);
    expect(lost.splice(0)[0]?.message).to.match(/restarted meanwhile/);
    const another = await held(QUIESCE).catch(() => null);
    expect(another).to.not.equal(null);
    node.close();
    another?.renew();
    await until('it to be given up', () => lost.length > 0);
    expect(lost[0]?.message).to.match(/does not run any more/);
  });

  it('that does not come to rest in the time is told with the kinds of activity that kept it from it [S72]', async () => {
    node.answers['quiesce'] = () => ({
      quiesced: false,
      notQuiesced: ['a scan of table orders by client 7', 'a write'],
    });
    const capture = begun({ ...QUIESCE, timeOutMs: 700 });
    await capture.prepare();
    await capture.arm(token());
    const { failure } = await failureOf(capture.freeze(token()));
    expect(failure.code).to.equal('fence-not-reached');
    expect(failure.message).to.equal(
      'it did not come to rest in 700 ms: a scan of table orders by client 7, a write',
    );
  });

  it('is refused at the arm where its write daemon does not wait any more', async () => {
    const capture = begun(FREEZE);
    await capture.prepare();
    const { describe: said } = node.answers;
    node.answers['describe'] = (request) => ({ ...said?.(request), held: FREE });
    expect(await codeOf(capture.arm(token()))).to.equal('hold-lost');
  });

  it('is held anew, and let go of, while the journal of an attempt that was given up is still read', async () => {
    // Empty, but to read it takes a quarter of an hour.
    truncateSync(join(node.live, 'journal/7'), 2 ** 40);
    node.answers['switchJournal'] = () => ({ journalFile: '7', length: 2n ** 40n });
    const capture = await held({ type: 'journalCheckpoint' });
    expect((await thawed(capture)).type).to.equal('held');
    await capture.arm(token());
    await capture.freeze(token());
    expect((await thawed(capture)).type).to.equal('held');
    await capture.abort();
  });

  it('is let go of, unproven, where its journal cannot be looked at in time', async () => {
    const capture = await held(QUIESCE);
    const { read } = JournalWatch.prototype;
    JournalWatch.prototype.read = () => new Promise(() => undefined);
    try {
      const proof = await thawed(capture);
      expect(proof.type).to.equal('broken');
      expect(proof)
        .to.have.property('cause')
        .that.matches(/cannot be read/);
      expect(calls().slice(3)).to.deep.equal(['resume', 'resumeWriting']);
    } finally {
      JournalWatch.prototype.read = read;
    }
  });

  it('with a database that is not journaled is warned of, loudly, and of a freeze before all [S86]', async () => {
    const { describe: said } = node.answers;
    node.answers['describe'] = (request) => ({
      ...said?.(request),
      held: FREE,
      unjournaled: ['scratch', 'sessions'],
    });
    const { warnings, problems } = await describeNative(node.settings, false);
    expect(problems).to.deep.equal([]);
    expect(warnings.map(({ code }) => code)).to.deep.equal(['database-not-journaled']);
    expect(warnings.map(warningLine)[0]).to.match(/scratch, sessions .*LOST where the process crashes/);
  });

  it('says for how long updates would go on in its memory, where it knows that [S130]', async () => {
    const { describe: said } = node.answers;
    const told = async (updatesHaveRoomMs?: number): Promise<unknown> => {
      node.answers['describe'] = (request) => ({ ...said?.(request), held: FREE, updatesHaveRoomMs });
      const { problems, ...described } = await describeNative(node.settings, false);
      return problems[0]?.code ?? described.updatesHaveRoomMs;
    };
    expect([await told(40_000), await told(0), await told()]).to.deep.equal([40_000, 0, null]);
    for (const nothing of [-1, NaN, Infinity]) expect(await told(nothing)).to.equal('participant-contract');
  });

  it('says that its clients wait, where they do [S84]', async () => {
    const { describe: said } = node.answers;
    node.answers['describe'] = (request) => ({ ...said?.(request), held: { ...HELD, updatesWait: true } });
    const { warnings } = await describeNative(node.settings, true);
    expect(warnings.map(({ code }) => code)).to.deep.equal(['updates-wait']);
  });

  it('is told as recovering, not as failed, while it reads its journal after a crash [S87]', async () => {
    const { describe: said } = node.answers;
    node.answers['describe'] = (request) => ({
      ...said?.(request),
      held: FREE,
      recovering: 'reading the journal, file 3 of 9',
    });
    const { running, problems } = await describeNative(node.settings, false);
    expect(running).to.equal(true);
    expect(problems.map(({ code, message }) => `${code}: ${message}`)).to.deep.equal([
      'member-recovering: it is recovering: reading the journal, file 3 of 9',
    ]);
  });
});

async function failureOf(call: Promise<unknown>): Promise<StillpointError> {
  const error = await call.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof StillpointError) return error;
  throw new Error('it was not refused', { cause: error });
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  return (await failureOf(call)).failure.code;
}

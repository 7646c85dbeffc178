import { expect } from 'chai';
import { Capture } from '../../agent/capture.ts';
import type { Copy, Hold, Journal, Parts } from '../../agent/engines/engine.ts';
import { BY_ITSELF } from '../../shared/domain/assignment.ts';
import type { StillpointError } from '../../shared/domain/errors.ts';

// Goal: hold, copy and journal have their turn in one order, whichever of them a member has. Method: parts that note it.

const MARK = { journalFile: 'j', position: '7', name: 'm' };
const token = { epoch: 0, counter: 1, attempt: 1 };

function partsOf(calls: string[], changes: Partial<Parts> = {}): Parts {
  const noting =
    <T>(call: string, value: T) =>
    (): Promise<T> => {
      calls.push(call);
      return Promise.resolve(value);
    };
  const hold: Hold = {
    prepare: noting('hold', undefined),
    arm: noting('arm', { incarnation: 'i' }),
    disarm: noting('disarm', undefined),
    freeze: noting('freeze', { incarnation: 'i', mark: MARK, fencedAt: 0, markedAt: 0 }),
    thaw: noting('thaw', { type: 'held', incarnation: 'i' } as const),
    release: noting('release', undefined),
  };
  const copy: Copy = {
    begin: noting('copy', undefined),
    finish: (mark) => noting(`finish copy at ${mark?.position}`, 'facts')(),
    abandon: noting('abandon', undefined),
  };
  const journal: Journal = {
    follow: noting('follow', undefined),
    finish: (mark) => noting(`finish journal at ${mark.position}`, undefined)(),
    release: noting('end journal', undefined),
  };
  return { hold, copy, journal, ...changes };
}

describe('the parts of a checkpoint of one member', () => {
  it('begin with the hold, follow the journal before the copy begins, and end with the hold', async () => {
    const calls: string[] = [];
    const capture = new Capture(partsOf(calls), BY_ITSELF);
    await capture.prepare();
    await capture.pause();
    await capture.arm(token);
    await capture.freeze(token);
    await capture.thaw(token, () => undefined);
    expect(await capture.collect()).to.deep.equal({
      assignment: BY_ITSELF,
      mark: MARK,
      engineFacts: 'facts',
      warnings: [],
    });
    await capture.close();
    expect(calls.join(', ')).to.equal(
      'hold, follow, copy, arm, freeze, thaw, finish journal at 7, finish copy at 7, release, end journal',
    );
  });

  it('let a suspended write daemon go on before anything is stored: clients may wait for it', async () => {
    const calls: string[] = [];
    const noted = (call: string): Promise<{ held: true }> => {
      calls.push(call);
      return Promise.resolve({ held: true });
    };
    const suspension = {
      suspend: async () => void (await noted('suspend')),
      resume: () => noted('resume'),
    };
    const capture = new Capture(partsOf(calls, { suspension }), BY_ITSELF, {
      type: 'freeze',
      timeOutMs: 1000,
    });
    await capture.prepare();
    await capture.arm(token);
    await capture.freeze(token);
    await capture.thaw(token, () => undefined);
    expect((await capture.collect()).suspension).to.deep.equal({ held: true });
    expect(calls.slice(-4)).to.deep.equal(['thaw', 'resume', 'finish journal at 7', 'finish copy at 7']);
  });

  it('have the mark of the last freeze, and none after an arm that was not followed by one', async () => {
    const capture = new Capture(partsOf([], { journal: null, copy: null }), BY_ITSELF);
    await capture.arm(token);
    await capture.freeze(token);
    await capture.arm({ ...token, attempt: 2 });
    expect((await capture.collect()).mark).to.equal(null);
  });

  it('let go at once in an abort, whatever the copy still does, and have all ended when it is told of', async () => {
    const calls: string[] = [];
    const slow = Promise.withResolvers<void>();
    const { copy } = partsOf(calls);
    const capture = new Capture(
      partsOf(calls, { copy: copy === null ? null : { ...copy, abandon: () => slow.promise } }),
      BY_ITSELF,
    );
    let isOver = false;
    const aborted = capture.abort().then(() => (isOver = true));
    expect(calls).to.deep.equal(['release', 'end journal']);
    await new Promise((resolve) => setImmediate(resolve));
    expect(isOver).to.equal(false);
    slow.resolve();
    await aborted;
  });

  it('are let go of by an abort alone when it has overtaken the end: later another operation has the member', async () => {
    const calls: string[] = [];
    const capture = new Capture(partsOf(calls), BY_ITSELF);
    await capture.prepare();
    await capture.abort();
    calls.length = 0;
    await capture.close();
    expect(calls).to.deep.equal([]);
  });

  it('are not begun any more when an abort comes between two of them', async () => {
    const calls: string[] = [];
    const slow = Promise.withResolvers<void>();
    const { hold } = partsOf(calls);
    const slowly = hold === null ? null : { ...hold, prepare: () => slow.promise };
    const capture = new Capture(partsOf(calls, { hold: slowly }), BY_ITSELF);
    const prepared = capture.prepare().catch((error: unknown) => (error as StillpointError).failure.code);
    await capture.abort();
    slow.resolve();
    expect(await prepared).to.equal('aborted');
    expect(calls).to.deep.equal(['release', 'end journal', 'abandon']);
  });

  it('end all, also where one of them fails, and say so', async () => {
    const calls: string[] = [];
    const { hold } = partsOf(calls);
    const failing = hold === null ? null : { ...hold, release: () => Promise.reject(new Error('no way in')) };
    const failure = await new Capture(partsOf(calls, { hold: failing }), BY_ITSELF).abort().catch(String);
    expect(failure).to.equal('Error: no way in');
    expect(calls).to.deep.equal(['end journal', 'abandon']);
  });

  it('are only collected where the lead of a domain holds: a freeze is none of them', async () => {
    const calls: string[] = [];
    const capture = new Capture(partsOf(calls, { hold: null, journal: null }), {
      hold: 'none',
      part: 'whole',
    });
    await capture.prepare();
    expect(() => capture.arm(token)).to.throw('the lead of its domain holds it');
    await capture.collect();
    await capture.close();
    await capture.abort();
    expect(calls).to.deep.equal(['copy', 'finish copy at undefined', 'abandon']);
  });

  it('keep nothing of a journal that was followed for the proof alone', async () => {
    const calls: string[] = [];
    const capture = new Capture(partsOf(calls, { copy: null }), { hold: 'member', part: 'none' });
    await capture.prepare();
    await capture.freeze(token);
    expect((await capture.collect()).engineFacts).to.equal(null);
    expect(calls).to.deep.equal(['hold', 'follow', 'freeze']);
  });

  it('are not begun where the journal alone is asked of an engine that has none', async () => {
    const calls: string[] = [];
    const capture = new Capture(partsOf(calls, { journal: null }), { hold: 'member', part: 'journal' });
    const failure = await capture
      .prepare()
      .catch((error: unknown) => (error as StillpointError).failure.code);
    expect(failure).to.equal('assignment-unfit');
    expect(calls).to.deep.equal([]);
  });
});

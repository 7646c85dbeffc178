import { expect } from 'chai';
import { PassThrough } from 'node:stream';
import { listenForCancellation, type Words } from '../../../coordinator/cancellation.ts';
import { untilLetGo } from '../../../coordinator/jobs/occupations.ts';
import type { HeldGrid } from '../../../coordinator/jobs/hold-report.ts';
import { until } from '../../lab/processes.ts';

// Goal: what a person or a script says ends what is held, and nothing else does.

const HELD = {} as HeldGrid;
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a grid that is held until it is let go', () => {
  function held(): { input: PassThrough; isOver: () => boolean; occupation: ReturnType<typeof untilLetGo> } {
    const input = new PassThrough();
    let over = false;
    const occupation = untilLetGo(() => Promise.resolve(), input);
    return {
      input,
      occupation: { ...occupation, begin: (grid) => occupation.begin(grid).then(() => void (over = true)) },
      isOver: () => over,
    };
  }

  it('is let go by a line, and by a word from elsewhere', async () => {
    for (const by of ['line', 'word']) {
      const { input, occupation, isOver } = held();
      const begun = occupation.begin(HELD);
      await settled();
      expect(isOver()).to.equal(false);
      if (by === 'line') input.write('\n');
      else occupation.letGoAsked({ type: 'elsewhere', who: 'anna' });
      await begun;
      await occupation.end('proven');
    }
  });

  it('is not let go by what was typed before, nor where nobody can type: a service has no input', async () => {
    const { input, occupation, isOver } = held();
    input.write('early\n');
    await settled();
    void occupation.begin(HELD);
    await settled();
    input.end();
    await until('the end of the input', () => input.readableEnded);
    await settled();
    expect(isOver()).to.equal(false);
    occupation.letGoAsked({ type: 'signal', who: 'SIGTERM' });
    await settled();
    expect(isOver()).to.equal(true);
    await occupation.end('proven');
  });
});

describe('the words to a command', () => {
  let words: Words & { stop(): void };

  afterEach(() => words.stop());

  const said = (): string =>
    [words.letGo, words.signal, words.second].map(({ aborted }) => (aborted ? 'yes' : 'no')).join(' ');

  it('of what holds until it is let go: SIGTERM lets go, and a second one aborts', () => {
    words = listenForCancellation(null, { letsGo: true });
    const heard: string[] = [];
    for (let time = 0; time < 3; time += 1) {
      process.emit('SIGTERM', 'SIGTERM');
      heard.push(said());
    }
    expect(heard).to.deep.equal(['yes no no', 'yes yes no', 'yes yes yes']);
  });

  it('of all others: both signals abort; and Ctrl-C always does', () => {
    words = listenForCancellation(null);
    process.emit('SIGTERM', 'SIGTERM');
    expect(said()).to.equal('no yes no');
    words.stop();
    words = listenForCancellation(null, { letsGo: true });
    process.emit('SIGINT', 'SIGINT');
    expect(said()).to.equal('no yes no');
  });
});

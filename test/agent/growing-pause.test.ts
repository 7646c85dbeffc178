import { expect } from 'chai';
import { GrowingPause } from '../../agent/growing-pause.ts';
import type { Failure } from '../../shared/domain/errors.ts';

const failure = (code: string, message = code): Failure => ({ code, message, hint: '' });

describe('the pauses between attempts at what fails', () => {
  it('grow to half a minute, and begin anew with another failure', () => {
    const pause = new GrowingPause();
    const pauses: number[] = [];
    for (let failures = 0; failures < 30; failures += 1) {
      pause.failed(failure('unreachable'));
      pauses.push(pause.pauseMs);
    }
    expect(pauses[0]).to.be.lessThan(500);
    expect(pauses.at(-1)).to.equal(30_000);
    expect([...pauses].sort((a, b) => a - b)).to.deep.equal(pauses);

    pause.failed(failure('starting'));
    expect(pause.pauseMs).to.equal(pauses[0]);
  });

  it('are worth a line of the log when the failure is another than before', () => {
    const pause = new GrowingPause();
    const news = ['a', 'a', 'a', 'b', 'b', 'a'].map((code) => pause.failed(failure(code)));
    expect(news).to.deep.equal([true, false, false, true, false, true]);
  });
});

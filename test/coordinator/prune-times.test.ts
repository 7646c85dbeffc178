import { expect } from 'chai';
import { checkTimes } from '../../coordinator/prune-times.ts';
import { formatCheckpointId } from '../../shared/domain/checkpoint-id.ts';
import { StillpointError } from '../../shared/domain/errors.ts';

// Goal: a clock that is wrong, anywhere, makes nobody's checkpoints old.

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = Date.UTC(2026, 10, 20, 12);

/** So many days before now, newest first. */
function checkpoints(...days: number[]): string[] {
  return days.map((ago, index) =>
    formatCheckpointId({
      at: new Date(NOW - ago * DAY),
      epoch: 0,
      counter: days.length - index,
      name: 'nightly',
    }),
  );
}

describe('the times of checkpoints', () => {
  const believed: Record<string, string[]> = {
    'every night': checkpoints(0.5, 1.5, 2.5, 3.5, 4.5),
    'every night but for a week': checkpoints(0.5, 1.5, 8.5, 9.5, 10.5),
    'every quarter of an hour, after a day of silence': checkpoints(1, 1.01, 1.02, 1.03),
    'every week': checkpoints(6, 13, 20, 27),
    'two only': checkpoints(1, 400),
    none: [],
  };
  for (const [what, times] of Object.entries(believed)) {
    it(`are believed: ${what}`, () => expect(() => checkTimes(times, NOW)).not.to.throw());
  }

  const doubted: Record<string, [string[], string, string]> = {
    'one is of tomorrow': [checkpoints(-1, 1, 2, 3), '2026-11-21T12:00:00.000Z', '2026-11-20T12:00:00.000Z'],
    'an older one is of tomorrow': [
      checkpoints(1, -1, 2, 3),
      '2026-11-21T12:00:00.000Z',
      '2026-11-20T12:00:00.000Z',
    ],
    'the newest was made by a clock that was a month ahead': [
      checkpoints(0, 31, 32, 33, 34),
      '2026-11-20T12:00:00.000Z',
      '2026-10-20T12:00:00.000Z',
    ],
    'it is a month later than it usually is': [
      checkpoints(31, 32, 33, 34),
      '2026-11-20T12:00:00.000Z',
      '2026-10-20T12:00:00.000Z',
    ],
  };
  for (const [what, [times, first, second]] of Object.entries(doubted)) {
    it(`are doubted, with the dates, when ${what}`, () => {
      try {
        checkTimes(times, NOW);
        expect.fail('it was believed');
      } catch (error) {
        if (!(error instanceof StillpointError)) throw error;
        expect(error.failure).to.include({ code: 'time-leap' });
        expect(error.failure.message).to.include(first).and.include(second);
        expect(error.failure.hint).to.include('--accept-times');
        expect(error.exitCode).to.equal(3);
      }
    });
  }
});

import { expect } from 'chai';
import type { KeepRule } from '../../coordinator/keep-rule.ts';
import { planPrune } from '../../coordinator/prune-plan.ts';
import { checkTimes } from '../../coordinator/prune-times.ts';
import { formatCheckpointId } from '../../shared/domain/checkpoint-id.ts';
import { StillpointError } from '../../shared/domain/errors.ts';

// Goal: a clock that is wrong, anywhere, makes nobody's checkpoints old.

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = Date.UTC(2026, 10, 20, 12);
const BY_AGE: KeepRule = { keep: null, keepWithinMs: 30 * DAY, calendar: {} };

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
    it(`are believed: ${what}`, () => expect(() => checkTimes(times, NOW, BY_AGE)).not.to.throw());
  }

  const doubted: Record<string, [string[], string, string, KeepRule?]> = {
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
    'the newest was made by a clock that was a month ahead, and one of each month is kept': [
      checkpoints(0, 31, 32, 33, 34, 50, 80, 110),
      '2026-11-20T12:00:00.000Z',
      '2026-10-20T12:00:00.000Z',
      { ...BY_AGE, calendar: { monthly: 12 } },
    ],
    'the two newest were made by a clock that was a month ahead, and one of each month is kept': [
      checkpoints(0, 1, 32, 33, 34, 50, 80, 110),
      '2026-11-19T12:00:00.000Z',
      '2026-10-19T12:00:00.000Z',
      { ...BY_AGE, calendar: { monthly: 12 } },
    ],
    'two lie further from each other than one of each month does': [
      checkpoints(0, 1, 2, 3, 4, 80),
      '2026-11-16T12:00:00.000Z',
      '2026-09-01T12:00:00.000Z',
      { ...BY_AGE, keepWithinMs: null, calendar: { monthly: 12 } },
    ],
  };
  for (const [what, [times, first, second, rule = BY_AGE]] of Object.entries(doubted)) {
    it(`are doubted, with the dates, when ${what}`, () => {
      try {
        checkTimes(times, NOW, rule);
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

  const policies: Record<string, KeepRule> = {
    'seven days and twelve months': { keep: null, keepWithinMs: null, calendar: { daily: 7, monthly: 12 } },
    'twelve months only': { keep: null, keepWithinMs: null, calendar: { monthly: 12 } },
    'thirty days, all, and what the calendar says': {
      keep: 3,
      keepWithinMs: 30 * DAY,
      calendar: { daily: 60, weekly: 20, monthly: 24, yearly: 10 },
    },
    'three years': { keep: 1, keepWithinMs: null, calendar: { yearly: 3 } },
  };
  for (const [what, rule] of Object.entries(policies)) {
    it(`are believed on each day of five years in which a rule thinned them out: ${what}`, () => {
      let kept: readonly string[] = [];
      for (let day = 1; day <= 5 * 366; day += 1) {
        const at = new Date(NOW + day * DAY);
        const made = formatCheckpointId({ at, epoch: 0, counter: day, name: 'nightly' });
        const all = [made, ...kept];
        checkTimes(all, at.getTime() + HOUR, rule);
        const entries = all.map((checkpoint) => ({ checkpoint, state: 'valid' as const }));
        ({ kept } = planPrune({ entries, local: [], rule, read: [], retained: [] }));
      }
      expect(kept.length).to.be.within(2, 130);
    });
  }
});

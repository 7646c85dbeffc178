import { expect } from 'chai';
import * as fc from 'fast-check';
import { PERIODS, saysSomething, type KeepRule } from '../../coordinator/keep-rule.ts';
import { planPrune, type PrunePlan } from '../../coordinator/prune-plan.ts';
import { formatCheckpointId, parseCheckpointId } from '../../shared/domain/checkpoint-id.ts';

// Goal: no rule ever takes the newest valid checkpoint, and running it again takes nothing more.

const DAY = 24 * 3_600_000;
const NOW = Date.UTC(2026, 10, 20, 12);
type Input = Parameters<typeof planPrune>[0];

/** Checkpoint number `counter`, so many days old; by default the tenth is of today. */
function id(counter: number, days = 10 - counter, epoch = 0): string {
  return formatCheckpointId({ at: new Date(NOW - days * DAY), epoch, counter, name: 'nightly' });
}

const valid = (...checkpoints: string[]): Input['entries'] =>
  checkpoints.map((checkpoint) => ({ checkpoint, state: 'valid' }));
const FOUR = valid(id(10), id(9), id(8), id(7));

function plan(input: Partial<Omit<Input, 'rule'>> & { rule: Partial<KeepRule> }): PrunePlan {
  return planPrune({
    entries: FOUR,
    local: [],
    read: [],
    retained: [],
    ...input,
    rule: { keep: null, keepWithinMs: null, calendar: {}, ...input.rule },
  });
}

describe('what prune deletes', () => {
  const cases: Record<string, [Parameters<typeof plan>[0], readonly string[]]> = {
    'is all but the newest, oldest first': [{ rule: { keep: 2 } }, [id(7), id(8)]],
    'is nothing where there are fewer': [{ rule: { keep: 9 } }, []],
    'is what is older': [{ rule: { keepWithinMs: 2 * DAY } }, [id(7)]],
    'is what neither of two rules keeps': [{ rule: { keep: 1, keepWithinMs: DAY } }, [id(7), id(8)]],
    'is never the newest, however old': [
      { rule: { keepWithinMs: DAY / 2 }, entries: valid(id(4), id(3)) },
      [id(3)],
    ],
    'is counted from the newest, whatever a clock says': [
      { rule: { keepWithinMs: DAY }, entries: valid(id(4), id(3), id(2)) },
      [id(2)],
    ],
    'is nothing that somebody reads': [{ rule: { keep: 1 }, read: [id(8)] }, [id(7), id(9)]],
    'is nothing that is kept for good': [{ rule: { keep: 2 }, retained: [id(8)] }, [id(7)]],
    'is never the newest, whatever is newer and not valid': [
      {
        rule: { keep: 1 },
        entries: [{ checkpoint: id(9), state: 'damaged' }, ...valid(id(8), id(7))],
      },
      [id(7)],
    ],
    'is nothing that is damaged, half deleted or not committed; they take no place': [
      {
        rule: { keep: 2 },
        entries: [
          { checkpoint: id(10), state: 'uncommitted' },
          { checkpoint: id(9), state: 'damaged' },
          { checkpoint: id(8), state: 'deleting' },
          ...valid(id(7), id(6), id(5)),
        ],
      },
      [id(5)],
    ],
    'goes by number and not by a clock that was set back': [
      { rule: { keep: 1 }, entries: valid(id(7, 0), id(8, 5)) },
      [id(7, 0)],
    ],
    'goes by epoch before counter': [{ rule: { keep: 1 }, entries: valid(id(9), id(3, 0, 1)) }, [id(9)]],
    'is nothing of tomorrow': [{ rule: { keepWithinMs: DAY }, entries: valid(id(9), id(8, -1)) }, []],
    'is nothing where nothing is': [{ rule: { keep: 1 }, entries: [] }, []],
  };
  for (const [what, [input, deleted]] of Object.entries(cases)) {
    it(what, () => {
      const made = plan(input);
      expect(made.deleted).to.deep.equal(deleted);
      const all = (input.entries ?? FOUR).filter(({ state }) => state === 'valid');
      expect([...made.kept, ...made.deleted]).to.have.members(all.map(({ checkpoint: one }) => one));
    });
  }

  const locals: Record<string, [readonly string[], readonly string[]]> = {
    'stay with checkpoints that are kept': [[id(10), id(9)], []],
    'go with checkpoints that are deleted, oldest first': [
      [id(9), id(8), id(7)],
      [id(7), id(8)],
    ],
    'of older ones that the repository does not have go': [
      [id(9), id(5), id(6)],
      [id(5), id(6)],
    ],
    'of newer ones that the repository does not have stay': [[id(11)], []],
    'that are no checkpoints are not touched': [['lost+found', id(7)], [id(7)]],
  };
  for (const [what, [checkpoints, dropped]] of Object.entries(locals)) {
    it(`on hosts: copies ${what}`, () => {
      const { local } = plan({ rule: { keep: 2 }, local: [{ host: 'alpha', checkpoints }] });
      expect(local).to.deep.equal(dropped.length === 0 ? [] : [{ host: 'alpha', checkpoints: dropped }]);
    });
  }

  const moments = Object.fromEntries(
    [
      // A Thursday, of the 53rd week of its year; and back through the turns of years.
      '2026-12-31T23:59:59.999Z',
      '2026-12-31T22:00:00.000Z',
      '2026-12-30T22:00:00.000Z',
      '2026-12-28T00:00:00.000Z',
      '2026-12-27T23:00:00.000Z',
      '2026-12-01T00:00:00.000Z',
      '2026-11-30T23:00:00.000Z',
      '2025-12-31T00:00:00.000Z',
      '2024-12-30T00:00:00.000Z',
    ].map((at, index) => [
      at.slice(0, 13),
      formatCheckpointId({ at: new Date(at), epoch: 0, counter: 100 - index, name: 'nightly' }),
    ]),
  );
  const calendars: Record<string, [KeepRule['calendar'], readonly string[]]> = {
    'of each hour': [{ hourly: 3 }, ['2026-12-31T23', '2026-12-31T22', '2026-12-30T22']],
    'of each day, and days without one do not count': [
      { daily: 3 },
      ['2026-12-31T23', '2026-12-30T22', '2026-12-28T00'],
    ],
    'of each week from Monday to Sunday': [{ weekly: 2 }, ['2026-12-31T23', '2026-12-27T23']],
    'of each week also over the turn of a year': [
      { weekly: 5 },
      // The last days of 2025 are of the first week of 2026, those of 2024 of the first week of 2025.
      ['2026-12-31T23', '2026-12-27T23', '2026-12-01T00', '2025-12-31T00', '2024-12-30T00'],
    ],
    'of each month': [{ monthly: 2 }, ['2026-12-31T23', '2026-11-30T23']],
    'of each year': [{ yearly: 2 }, ['2026-12-31T23', '2025-12-31T00']],
    'of each that one of several rules keeps': [
      { daily: 2, yearly: 3 },
      ['2026-12-31T23', '2026-12-30T22', '2025-12-31T00', '2024-12-30T00'],
    ],
  };
  for (const [what, [calendar, kept]] of Object.entries(calendars)) {
    it(`leaves the newest ${what}`, () => {
      const made = plan({ rule: { calendar }, entries: valid(...Object.values(moments)) });
      expect(made.kept).to.deep.equal(kept.map((at) => moments[at]));
    });
  }

  it('says of each that is kept which parts of the rule keep it', () => {
    const { keptBy } = plan({
      rule: {
        keep: 1,
        keepWithinMs: 2 * DAY,
        calendar: { hourly: 1, daily: 1, weekly: 2, monthly: 1, yearly: 1 },
      },
      entries: valid(...Object.values(moments)),
    });
    expect(keptBy).to.deep.equal({
      [moments['2026-12-31T23'] ?? '']: [
        'newest',
        'keep',
        'keep-within',
        'keep-hourly 2026-12-31T23h',
        'keep-daily 2026-12-31',
        'keep-weekly 2026-W53',
        'keep-monthly 2026-12',
        'keep-yearly 2026',
      ],
      [moments['2026-12-31T22'] ?? '']: ['keep-within'],
      [moments['2026-12-30T22'] ?? '']: ['keep-within'],
      [moments['2026-12-27T23'] ?? '']: ['keep-weekly 2026-W52'],
    });
  });

  it('on hosts: copies of what somebody reads stay', () => {
    const local = [{ host: 'alpha', checkpoints: [id(8), id(7)] }];
    expect(plan({ rule: { keep: 1 }, local, read: [id(7)] }).local).to.deep.equal([
      { host: 'alpha', checkpoints: [id(8)] },
    ]);
  });

  it('on hosts: the newest copy stays where the repository has nothing', () => {
    const local = [{ host: 'alpha', checkpoints: [id(3), id(4)] }];
    const made = plan({ rule: { keepWithinMs: DAY / 2 }, entries: [], local });
    expect(made.local).to.deep.equal([{ host: 'alpha', checkpoints: [id(3)] }]);
  });

  it('takes no place in the repository for what only a host has', () => {
    const local = [{ host: 'alpha', checkpoints: [id(12), id(11)] }];
    expect(plan({ rule: { keep: 2 }, local }).kept).to.deep.equal([id(10), id(9)]);
  });

  const checkpoint = fc
    .tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 1, max: 12 }), fc.integer({ min: -3, max: 9 }))
    .map(([epoch, counter, days]) => id(counter, days, epoch));
  const entries = fc.uniqueArray(
    fc.record({
      checkpoint,
      state: fc.constantFrom(
        'valid' as const,
        'damaged' as const,
        'deleting' as const,
        'uncommitted' as const,
      ),
    }),
    { selector: (entry) => entry.checkpoint, maxLength: 15 },
  );
  const local = fc.array(
    fc.record({
      host: fc.constantFrom('alpha', 'beta'),
      checkpoints: fc.array(checkpoint, { maxLength: 8 }),
    }),
    { maxLength: 2 },
  );
  const rule = fc
    .record({
      keep: fc.option(fc.integer({ min: 1, max: 6 })),
      keepWithinMs: fc.option(fc.integer({ min: 0, max: 9 * DAY })),
      calendar: fc.dictionary(fc.constantFrom(...PERIODS), fc.integer({ min: 1, max: 4 })),
    })
    .filter(saysSomething);

  function timeOf(one = ''): number {
    return parseCheckpointId(one)?.at.getTime() ?? 0;
  }

  function numberOf(one: string): number {
    const { epoch = 0, counter = 0 } = parseCheckpointId(one) ?? {};
    return epoch * 1000 + counter;
  }

  it('is never the newest valid one, nor anything that is not valid, nor what a rule keeps', () => {
    fc.assert(
      fc.property(entries, local, rule, (all, copies, keeping) => {
        const made = planPrune({ entries: all, local: copies, rule: keeping, read: [], retained: [] });
        const present = all.filter(({ state }) => state === 'valid').map((entry) => entry.checkpoint);
        expect([...made.kept, ...made.deleted]).to.have.members(present);
        expect(made.kept.length).to.be.at.least(Math.min(present.length, keeping.keep ?? 1));
        const [newest] = made.kept.map(numberOf);
        for (const one of made.deleted) {
          expect(numberOf(one)).to.be.at.most(newest ?? -1);
          const age = timeOf(made.kept[0]) - timeOf(one);
          if (keeping.keepWithinMs !== null) expect(age).to.be.greaterThan(keeping.keepWithinMs);
        }
        const dropped = made.local.flatMap(({ checkpoints }) => checkpoints);
        expect(dropped.filter((one) => made.kept.includes(one))).to.deep.equal([]);
      }),
    );
  });

  it('is nothing more when it is done again', () => {
    fc.assert(
      fc.property(entries, local, rule, (all, copies, keeping) => {
        const made = planPrune({ entries: all, local: copies, rule: keeping, read: [], retained: [] });
        const gone = new Set(made.local.flatMap(({ checkpoints }) => checkpoints));
        const again = planPrune({
          entries: all.filter((entry) => !made.deleted.includes(entry.checkpoint)),
          local: copies.map(({ host, checkpoints }) => ({
            host,
            checkpoints: checkpoints.filter((one) => !gone.has(one)),
          })),
          rule: keeping,
          read: [],
          retained: [],
        });
        expect(again).to.deep.equal({ deleted: [], kept: made.kept, keptBy: made.keptBy, local: [] });
      }),
    );
  });
});

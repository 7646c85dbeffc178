import { expect } from 'chai';
import * as fc from 'fast-check';
import { planPrune, type KeepRule, type PrunePlan } from '../../coordinator/prune-plan.ts';
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
    ...input,
    rule: { keep: null, keepWithinMs: null, ...input.rule },
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
    })
    .filter(({ keep, keepWithinMs }) => keep !== null || keepWithinMs !== null);

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
        const made = planPrune({ entries: all, local: copies, rule: keeping, read: [] });
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
        const made = planPrune({ entries: all, local: copies, rule: keeping, read: [] });
        const gone = new Set(made.local.flatMap(({ checkpoints }) => checkpoints));
        const again = planPrune({
          entries: all.filter((entry) => !made.deleted.includes(entry.checkpoint)),
          local: copies.map(({ host, checkpoints }) => ({
            host,
            checkpoints: checkpoints.filter((one) => !gone.has(one)),
          })),
          rule: keeping,
          read: [],
        });
        expect(again).to.deep.equal({ deleted: [], kept: made.kept, local: [] });
      }),
    );
  });
});

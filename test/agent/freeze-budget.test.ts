import { expect } from 'chai';
import fc from 'fast-check';
import { allowedAt, inherit, remainingMs, spend, type Spending } from '../../agent/freeze-budget.ts';

// Goal: no grid is frozen more often, or for longer, within any hour than its agent's file says, and none is
// locked out for longer than an hour. Method: the pure rule, with times of its own.

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const START = 29_000_000 * MINUTE_MS;
const budget = { perHour: 3, totalMs: 1000 };

function frozen(spending: Spending, at: number, heldMs: number): Spending {
  return spend(spending, at, { at, freezes: 1, heldMs });
}

describe('the freeze budget', () => {
  it('allows as many freezes within an hour as it says, and the next when the first is an hour old', () => {
    let spending: Spending = [];
    for (const minute of [0, 10, 20]) {
      const now = START + minute * MINUTE_MS;
      expect(allowedAt(budget, spending, now)).to.equal(now);
      spending = frozen(spending, now, 1);
    }
    const now = START + 21 * MINUTE_MS;
    const next = allowedAt(budget, spending, now);
    expect(next).to.equal(START + MINUTE_MS + HOUR_MS);
    expect(allowedAt(budget, spending, next - 1)).to.equal(next);
    expect(allowedAt(budget, spending, next)).to.equal(next);
  });

  it('allows as long a hold as is left, and the next freeze when enough of it is an hour old', () => {
    const spending = frozen(frozen([], START, 400), START + 30 * MINUTE_MS, 600);
    expect(remainingMs(budget, frozen([], START, 400), START)).to.equal(600);
    const now = START + 40 * MINUTE_MS;
    expect(remainingMs(budget, spending, now)).to.equal(0);
    expect(allowedAt(budget, spending, now)).to.equal(START + MINUTE_MS + HOUR_MS);
    expect(remainingMs(budget, spending, START + MINUTE_MS + HOUR_MS)).to.equal(400);
  });

  it('gives back what was charged and not used', () => {
    const charged = frozen([], START, 900);
    const corrected = spend(charged, START + 5000, { at: START, freezes: 0, heldMs: -880 });
    expect(remainingMs(budget, corrected, START)).to.equal(980);
    expect(spend(corrected, START, { at: START, freezes: 0, heldMs: -500 })[0]?.heldMs).to.equal(0);
  });

  it('lets a checkpoint every three seconds pass, with three attempts each, held for 80 ms', () => {
    const generous = { perHour: 5000, totalMs: 300_000 };
    let spending: Spending = [];
    for (let now = START; now < START + 3 * HOUR_MS; now += 3000) {
      for (let attempt = 0; attempt < 3; attempt += 1) {
        expect(allowedAt(generous, spending, now)).to.equal(now);
        spending = frozen(spending, now, 80);
      }
    }
    expect(spending.length).to.be.at.most(62);
  });

  it('inherits what an earlier agent spent, and holds it for an hour at most when the clock was set back', () => {
    const spent = frozen(frozen(frozen([], START, 1), START + MINUTE_MS, 1), START + 2 * MINUTE_MS, 1);
    const restarted = START + 5 * MINUTE_MS;
    expect(inherit(spent, restarted)).to.deep.equal(spent);
    expect(allowedAt(budget, inherit(spent, restarted), restarted)).to.equal(START + MINUTE_MS + HOUR_MS);
    // A year back: all of it counts from now.
    const early = START - 365 * 24 * HOUR_MS;
    const inherited = inherit(spent, early);
    expect(inherited).to.deep.equal([{ minute: early / MINUTE_MS, freezes: 3, heldMs: 3 }]);
    expect(allowedAt(budget, inherited, early)).to.equal(early + MINUTE_MS + HOUR_MS);
    // Far ahead: it is as if an hour had passed.
    expect(inherit(spent, START + 2 * HOUR_MS)).to.deep.equal([]);
  });

  it('is never exceeded within any hour, whenever freezes are asked for and however long they are', () => {
    const asked = fc.array(
      fc.record({ afterMs: fc.integer({ min: 0, max: 20 * MINUTE_MS }), wantedMs: fc.nat(2000) }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(asked, (all) => {
        let spending: Spending = [];
        let now = START;
        const done: { at: number; heldMs: number }[] = [];
        for (const { afterMs, wantedMs } of all) {
          now += afterMs;
          const next = allowedAt(budget, spending, now);
          expect(next - now).to.be.at.most(HOUR_MS + MINUTE_MS);
          if (next > now) continue;
          const heldMs = Math.min(wantedMs, remainingMs(budget, spending, now));
          spending = frozen(spending, now, heldMs);
          done.push({ at: now, heldMs });
        }
        for (const { at } of done) {
          const within = done.filter((one) => one.at >= at && one.at < at + HOUR_MS);
          expect(within.length).to.be.at.most(budget.perHour);
          expect(within.reduce((sum, one) => sum + one.heldMs, 0)).to.be.at.most(budget.totalMs);
        }
      }),
    );
  });
});

import { expect } from 'chai';
import fc from 'fast-check';
import { clockOffset, ShortestRoundTrip, type RoundTrip } from '../../../coordinator/trace/clock-offset.ts';

// Goal: a moment of another host is put where it was, no further off than is said. Method: round trips over a clock of which
// the test knows how it stands, with ways there and back of any length.

/** What is seen of a clock that shows `theirs(ours)` while the message is on its way. */
function roundTrip(
  sentMs: number,
  thereMs: number,
  backMs: number,
  theirs: (ms: number) => number,
): RoundTrip {
  const atMs = sentMs + thereMs;
  return { sentMs, theirMs: theirs(atMs), receivedMs: atMs + backMs };
}

describe('the clock of another host', () => {
  const way = fc.double({ min: 0.01, max: 5, noNaN: true });

  it('is known as well as it says, whatever the ways there and back took', () => {
    fc.assert(
      fc.property(fc.double({ min: -1e9, max: 1e9, noNaN: true }), way, way, (offset, there, back) => {
        const theirs = (ms: number): number => ms + offset;
        const trip = roundTrip(1000, there, back, theirs);
        const clock = clockOffset([trip], false);
        expect(clock?.uncertaintyMs).to.be.closeTo((there + back) / 2, 1e-6);
        const wrongBy = Math.abs((clock?.toOurs(theirs(5000)) ?? Number.NaN) - 5000);
        expect(wrongBy).to.be.at.most((clock?.uncertaintyMs ?? 0) + 1e-6);
      }),
    );
  });

  it('may run faster or slower: what lies between two round trips is put between them', () => {
    fc.assert(
      fc.property(fc.double({ min: -1e-3, max: 1e-3, noNaN: true }), way, way, (drift, there, back) => {
        const theirs = (ms: number): number => 77_000 + ms * (1 + drift);
        const trips = [roundTrip(1000, there, back, theirs), roundTrip(3_601_000, back, there, theirs)];
        const clock = clockOffset(trips, false);
        for (const ours of [1000, 900_000, 1_800_000, 3_601_000]) {
          const wrongBy = Math.abs((clock?.toOurs(theirs(ours)) ?? Number.NaN) - ours);
          expect(wrongBy).to.be.at.most((clock?.uncertaintyMs ?? 0) + 0.05);
        }
      }),
    );
  });

  it('is ours on one machine, and nothing is converted', () => {
    const trips = [roundTrip(1000, 0.2, 3, (ms) => ms), roundTrip(9000, 1, 0.1, (ms) => ms)];
    const clock = clockOffset(trips, true);
    expect(clock).to.include({ isOurs: true, offsetMs: 0, uncertaintyMs: 0 });
    expect(clock?.toOurs(1234.5678)).to.equal(1234.5678);
  });

  it('is not taken for ours where a round trip speaks against it, whatever the two say', () => {
    const clock = clockOffset([roundTrip(1000, 0.2, 0.3, (ms) => ms + 60_000)], true);
    expect(clock?.isOurs).to.equal(false);
    expect(clock?.toOurs(61_000)).to.be.closeTo(1000, 0.25);
  });

  it('is taken from the shortest of many round trips', () => {
    const shortest = new ShortestRoundTrip();
    const theirs = (ms: number): number => ms - 50;
    for (const [there, back] of [
      [9, 0.1],
      [0.2, 0.1],
      [0.1, 7],
    ] as const)
      shortest.note(roundTrip(1000, there, back, theirs));
    expect(
      clockOffset(
        [shortest.trip].filter((trip) => trip !== null),
        false,
      )?.uncertaintyMs,
    ).to.be.closeTo(0.15, 1e-9);
  });

  it('is not known without a round trip', () => {
    expect(clockOffset([], true)).to.equal(null);
  });
});

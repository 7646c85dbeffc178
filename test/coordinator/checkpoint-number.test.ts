import { expect } from 'chai';
import { highestKnown } from '../../coordinator/checkpoint-number.ts';
import { realm, realmGrid } from './realm-grid.ts';

// Goal: two checkpoints never share a number, whoever has forgotten the earlier ones.

describe('the number of a checkpoint', () => {
  const zero = { epoch: 0, counter: 0 };
  const seven = { epoch: 1, counter: 7 };
  const knowing = { highestEpoch: 1, highestCounter: 7 };

  const known: Record<string, Parameters<typeof highestKnown>> = {
    'the repository': [seven, realmGrid()],
    'an agent': [zero, realmGrid().map((host, index) => (index === 4 ? { ...host, ...knowing } : host))],
    'the realm': [zero, realmGrid({ r1: { realm: realm(knowing) } })],
    'a satellite, whose primary was restored': [zero, realmGrid({ r2: { realm: realm(knowing) } })],
    'one of them the epoch and another the counter': [
      { epoch: 0, counter: 7 },
      realmGrid({ r1: { realm: realm({ highestEpoch: 1, highestCounter: 3 }) } }),
    ],
  };
  for (const [who, input] of Object.entries(known)) {
    it(`is above what is known to ${who} [S38]`, () => {
      expect(highestKnown(...input)).to.deep.equal(seven);
    });
  }
});

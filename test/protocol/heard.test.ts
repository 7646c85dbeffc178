import { expect } from 'chai';
import fc from 'fast-check';
import { Heard } from '../../shared/protocol/heard.ts';

// Goal: what was heard is a map that never changes. Method: any additions to any of the maps there are, beside plain maps.

const additions = fc.array(
  fc.record({ to: fc.nat(), name: fc.constantFrom('a', 'b', 'c', 'd'), value: fc.nat(9) }),
  { maxLength: 30 },
);

describe('what was heard from each member', () => {
  it('is what a copied map would be, also for whoever has an earlier one', () => {
    fc.assert(
      fc.property(additions, (steps) => {
        const made: { readonly heard: Heard<number>; readonly plain: ReadonlyMap<string, number> }[] = [
          { heard: Heard.of(new Map([['z', 0]])), plain: new Map([['z', 0]]) },
        ];
        for (const { to, name, value } of steps) {
          const from = made[to % made.length];
          if (from === undefined) return;
          made.push({
            heard: from.heard.with(name, value),
            plain: new Map(from.plain).set(name, value),
          });
        }
        for (const { heard, plain } of made) {
          expect([...heard]).to.deep.equal([...plain]);
          expect([...heard.keys(), ...heard.values()]).to.deep.equal([...plain.keys(), ...plain.values()]);
          expect(heard.size).to.equal(plain.size);
          for (const name of 'abcdz') {
            expect(heard.has(name)).to.equal(plain.has(name));
            expect(heard.get(name)).to.equal(plain.get(name));
          }
          const told: [string, number][] = [];
          heard.forEach((value, name) => told.push([name, value]));
          expect(told).to.deep.equal([...plain]);
        }
      }),
    );
  });

  it('has the entries of the one that it was made from, and shares no change with a map', () => {
    const plain = new Map([['a', 1]]);
    const heard = Heard.of(plain);
    plain.set('b', 2);
    expect(Heard.of(heard)).to.equal(heard);
    expect([...heard]).to.deep.equal([['a', 1]]);
  });
});

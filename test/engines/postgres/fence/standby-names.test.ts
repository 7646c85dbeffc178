import { expect } from 'chai';
import {
  mentionsStandby,
  namesStandby,
  parseStandbyNames,
  priorityOf,
  withStandby,
} from '../../../../agent/engines/postgres/fence/standby-names.ts';

describe('synchronous_standby_names', () => {
  const lists: readonly { given: string; armed: string | null }[] = [
    { given: '', armed: 'FIRST 1 (stillpoint)' },
    { given: '  ', armed: 'FIRST 1 (stillpoint)' },
    { given: 'a', armed: 'FIRST 2 (stillpoint, a)' },
    { given: 'a, b', armed: 'FIRST 2 (stillpoint, a, b)' },
    { given: '*', armed: 'FIRST 2 (stillpoint, *)' },
    { given: '2 (a, b, c)', armed: 'FIRST 3 (stillpoint, a, b, c)' },
    { given: '2(a,b)', armed: 'FIRST 3 (stillpoint, a, b)' },
    { given: 'FIRST 1 (a)', armed: 'FIRST 2 (stillpoint, a)' },
    { given: 'first 10 ( a , "b, c" )', armed: 'FIRST 11 (stillpoint, a, "b, c")' },
    { given: '"say ""hi""", b', armed: 'FIRST 2 (stillpoint, "say ""hi""", b)' },
    { given: '"FIRST 1 (x)"', armed: 'FIRST 2 (stillpoint, "FIRST 1 (x)")' },
    { given: 'FIRST 1 (")", b)', armed: 'FIRST 2 (stillpoint, ")", b)' },
    { given: '1, 2', armed: 'FIRST 2 (stillpoint, 1, 2)' },
    { given: 'ANY 1 (a, b)', armed: null },
    { given: 'any 2(a,b,c)', armed: null },
    { given: 'anyone, firstborn', armed: 'FIRST 2 (stillpoint, anyone, firstborn)' },
  ];
  for (const { given, armed } of lists) {
    it(`'${given}' ${armed === null ? 'needs the variant' : `waits for us too as '${armed}'`}`, () => {
      expect(withStandby(given, 'stillpoint')).to.equal(armed);
    });
  }

  it('is taken apart into method, count and names', () => {
    expect(parseStandbyNames('ANY 2 (a, "b c", *)')).to.deep.equal({
      method: 'any',
      count: 2,
      names: ['a', '"b c"', '*'],
    });
  });

  it('gives each standby the priority that the server gives it', () => {
    expect(priorityOf('FIRST 2 (stillpoint, a, B)', 'b')).to.equal(3);
    expect(priorityOf('a, *', 'anyone')).to.equal(2);
    expect(priorityOf('ANY 1 (a, b)', 'b')).to.equal(1);
    expect(priorityOf('ANY 1 (a, b)', 'c')).to.equal(0);
    expect(priorityOf('"*"', 'anyone')).to.equal(1);
    expect(priorityOf('', 'anyone')).to.equal(0);
  });

  it('knows whether a standby counts, and whether it is named', () => {
    expect(mentionsStandby('a, *', 'stillpoint')).to.equal(true);
    expect(namesStandby('a, *', 'stillpoint')).to.equal(false);
    expect(namesStandby('FIRST 1 (a, "StillPoint")', 'stillpoint')).to.equal(true);
    expect(namesStandby('', 'stillpoint')).to.equal(false);
  });
});

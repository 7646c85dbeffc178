import { expect } from 'chai';
import { FAULT_KINDS } from '../../scripts/soaking/fault-kinds.ts';
import { kindOf, planOf, type Turn, type Victim } from '../../scripts/soaking/plan.ts';

// Goal: what a soak does to its grid depends on its seed alone, and leaves nothing out.

const VICTIMS: readonly Victim[] = [
  { name: 'first', standby: false, mortal: true },
  { name: 'lasting', standby: false, mortal: false },
  { name: 'standby', standby: true, mortal: true },
];

function turns(seed: number, count: number, withFaults = true): Turn[] {
  const plan = planOf({ seed, everyMs: 5000, victims: VICTIMS, withFaults });
  return Array.from({ length: count }, () => plan.next().value);
}

describe('the plan of a soak', () => {
  it('is the same for the same seed, and another for another', () => {
    expect(turns(7, 200)).to.deep.equal(turns(7, 200));
    expect(turns(7, 200)).to.not.deep.equal(turns(8, 200));
  });

  it('has no fault in the first checkpoint, and one in about three of the others', () => {
    for (const seed of [1, 2, 3]) {
      const planned = turns(seed, 600);
      expect(planned[0]?.fault).to.equal(null);
      expect(planned.filter(({ fault }) => fault !== null).length).to.be.within(150, 250);
    }
  });

  it('comes to every kind of fault before one comes again', () => {
    const faults = turns(11, 200).flatMap(({ fault }) => (fault === null ? [] : [fault.kind]));
    expect(faults.slice(0, FAULT_KINDS.length)).to.have.members(FAULT_KINDS.map(({ name }) => name));
  });

  it('keeps to what the kind of fault allows: moments, victims, lengths', () => {
    for (const { fault } of turns(13, 2000)) {
      if (fault === null) continue;
      const { moments, victims, lastsMs = [0, 0] } = kindOf(fault);
      expect(moments).to.include(fault.moment);
      expect(fault.lastsMs).to.be.within(...lastsMs);
      if (victims === 'mortal') expect(fault.member).to.not.equal('lasting');
      if (victims === 'primary') expect(fault.member).to.not.equal('standby');
      if (victims === 'standby') expect(fault.member).to.equal('standby');
    }
  });

  it('has the same pauses without faults', () => {
    const pauses = (planned: readonly Turn[]): number[] => planned.map(({ everyMs }) => everyMs);
    expect(pauses(turns(17, 50, false))).to.deep.equal(pauses(turns(17, 50)));
    expect(turns(17, 50, false).every(({ fault }) => fault === null)).to.equal(true);
  });
});

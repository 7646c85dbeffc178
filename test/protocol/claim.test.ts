import { expect } from 'chai';
import { decideClaim } from '../../shared/protocol/claim.ts';
import { grantLease } from '../../shared/protocol/lease.ts';

describe('the claim of a grid', () => {
  const held = { operation: 'one', holder: 'ann@alpha pid 7', lease: grantLease(1000, 0) };

  it('is granted when nobody holds it', () => {
    expect(decideClaim(null, 'two', 0)).to.deep.equal({ type: 'grant' });
  });

  it('is refused with the name of the holder while the holder speaks', () => {
    expect(decideClaim(held, 'two', 999)).to.deep.equal({ type: 'refuse', holder: 'ann@alpha pid 7' });
  });

  it('is taken over when the holder was silent for its lease, and by the same operation at once', () => {
    expect(decideClaim(held, 'two', 1000)).to.deep.equal({ type: 'takeOver' });
    expect(decideClaim(held, 'one', 1)).to.deep.equal({ type: 'takeOver' });
  });

  it('is taken up on a new stream by the same operation alone, however long it was silent', () => {
    expect(decideClaim(held, 'one', 5000, true)).to.deep.equal({ type: 'resume' });
    expect(decideClaim(held, 'two', 1000, true)).to.deep.equal({ type: 'takeOver' });
    expect(decideClaim(held, 'two', 999, true)).to.deep.include({ type: 'refuse' });
  });
});

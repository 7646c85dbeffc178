import { userInfo } from 'node:os';
import { expect } from 'chai';
import { userNamed } from '../../../agent/engines/restore/owner.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';

describe('a user that the agent file names', () => {
  it('has the numbers that the host gives him', async () => {
    const { username, uid, gid } = userInfo();
    expect(await userNamed(username, 'owner')).to.deep.equal({ uid, gid });
    expect(await userNamed(username, 'owner')).to.deep.equal({ uid, gid });
  });

  for (const user of ['nobody-of-this-name', '-u', '']) {
    it(`is refused where there is none: '${user}'`, async () => {
      const error = await userNamed(user, 'run.user').catch((caught: unknown) => caught);
      expect(error).to.be.instanceOf(StillpointError);
      expect((error as StillpointError).failure).to.include({ code: 'unknown-user' });
      expect((error as StillpointError).failure.hint).to.include('run.user');
    });
  }
});

import { expect } from 'chai';
import { planRestore } from '../../coordinator/restore-plan.ts';
import { checkTargets } from '../../coordinator/restore-target.ts';
import type { StillpointError } from '../../shared/domain/errors.ts';
import type { MemberDescription } from '../../shared/domain/grid.ts';
import { describedHost, describedMember, manifestOf } from './descriptions.ts';

// Goal: a restore takes nothing away that is not of its grid, whether or not it runs.
// Method: descriptions of the targets in, silence or refusal out.

const manifest = manifestOf([{ host: 'alpha', member: describedMember('aa') }]);
const stopped = { running: false, primary: false } as const;

async function verdict(target: Partial<MemberDescription>): Promise<string> {
  const host = describedHost('alpha', [describedMember('aa', { dataDirectory: '/srv/aa', ...target })]);
  const plan = planRestore({
    manifest,
    hosts: [{ agent: 'alpha:7411', host }],
    maps: new Map(),
    realm: null,
  });
  try {
    await checkTargets({ plan, described: [{ host }], identityOf: () => Promise.resolve('a') });
  } catch (error) {
    const { failure, exitCode } = error as StillpointError;
    return `${failure.code} ${exitCode}: ${failure.message}; ${failure.hint}`;
  }
  return 'accepted';
}

describe('what a restore is to replace', () => {
  it('is accepted where it is of the same data, or nothing is known to be there', async () => {
    expect(await verdict(stopped)).to.equal('accepted');
    expect(await verdict({})).to.equal('accepted');
    expect(await verdict({ ...stopped, dataIdentity: '' })).to.equal('accepted');
  });

  it('is left alone where it is of other data, running or not, with the way to mean it', async () => {
    for (const state of [stopped, {}])
      expect(await verdict({ ...state, dataIdentity: 'other' }))
        .to.match(/^target-holds-other 3: .*aa on alpha.*the data other; the checkpoint has a;/)
        .and.to.match(/move it away first: \/srv\/aa$/);
  });

  it('is left alone where it is no data of its engine at all', async () => {
    const problems = [{ code: 'data-foreign', message: '/srv/aa holds no server', hint: 'h' }];
    expect(await verdict({ ...stopped, dataIdentity: '', problems })).to.match(
      /^target-holds-other 3: .*no server/,
    );
  });
});

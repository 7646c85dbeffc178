import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import type { HostDescription } from '../../shared/domain/grid.ts';
import type { RestoreStep } from '../../shared/domain/wire.ts';
import { stillpoint } from '../lab/processes.ts';
import { describedHost, describedMember, standby } from './descriptions.ts';
import { holdId, imageOf, stamped, storeHold } from './held-grid.ts';
import { scriptedAgents, type ScriptedAgents } from './scripted-agents.ts';

// Goal: backups are brought to a moment as a checkpoint's copies are, or nothing is written and all reasons are told.
// Method: the command, agents that say what a test lets them say, and the real repository.

const HOSTS: readonly HostDescription[] = [
  describedHost('alpha', [describedMember('aa', { dataIdentity: 'data of aa', running: false })]),
  describedHost('beta', [
    describedMember('ba', { dataIdentity: 'data of ba', running: false }),
    standby('bb', { dataIdentity: 'data of ba', running: false }),
  ]),
];
const FREEZE = holdId(7);

describe('a restore from a set of backups', () => {
  let agents: ScriptedAgents;
  let grid: string;

  beforeEach(async () => {
    agents = await scriptedAgents(HOSTS);
    grid = join(dirname(agents.gridFile.repository), 'grid.yaml');
    writeFileSync(grid, JSON.stringify(agents.gridFile));
    await storeHold(agents.repository, 'freeze', 7, HOSTS);
    const held = stamped(7, { id: FREEZE, purpose: 'freeze' });
    for (const member of ['aa', 'ba']) {
      await agents.repository.beginBackup('orders', 'nightly', member, held);
      const ended = {
        type: 'ended',
        image: `${member}.image`,
        stamp: held,
        begunBefore: ['aa', 'ba'],
      } as const;
      await agents.repository.endBackup('orders', 'nightly', member, ended);
      const {
        entries: _,
        engineFacts: __,
        member: ___,
        image: ____,
        ...found
      } = imageOf(member, ended.image);
      const { digest } = await agents.repository.saveImage('orders', 'nightly', imageOf(member, ended.image));
      const summary = { digest, files: 1, sizeBytes: 7, ...found };
      await agents.repository.recordImage('orders', 'nightly', member, summary);
    }
  });

  afterEach(() => agents.close());

  const restore = (...words: string[]): ReturnType<typeof stillpoint> =>
    stillpoint(['restore', ...words, '--grid', grid, '--quiet', '--yes', '--output', 'json']);
  async function refusal(...words: string[]): Promise<Failure> {
    const { code, json } = await restore(...words);
    expect(code, words.join(' ')).to.equal(3);
    const { error } = json as { error: Failure };
    expect(error.phase).to.equal('plan');
    return error;
  }
  const steps = (): { member: string; step: RestoreStep }[] =>
    agents.asked.flatMap(({ request }) =>
      request.type === 'restore' ? [{ member: request.member, step: request.step }] : [],
    );
  const imagesOf = (type: 'check' | 'stage'): string[] =>
    steps()
      .flatMap(({ member, step }) =>
        step.type === type
          ? [`${member}: ${step.source.member} ${step.image?.approach} ${step.own?.member}`]
          : [],
      )
      .toSorted();
  function expectUntouched(): void {
    expect(
      steps()
        .map(({ step }) => step.type)
        .filter((type) => type !== 'check'),
    ).to.deep.equal([]);
  }

  it('builds each member from the image of the one whose data it has, as a restore does from copies [S64]', async () => {
    const { code, json, stderr } = await restore(FREEZE, '--set', 'nightly');
    expect(code, stderr).to.equal(0);
    expect(json).to.deep.include({ checkpoint: FREEZE, set: 'nightly', verified: true });
    expect(json).to.deep.nested.include({
      'members[0]': {
        name: 'aa',
        from: 'aa.example:5432',
        image: 'aa.image',
        to: 'aa.example:5432',
        state: 'restored',
      },
    });
    const expected = ['aa: aa freeze undefined', 'ba: ba freeze undefined', 'bb: ba freeze undefined'];
    expect(imagesOf('check')).to.deep.equal(expected);
    expect(imagesOf('stage')).to.deep.equal(expected);
    const set = await agents.repository.readSet('orders', 'nightly');
    const digests = new Map(set.backups.map(({ member, image }) => [member, image?.digest]));
    for (const { step } of steps())
      if (step.type === 'stage') {
        expect(step.image?.set).to.equal('nightly');
        expect(step.image?.digest).to.equal(digests.get(step.source.member));
      }
    expect(steps().map(({ step }) => step.type)).to.include.members(['switchIn', 'open', 'finish']);
  });

  it('shows its sources and changes nothing where it is only planned', async () => {
    const { code, json } = await restore(FREEZE, '--set', 'nightly', '--dry-run');
    expect(code).to.equal(0);
    const { members } = json as { members: { name: string; image: string; state: string }[] };
    expect(members.map(({ name, image, state }) => `${name} ${image} ${state}`)).to.deep.equal([
      'aa aa.image planned',
      'ba ba.image planned',
      'bb ba.image planned',
    ]);
    expectUntouched();
    const words = await stillpoint([
      'restore',
      FREEZE,
      '--set',
      'nightly',
      '--dry-run',
      '--grid',
      grid,
      '--quiet',
    ]);
    expect(words.stdout).to.include(
      `plan to restore set nightly at ${FREEZE} as grid orders; nothing was changed`,
    );
    expect(words.stdout).to.match(/ {2}bb +bb\.example:5432, image ba\.image +bb\.example:5432 +planned/);
  });

  it('is refused with every reason before a file is written: an older checkpoint [S58]', async () => {
    await storeHold(agents.repository, 'journalCheckpoint', 5, HOSTS);
    const refused = await refusal(holdId(5), '--set', 'nightly');
    expect(refused).to.include({ code: 'set-unfit', member: 'aa' });
    expect(refused.message).to.match(/too old for the backup of aa, .*; .* too old for the backup of ba/);
    expect(refused.hint).to.include(`stillpoint set describe nightly --for ${holdId(5)}`);
    expectUntouched();
  });

  it('is refused before a file is written: backups outside of the quiesce [S60] and of the freeze [S65]', async () => {
    await storeHold(agents.repository, 'quiesce', 6, HOSTS);
    await storeHold(agents.repository, 'freeze', 5, HOSTS);
    for (const id of [holdId(5), holdId(6)]) {
      const refused = await refusal(id, '--set', 'nightly');
      expect(refused.message).to.match(/the backup of aa began under .*7_held, not under/);
    }
    expectUntouched();
  });

  it('is refused before a file is written: what an agent finds, of all members at once [S59] [S62]', async () => {
    agents.onRequest = (_, request) => {
      if (request.type !== 'restore' || request.step.type !== 'check') return;
      const code = request.member === 'aa' ? 'journal-missing' : 'journal-foreign';
      const message = `${code} of ${request.step.source.member}`;
      throw new StillpointError({ code, message, hint: 'bring it back' });
    };
    const refused = await refusal(FREEZE, '--set', 'nightly');
    expect(refused).to.include({ code: 'set-unfit' });
    expect(refused.message).to.match(/journal-missing of aa; journal-foreign of ba$/);
    expectUntouched();
  });

  it('is refused as what it is where an agent fails for another reason', async () => {
    agents.onRequest = (_, request) => {
      if (request.type !== 'restore' || request.step.type !== 'check') return;
      const code = request.member === 'aa' ? 'journal-missing' : 'restore-unfinished';
      throw new StillpointError({ code, message: code, hint: 'end it' });
    };
    expect(await refusal(FREEZE, '--set', 'nightly')).to.include({ code: 'restore-unfinished' });
    expectUntouched();
  });

  it('is refused to what was never proven to its end [S75] [S91]', async () => {
    await agents.repository.deleteCheckpoint('orders', FREEZE);
    const refused = await refusal(FREEZE, '--set', 'nightly');
    expect(refused.message).to.match(/nothing proves that .* held to its end/);
    expect(agents.asked.map(({ request }) => request.type)).to.deep.equal([]);
  });

  it('keeps every set from being deleted until it has ended', async () => {
    const forget = (): ReturnType<typeof stillpoint> =>
      stillpoint(['set', 'delete', 'nightly', '--yes', '--grid', grid, '--output', 'json']);
    // As a restore stands in the repository while agents read the lists of its images.
    let during: Awaited<ReturnType<typeof forget>> | null = null;
    const operation = { grid: 'orders', id: 'restore-1', holder: `the restore of ${FREEZE}`, reads: FREEZE };
    const lease = await agents.repository.beginOperation(operation);
    try {
      during = await forget();
    } finally {
      await lease.end();
    }
    expect(during.code).to.equal(3);
    const { error } = during.json as { error: Failure };
    expect(error).to.include({ code: 'repository-busy' });
    expect(error.message).to.include(`the restore of ${FREEZE} may read it`);
    expect((await restore(FREEZE, '--set', 'nightly')).code).to.equal(0);
    expect((await forget()).code).to.equal(0);
  });

  it('is refused in a grid that is more than nodes', async () => {
    agents.hosts = [
      ...HOSTS.slice(0, 1),
      describedHost('beta', [
        ...(HOSTS[1]?.members ?? []),
        describedMember('keeper-1', { role: 'state-keeper', copyset: null, engine: 'native' }),
      ]),
    ];
    const refused = await refusal(FREEZE, '--set', 'nightly');
    expect(refused).to.include({ code: 'set-of-nodes', member: 'keeper-1', host: 'beta' });
    expect(refused.hint).to.match(/restore a checkpoint of the whole grid/);
    expectUntouched();
  });

  it('is not what an operation without copies is restored by itself', async () => {
    const refused = await refusal(FREEZE);
    expect(refused).to.include({ code: 'nothing-copied' });
    expect(refused.hint).to.include(`stillpoint restore ${FREEZE} --set SET`);
  });
});

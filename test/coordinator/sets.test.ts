import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import { stillpoint } from '../lab/processes.ts';
import { describedHost, describedMember, standby } from './descriptions.ts';
import { holdId, imageOf, stamped, storeHold } from './held-grid.ts';
import { scriptedAgents, storeManifest, type ScriptedAgents } from './scripted-agents.ts';
import { manifestOf } from './descriptions.ts';

// Goal: what an operator tells of backups is recorded as it was, and told again with what it is worth. Method: the command
// itself, agents that say what a test lets them say, and the real repository.

const HOSTS = [
  describedHost('alpha', [
    describedMember('aa', { dataIdentity: 'data of aa' }),
    standby('bb', { dataIdentity: 'data of ba' }),
  ]),
  describedHost('beta', [describedMember('ba', { dataIdentity: 'data of ba' })]),
];
const FREEZE = holdId(7);

describe('the commands of backup sets', () => {
  let agents: ScriptedAgents;
  let grid: string;

  beforeEach(async () => {
    agents = await scriptedAgents(HOSTS);
    agents.imageOf = imageOf;
    grid = join(dirname(agents.gridFile.repository), 'grid.yaml');
    writeFileSync(grid, JSON.stringify(agents.gridFile));
  });

  afterEach(() => agents.close());

  const say = (...words: string[]): ReturnType<typeof stillpoint> =>
    stillpoint([...words, '--grid', grid, '--quiet']);
  async function told(...words: string[]): Promise<unknown> {
    const { code, json, stderr } = await say(...words, '--output', 'json');
    expect(code, `${words.join(' ')}: ${stderr}`).to.equal(0);
    return json;
  }
  async function refused(exitCode: number, ...words: string[]): Promise<Failure> {
    const { code, json } = await say(...words, '--output', 'json');
    expect(code, words.join(' ')).to.equal(exitCode);
    return (json as { error: Failure }).error;
  }
  const asked = (type: string): string[] =>
    agents.asked.flatMap(({ request }) =>
      request.type === type && 'member' in request ? [request.member] : [],
    );

  /** A set that was made inside of a freeze. */
  async function frozenSet(name = 'nightly'): Promise<void> {
    agents.stampOf = () => stamped(7, { id: FREEZE, purpose: 'freeze' });
    await told('set', 'begin', name);
    for (const member of ['aa', 'ba']) await told('set', 'end', name, member, '--image', `${member}.image`);
  }

  it('begin the backups of all members that store data, and of nobody else [S53]', async () => {
    agents.stampOf = (member) => stamped(member === 'aa' ? 6 : 4);
    expect(await told('set', 'begin', 'nightly')).to.deep.equal({
      set: 'nightly',
      grid: 'orders',
      members: [
        { name: 'aa', host: 'alpha', epoch: 0, counter: 6, heldBy: null, running: true },
        { name: 'ba', host: 'beta', epoch: 0, counter: 4, heldBy: null, running: true },
      ],
    });
    const { backups } = await agents.repository.readSet('orders', 'nightly');
    expect(backups.map(({ member, begun }) => `${member} ${begun?.counter}`)).to.deep.equal(['aa 6', 'ba 4']);
    const again = await say('set', 'begin', 'weekly', 'ba');
    expect(again.stdout).to.match(
      /^set weekly of grid orders: a backup has begun\n.*\n {2}ba +beta +running\n$/,
    );
  });

  it('begin nothing where a name is none, a member is none, or stores nothing, or has begun already', async () => {
    await told('set', 'begin', 'nightly', 'ba');
    expect(await refused(3, 'set', 'begin', 'nightly')).to.include({ code: 'backup-recorded', member: 'ba' });
    expect(await refused(3, 'set', 'begin', 'other', 'zz')).to.include({ code: 'unknown-member' });
    expect(await refused(3, 'set', 'begin', 'other', 'aa', 'bb')).to.include({ code: 'backup-not-needed' });
    expect(await refused(2, 'set', 'begin', '../other')).to.include({ code: 'bad-name' });
    const sets = await agents.repository.sets('orders');
    expect(sets.map(({ set }) => set?.backups.map(({ member }) => member))).to.deep.equal([['ba']]);
  });

  it('record how the host stood before an image is read, and have it read', async () => {
    await told('set', 'begin', 'nightly');
    agents.stampOf = () => stamped(7, { id: FREEZE, purpose: 'freeze' });
    const ended = await told('set', 'end', 'nightly', 'aa', '--image', 'day-1/aa');
    expect(ended).to.deep.include({
      set: 'nightly',
      member: 'aa',
      host: 'alpha',
      image: 'day-1/aa',
      heldBy: FREEZE,
      cold: null,
    });
    const [{ ended: end, image } = {}] = (await agents.repository.readSet('orders', 'nightly')).backups;
    expect(end).to.deep.include({ type: 'ended', image: 'day-1/aa', begunBefore: ['aa', 'ba'] });
    expect(image).to.deep.include({ files: 1, sizeBytes: 7, journalFiles: ['journal-1', 'end of aa'] });
    const order = agents.asked.map(({ request }) => request.type).filter((type) => type !== 'release');
    expect(order.slice(-2)).to.deep.equal(['stampMember', 'readImage']);
    expect(await agents.repository.readImage('orders', 'nightly', image?.digest ?? '')).to.deep.equal(
      imageOf('aa', 'day-1/aa'),
    );
  });

  it('leave the reading for later, and go on where they were interrupted, with the first stamp', async () => {
    agents.stampOf = () => stamped(7, { id: FREEZE, purpose: 'freeze' });
    await told('set', 'begin', 'nightly');
    const later = await told('set', 'end', 'nightly', 'aa', '--image', 'one', '--read-later');
    expect(later).to.deep.include({ heldBy: FREEZE, read: null });
    expect(asked('readImage')).to.deep.equal([]);
    agents.stampOf = () => stamped(9);
    agents.onRequest = (_, request) => {
      if (request.type !== 'readImage') return;
      throw new StillpointError({ code: 'image-missing', message: 'no such image', hint: 'mount it' });
    };
    expect(await refused(3, 'set', 'end', 'nightly', 'aa', '--image', 'one')).to.include({
      code: 'image-missing',
    });
    agents.onRequest = () => undefined;
    const read = await told('set', 'end', 'nightly', 'aa', '--image', 'one');
    expect(read).to.deep.include({ counter: 7, heldBy: FREEZE });
    expect(read).to.have.nested.property('read.sizeBytes', 7);
    expect(asked('stampMember').filter((member) => member === 'aa')).to.have.length(2);
    const before = asked('readImage').length;
    await told('set', 'end', 'nightly', 'aa', '--image', 'one');
    expect(asked('readImage')).to.have.length(before);
    expect(await refused(3, 'set', 'end', 'nightly', 'aa', '--image', 'two')).to.include({
      code: 'backup-recorded',
    });
  });

  it('end nothing that did not begin, and add nothing that did', async () => {
    const unknown = await refused(3, 'set', 'end', 'nightly', 'aa', '--image', 'one');
    expect(unknown).to.include({ code: 'backup-not-begun', member: 'aa' });
    expect(unknown.hint).to.include('stillpoint set add nightly aa --image one');
    expect(await refused(2, 'set', 'end', 'nightly', 'aa', '--image', '/srv/one')).to.include({
      code: 'bad-name',
    });
    await told('set', 'begin', 'nightly', 'aa');
    expect(await refused(3, 'set', 'add', 'nightly', 'aa', '--image', 'one')).to.include({
      code: 'backup-recorded',
    });
    await told('set', 'add', 'nightly', 'ba', '--image', 'two');
    const { backups } = await agents.repository.readSet('orders', 'nightly');
    expect(backups.map(({ member, ended }) => `${member} ${ended?.type}`)).to.deep.equal([
      'aa undefined',
      'ba added',
    ]);
  });

  it('tell what a set can be restored to, with its approach, and what of it nothing proves [S75] [S91]', async () => {
    await frozenSet();
    const lost = await told('set', 'describe', 'nightly');
    expect(lost).to.deep.include({ restorable: [] });
    expect(lost).to.have.nested.property('problems[0].code', 'hold-not-proven');
    await storeHold(agents.repository, 'journalCheckpoint', 3, HOSTS);
    await storeHold(agents.repository, 'freeze', 7, HOSTS);
    await storeHold(agents.repository, 'journalCheckpoint', 9, HOSTS);
    expect(await told('set', 'describe', 'nightly')).to.deep.include({
      problems: [],
      restorable: [
        { checkpoint: holdId(9), approach: 'journals' },
        { checkpoint: FREEZE, approach: 'freeze' },
      ],
    });
    const { stdout } = await say('set', 'describe', 'nightly');
    expect(stdout).to.include(`stillpoint restore ${FREEZE} --set nightly`);
    expect(stdout).to.match(
      / {2}aa +held by \S+ +held by \S+ +aa\.image +0\.0 MB +journal journal-1 to end of aa\n/,
    );
    const why = await told('set', 'describe', 'nightly', '--for', holdId(3));
    expect(why).to.deep.nested.include({ 'for.approach': null, 'for.purpose': 'journalCheckpoint' });
    expect((why as { for: { reasons: Failure[] } }).for.reasons.map(({ code }) => code)).to.deep.equal([
      'backup-after-checkpoint',
      'backup-after-checkpoint',
    ]);
  });

  it('say plainly that there is no such checkpoint, or that it has copies of its own', async () => {
    await frozenSet();
    const lost = await told('set', 'describe', 'nightly', '--for', FREEZE);
    expect(lost).to.have.nested.property('for.reasons[0].code', 'hold-not-proven');
    expect(await refused(2, 'set', 'describe', 'nightly', '--for', holdId(8))).to.include({
      code: 'checkpoint-missing',
    });
    const { checkpoint } = await storeManifest(
      agents.repository,
      manifestOf(HOSTS.flatMap(({ host, members }) => members.map((member) => ({ host, member })))),
    );
    expect(await refused(3, 'set', 'describe', 'nightly', '--for', checkpoint)).to.include({
      code: 'checkpoint-not-held',
    });
    expect(await refused(2, 'set', 'describe', 'weekly')).to.include({ code: 'set-missing' });
  });

  it('have the images looked at again, and tell what agents find [S59] [S62]', async () => {
    await frozenSet();
    await storeHold(agents.repository, 'freeze', 7, HOSTS);
    const sound = await told('set', 'describe', 'nightly', '--for', FREEZE, '--look');
    expect(sound).to.have.nested.property('for.approach', 'freeze');
    expect(asked('checkImage').toSorted()).to.deep.equal(['aa', 'ba']);
    agents.onRequest = (_, request) => {
      if (request.type !== 'checkImage') return;
      const code = request.member === 'aa' ? 'journal-missing' : 'journal-foreign';
      throw new StillpointError({ code, message: `${code} there`, hint: 'bring it back' });
    };
    const found = await told('set', 'describe', 'nightly', '--for', FREEZE, '--look');
    const { reasons } = (found as { for: { reasons: Failure[] } }).for;
    expect(reasons.map(({ code, member }) => `${member} ${code}`).toSorted()).to.deep.equal([
      'aa journal-missing',
      'ba journal-foreign',
    ]);
  });

  it('look at no image of a member that no agent has any more, and say so [S59]', async () => {
    await frozenSet();
    await storeHold(agents.repository, 'freeze', 7, HOSTS);
    agents.hosts = [...HOSTS.slice(0, 1), describedHost('beta', [])];
    const found = await told('set', 'describe', 'nightly', '--for', FREEZE, '--look');
    expect(found).to.have.nested.property('for.approach', null);
    const { reasons } = (found as { for: { reasons: Failure[] } }).for;
    expect(reasons.map(({ code, member }) => `${member} ${code}`)).to.deep.equal(['ba unknown-member']);
  });

  it('list the sets of a repository, and forget one', async () => {
    await frozenSet();
    agents.stampOf = () => stamped(7);
    await told('set', 'begin', 'weekly', 'aa');
    const { repository } = agents.gridFile;
    const list = await stillpoint(['set', 'list', '--repository', repository, '--output', 'json']);
    expect(list.json).to.deep.equal({
      sets: [
        { set: 'nightly', grid: 'orders', state: 'readable', backups: 2, whole: 2, sizeBytes: 14 },
        { set: 'weekly', grid: 'orders', state: 'readable', backups: 1, whole: 0, sizeBytes: 0 },
      ],
    });
    expect((await say('set', 'delete', 'nightly')).code).to.equal(2);
    expect(await told('set', 'delete', 'nightly', '--yes')).to.deep.equal({
      set: 'nightly',
      grid: 'orders',
      deleted: true,
    });
    expect((await say('set', 'list')).stdout).to.match(/^SET .*\nweekly +0 of 1 +0\.0 MB\n$/);
    const described = await stillpoint(['set', 'describe', 'weekly', '--repository', repository]);
    expect(described.stdout).to.match(/ {2}aa +running +not yet\n/);
    expect(asked('readImage')).to.have.length(2);
  });

  it('commit the moment at which all members were shut down, when their copies are whole, once [S61]', async () => {
    agents.hosts = HOSTS.map((host) => ({
      ...host,
      members: host.members.map((member) => ({ ...member, running: false, incarnation: '', primary: false })),
    }));
    agents.stampOf = (member) => ({ ...stamped(4), incarnation: '', stoppedAs: `as ${member} lay` });
    await told('set', 'begin', 'cold');
    expect(await told('set', 'end', 'cold', 'aa', '--image', 'one')).to.deep.include({ cold: null });
    // Before it has the grid another operation takes a number.
    agents.onRequest = (_, request) => {
      if (request.type === 'claim') agents.hosts = agents.hosts.map((one) => ({ ...one, highestCounter: 4 }));
    };
    const ended = (await told('set', 'end', 'cold', 'ba', '--image', 'two')) as { cold: string };
    expect(ended.cold).to.match(/_00000000_00000005_cold$/);
    const again = await told('set', 'end', 'cold', 'ba', '--image', 'two');
    expect(again).to.deep.include({ cold: ended.cold });
    expect(await told('set', 'describe', 'cold')).to.deep.include({
      restorable: [{ checkpoint: ended.cold, approach: 'quiesce' }],
    });
    const plan = await told('restore', ended.cold, '--set', 'cold', '--dry-run');
    expect(
      (plan as { members: { name: string; image: string }[] }).members.map(({ name, image }) => [
        name,
        image,
      ]),
    ).to.deep.equal([
      ['aa', 'one'],
      ['ba', 'two'],
      ['bb', 'two'],
    ]);
  });

  it('commit no such moment where a member ran, or was shut down only later [S61]', async () => {
    agents.stampOf = (member) =>
      member === 'aa' ? { ...stamped(4), incarnation: '', stoppedAs: 'as it lay' } : stamped(4);
    await told('set', 'begin', 'cold');
    for (const [member, image] of [
      ['aa', 'one'],
      ['ba', 'two'],
    ] as const)
      expect(await told('set', 'end', 'cold', member, '--image', image)).to.deep.include({ cold: null });
    agents.stampOf = (member) => ({ ...stamped(4), incarnation: '', stoppedAs: `as ${member} lay` });
    for (const [member, image] of [
      ['aa', 'one'],
      ['ba', 'two'],
    ] as const) {
      await told('set', 'begin', 'one-by-one', member);
      expect(await told('set', 'end', 'one-by-one', member, '--image', image)).to.deep.include({
        cold: null,
      });
    }
  });
});

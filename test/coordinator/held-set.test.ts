import { expect } from 'chai';
import type { Occupation } from '../../coordinator/jobs/held-job.ts';
import { HeldSet, USUAL_IMAGE } from '../../coordinator/sets/held-set.ts';
import { describeSet } from '../../coordinator/sets/describe-set.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import type { Purpose } from '../../shared/domain/purpose.ts';
import { describedHost, describedMember } from './descriptions.ts';
import { imageOf } from './held-grid.ts';
import { honestGrid, TestJob, type HonestGrid } from './jobs/honest-grid.ts';
import { quiet } from './scripted-agents.ts';

// Goal: what is copied while a grid is held is a set that can be restored to that moment, or it is told why not. Method:
// the real coordinator, agents that speak the protocol over the real wire, and the real repository.

const QUIESCE = { type: 'quiesce', allowReads: false, timeOutMs: 60_000 } as const;
const FREEZE = { type: 'freeze', timeOutMs: 600_000 } as const;
const NAMES = ['aa', 'ba', 'ca', 'da'];

describe('a backup set that is made while a grid is held', () => {
  let grid: HonestGrid;
  /** Which hold an agent knows of, as a real one does from its prepare. */
  let heldAs: { readonly checkpoint: string; readonly purpose: Purpose } | null;

  beforeEach(async () => {
    const members = NAMES.map((name) => describedMember(name, { dataIdentity: `data of ${name}` }));
    grid = await honestGrid([
      describedHost('alpha', members.slice(0, 3)),
      describedHost('beta', members.slice(3)),
    ]);
    heldAs = null;
    grid.agents.imageOf = (member, image) => {
      const found = imageOf(member, image);
      return { ...found, journalFiles: [...found.journalFiles, '0000000100000000000000A3'] };
    };
    grid.agents.stampOf = () => {
      const prepare = grid.commands.find(({ command }) => command.type === 'prepare')?.command;
      const held =
        heldAs !== null && prepare?.type === 'prepare'
          ? { operation: 'job', checkpoint: heldAs.checkpoint, purpose: heldAs.purpose.type as 'freeze' }
          : null;
      return { epoch: 0, counter: 1, heldBy: held, incarnation: 'i', stoppedAs: null };
    };
  });

  afterEach(() => grid.agents.close());

  const describes = (): number =>
    grid.agents.asked.filter(({ request }) => request.type === 'describe').length;

  /** A job with a set, of which the copies are made at once. */
  function jobWith(
    purpose: typeof QUIESCE | typeof FREEZE,
    given: { whole?: boolean } = {},
  ): {
    set: HeldSet;
    job: TestJob;
  } {
    const { gridFile } = grid.agents;
    const copying: Occupation = {
      begin: () => Promise.resolve(),
      letGoAsked: () => undefined,
      end: () => Promise.resolve(),
    };
    const holding: Occupation = {
      begin: (held) => {
        heldAs = { checkpoint: held.checkpoint, purpose };
        return set.begin(held);
      },
      letGoAsked: (by) => set.letGoAsked(by),
      end: (outcome) => {
        heldAs = null;
        return set.end(outcome);
      },
    };
    const input = {
      gridFile,
      set: 'nightly',
      image: USUAL_IMAGE,
      signal: new AbortController().signal,
      progress: quiet,
    };
    const set = new HeldSet(input, copying, () => given.whole ?? true);
    return { set, job: new TestJob(grid, purpose, { occupation: holding }) };
  }

  for (const purpose of [QUIESCE, FREEZE])
    it(`is whole, and can be restored to that moment by its approach: ${purpose.type}`, async () => {
      const { set, job } = jobWith(purpose);
      const { report } = await job.ended;
      const read = await set.read();
      expect(read.problems).to.deep.equal([]);
      expect(read.images.map(({ member, name }) => `${member} ${name}`)).to.deep.equal(
        NAMES.map((name) => `${name} nightly/${name}`),
      );
      const stored = await grid.agents.repository.readSet('orders', 'nightly');
      expect(await describeSet(grid.agents.repository, stored, null)).to.deep.include({
        problems: [],
        restorable: [{ checkpoint: report?.checkpoint, approach: purpose.type }],
      });
      const order = grid.agents.asked.map(({ request }) => request.type);
      expect(order.lastIndexOf('stampMember')).to.be.below(order.indexOf('readImage'));
    });

  it('asks each agent once how its members are while it is held, however many there are', async () => {
    const { set, job } = jobWith(QUIESCE);
    await job.ended;
    // By the preflight, when the set began, and when it ended.
    expect(describes()).to.equal(3 * 2);
    await set.read();
    expect(describes()).to.equal(4 * 2);
  });

  it('keeps the result where images cannot be read, all or one, and tells how to read each then', async () => {
    const { set, job } = jobWith(QUIESCE);
    expect((await job.ended).exitCode).to.equal(0);
    let failing: string | null = null;
    grid.agents.onRequest = (_, request) => {
      const of = request.type === 'readImage' ? request.member : request.type;
      if (failing !== null && of !== failing) return;
      throw new StillpointError({ code: 'agent-failed', message: 'its disk is away', hint: 'mount it' });
    };
    const none = await set.read();
    expect(none.images).to.deep.equal([]);
    expect(none.problems.map(({ code, member }) => `${code} ${member}`)).to.deep.equal(
      NAMES.map((name) => `agent-failed ${name}`),
    );
    failing = 'ba';
    const most = await set.read();
    expect(most.images.map(({ member }) => member)).to.deep.equal(['aa', 'ca', 'da']);
    expect(most.problems).to.deep.equal([
      {
        code: 'agent-failed',
        member: 'ba',
        host: '127.0.18.1',
        message: 'the image of ba is not read: its disk is away',
        hint: 'mount it; then stillpoint set end nightly ba --image nightly/ba',
      },
    ]);
  });

  it('is told to be unfinished where its copies were not all made', async () => {
    const { set, job } = jobWith(FREEZE, { whole: false });
    expect((await job.ended).exitCode).to.equal(0);
    const { problems } = await set.read();
    expect(problems.map(({ code }) => code)).to.deep.equal(['backup-unfinished']);
    const stored = await grid.agents.repository.readSet('orders', 'nightly');
    expect(stored.backups.map(({ ended }) => ended)).to.deep.equal(NAMES.map(() => null));
  });
});

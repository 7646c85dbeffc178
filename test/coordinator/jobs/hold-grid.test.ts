import { expect } from 'chai';
import type { Failure } from '../../../shared/domain/errors.ts';
import type { MemberAnswer, MemberCommand } from '../../../shared/domain/messages.ts';
import type { AgentResponse } from '../../../shared/domain/wire.ts';
import { ABLE, HOLD_PURPOSES, type HoldPurpose, type Purpose } from '../../../shared/domain/purpose.ts';
import { createLog } from '../../../shared/runtime/log.ts';
import { goOn } from '../../../shared/runtime/moments.ts';
import { createCheckpoint } from '../../../coordinator/checkpoint.ts';
import { until } from '../../lab/processes.ts';
import { describedHost, describedMember, standby } from '../descriptions.ts';
import { MARK } from '../honest-agent.ts';
import { patient, quiet } from '../scripted-agents.ts';
import { honestGrid, TestJob, type Ended, type HonestGrid } from './honest-grid.ts';

// Goal: what copies nothing itself holds all members that store data, and nobody else, until it is let go; says what an
// operator's own tools need; and is no success unless every member has held. Method: the real coordinator, and agents that
// speak the protocol over the real wire, honestly but for one word.

const QUIESCE = { type: 'quiesce', allowReads: false, timeOutMs: 60_000 } as const;
const FREEZE = { type: 'freeze', timeOutMs: 600_000 } as const;
const JOURNAL = { type: 'journalCheckpoint' } as const;
const PURPOSES: readonly Extract<Purpose, { type: HoldPurpose }>[] = [QUIESCE, FREEZE, JOURNAL];

const NOT_TO_BE_TRUSTED = 'what was copied meanwhile is not to be trusted';

function grid(): Promise<HonestGrid> {
  const others = { copyset: null, engine: 'native', abilities: ABLE } as const;
  return honestGrid([
    describedHost('alpha', [
      describedMember('aa'),
      standby('ab', { address: 'ab.example:5433' }),
      describedMember('proxy', { ...others, role: 'proxy', primary: false }),
    ]),
    describedHost('beta', [describedMember('ba')]),
  ]);
}

describe('an operation that copies nothing', () => {
  let held: HonestGrid;

  beforeEach(async () => {
    held = await grid();
  });

  afterEach(() => held.agents.close());

  const committed = async (): Promise<(string | undefined)[]> =>
    (await held.agents.repository.list('orders', { purposes: HOLD_PURPOSES })).map(
      ({ manifest }) => manifest?.purpose,
    );

  /** Holds, and lets go of it when all is held. */
  async function done(purpose: (typeof PURPOSES)[number]): Promise<Ended> {
    const job = new TestJob(held, purpose);
    if (purpose.type !== 'journalCheckpoint') void job.held.then(() => job.occupation.letGo());
    return job.ended;
  }

  for (const purpose of PURPOSES)
    it(`[S53] is of all members that store or show data, and of no other: ${purpose.type}`, async () => {
      const { report } = await done(purpose);
      expect(report?.members.map(({ name, state }) => [name, state])).to.deep.equal([
        ['aa', 'resumed'],
        ['ab', 'resumed'],
        ['ba', 'resumed'],
      ]);
      expect(new Set(held.commands.map(({ member }) => member))).to.deep.equal(new Set(['aa', 'ab', 'ba']));
      const prepares = held.commands.flatMap(({ command }) => (command.type === 'prepare' ? [command] : []));
      for (const prepare of prepares)
        expect(prepare).to.deep.include({ purpose, assignment: { hold: 'member', part: 'none' } });
      expect(await committed()).to.deep.equal([purpose.type]);
      expect(await held.agents.repository.list('orders')).to.deep.equal([]);
    });

  it('[S76] [S77] tells a number, and of each data server, by its address, the journal file that ends there', async () => {
    const { report } = await done(JOURNAL);
    expect(report?.journalMap).to.deep.equal({
      'aa.example:5432': MARK.journalFile,
      'ba.example:5432': MARK.journalFile,
    });
    expect(report).to.include({ number: 1, epoch: 0, purpose: 'journalCheckpoint', state: 'resumed' });
    const again = await done(JOURNAL);
    expect(again.report?.number).to.equal(2);
    expect(again.report?.checkpoint).to.match(/_00000000_00000002_journal-checkpoint$/);
    expect(report).not.to.have.property('heldMs');
  });

  it('[S88] has made a freeze its journal checkpoint before it says that all is frozen', async () => {
    const job = new TestJob(held, FREEZE);
    const told = await job.held;
    expect(told).to.include({ number: 1, purpose: 'freeze' });
    expect(Object.keys(told.journalMap)).to.deep.equal(['aa.example:5432', 'ba.example:5432']);
    for (const member of ['aa', 'ba']) {
      expect(held.asked(member)).to.include('thaw');
      expect(held.asked(member)).not.to.include('collect');
    }
    job.occupation.letGo();
    expect((await job.ended).report).to.deep.include({
      checkpoint: told.checkpoint,
      journalMap: told.journalMap,
    });
  });

  it('[S69] [S73] is held when the last member has marked, and stays so until it is let go', async () => {
    const last = Promise.withResolvers<void>();
    held.instead = (member, { type }) =>
      member === 'ba' && type === 'freeze' ? (honest) => last.promise.then(() => honest) : null;
    const gridFile = { ...held.agents.gridFile, leaseSeconds: 1 };
    const job = new TestJob(held, QUIESCE, { gridFile });
    let isHeld = false;
    void job.held.then(() => (isHeld = true));
    await until('the others to be asked', () => held.asked('aa').includes('freeze'));
    expect(isHeld).to.equal(false);
    last.resolve();
    const told = await job.held;
    expect(told.members.map(({ state }) => state)).to.deep.equal(['quiesced', 'quiesced', 'quiesced']);
    const { words } = held.agents;
    await until('the job to say that it lives', () => held.agents.words > words + 2);
    expect(held.asked('aa')).not.to.include('thaw');
    job.occupation.letGo();
    const { report } = await job.ended;
    expect(report).to.include({ state: 'resumed', job: told.job });
    for (const member of ['aa', 'ba']) expect(held.asked(member)).to.include('thaw');
  });

  for (const [type, ability] of [
    ['quiesce', 'quiesce'],
    ['quiesce', 'quiesceAllowingReads'],
    ['freeze', 'freeze'],
    ['journalCheckpoint', 'journalCheckpoint'],
  ] as const)
    it(`is refused with a member's own words where that cannot take part, and nothing is touched: ${ability}`, async () => {
      const why: Failure = {
        code: 'not-supported',
        message: 'ba cannot do that',
        hint: 'use journal-checkpoint',
      };
      held.agents.hosts = held.agents.hosts.map((host) => ({
        ...host,
        members: host.members.map((member) =>
          member.name === 'ba' ? { ...member, abilities: { ...ABLE, [ability]: why } } : member,
        ),
      }));
      const purpose =
        type === 'quiesce'
          ? { ...QUIESCE, allowReads: ability === 'quiesceAllowingReads' }
          : type === 'freeze'
            ? FREEZE
            : JOURNAL;
      const { failure, exitCode } = await new TestJob(held, purpose).ended;
      expect(failure).to.deep.equal({ ...why, member: 'ba', host: 'beta', phase: 'preflight' });
      expect([exitCode, held.commands]).to.deep.equal([3, []]);
    });

  it('does not ask what only copies need: room, a realm service, state keepers', async () => {
    held.agents.hosts = held.agents.hosts.map((host) => ({ ...host, stateFreeBytes: 0 }));
    expect((await done(QUIESCE)).exitCode).to.equal(0);
  });

  it('lets no checkpoint ask for less room: it has copied nothing that could be used again', async () => {
    expect((await done(JOURNAL)).exitCode).to.equal(0);
    const sizeBytes = 2 * (await held.agents.repository.freeBytes());
    held.agents.hosts = held.agents.hosts.map((host) => ({
      ...host,
      members: host.members
        .filter(({ role }) => role === 'node')
        .map((member) => (member.name === 'aa' ? { ...member, sizeBytes } : member)),
    }));
    const refused: unknown = await createCheckpoint({
      gridFile: held.agents.gridFile,
      name: 'nightly',
      maintenance: false,
      cancellation: patient,
      progress: quiet,
      log: createLog({ name: 'test', level: 'silent' }),
      reach: goOn,
    }).catch((error: unknown) => error);
    expect(refused).to.have.nested.property('failure.code', 'repository-full');
  });

  describe('of which a member fails', () => {
    const failing =
      (member: string, at: MemberCommand['type'], failure: Failure) =>
      (one: string, { type }: MemberCommand) =>
        one === member && type === at
          ? (): readonly MemberAnswer[] => [
              { type: 'failed', failure, state: 'running' },
              { type: 'aborted', state: 'running' },
            ]
          : null;

    const late = (name: string, kinds: string): Failure => ({
      code: 'quiesce-timeout',
      message: `${name} did not come to rest in 60 s: ${kinds}`,
      hint: 'end these, or give it more time with --time-out',
    });

    it('[S71] leaves nobody held when it returns: those that were quiesced are let go of', async () => {
      held.instead = failing('ba', 'freeze', late('ba', 'open transactions'));
      const { failure, exitCode } = await done(QUIESCE);
      expect(exitCode).to.equal(4);
      expect(failure?.members?.map(({ state }) => state)).to.deep.equal(['running', 'running', 'running']);
      for (const member of ['aa', 'ab']) expect(held.asked(member).at(-1)).to.equal('abort');
      expect(await committed()).to.deep.equal([]);
    });

    it('[S72] [S93] names every member that did not come to rest, and what did not', async () => {
      const told = (member: string, failure: Failure): AgentResponse => ({
        type: 'memberAnswer',
        member,
        answer: { type: 'failed', failure, state: 'running' },
      });
      // Engines have codes of their own for it. One whose abort comes first says nothing any more.
      const second = { ...late('ba', 'pending writes'), code: 'fence-not-reached' };
      const tellLater = (): void => {
        if (!held.asked('ba').includes('abort')) held.agents.tell('beta', told('ba', second));
      };
      held.instead = (member, { type }) => {
        if (type !== 'freeze' || member === 'ab') return null;
        if (member === 'ba') return () => [];
        return () => {
          setTimeout(tellLater, 50);
          return [{ type: 'failed', failure: late('aa', 'open transactions'), state: 'running' }];
        };
      };
      const { failure } = await done(QUIESCE);
      expect(failure).to.include({ code: 'quiesce-timeout', member: 'aa', phase: 'freeze' });
      expect(failure?.message).to.equal(
        'aa did not come to rest in 60 s: open transactions; ba did not come to rest in 60 s: pending writes',
      );
      expect(failure?.hint).to.include('--time-out');
    });

    it('[S89] leaves nobody frozen when a freeze cannot be had on one', async () => {
      const failure: Failure = {
        code: 'not-journaled',
        message: 'a database of ba is not journaled',
        hint: 'journal it',
      };
      held.instead = failing('ba', 'prepare', failure);
      const ended = await done(FREEZE);
      expect(ended.exitCode).to.equal(4);
      expect(ended.failure).to.include({ ...failure, host: '127.0.18.2' });
      expect(ended.failure?.members?.map(({ state }) => state)).to.deep.equal([
        'running',
        'running',
        'running',
      ]);
      for (const member of ['aa', 'ab']) expect(held.asked(member).at(-1)).to.equal('abort');
    });

    it('ends everywhere when one is lost while all is held, and says that the copies are worth nothing', async () => {
      for (const purpose of [QUIESCE, FREEZE]) {
        held.commands.length = 0;
        const job = new TestJob(held, purpose);
        await job.held;
        held.agents.cut('beta');
        const { failure, exitCode } = await job.ended;
        expect(exitCode).to.equal(4);
        expect(failure?.hint).to.include(NOT_TO_BE_TRUSTED);
        expect(held.asked('aa').at(-1)).to.equal('abort');
        expect(job.occupation.told).to.deep.equal(['ended failed']);
      }
      expect(await committed()).to.deep.equal([]);
    });
  });

  it('[S70] waits for one member as long as it was told to, however short the lease is', async () => {
    const gridFile = { ...held.agents.gridFile, leaseSeconds: 1 };
    held.instead = (member, { type }) =>
      member === 'ba' && type === 'freeze'
        ? (honest) => new Promise((resolve) => setTimeout(() => resolve(honest), 1500))
        : null;
    const job = new TestJob(held, { ...QUIESCE, timeOutMs: 3000 }, { gridFile });
    void job.held.then(() => job.occupation.letGo());
    expect((await job.ended).exitCode).to.equal(0);
    // Of what is held for an instant only, a lease is enough.
    expect((await new TestJob(held, JOURNAL, { gridFile }).ended).exitCode).to.equal(4);
  });

  it('[S75] is invalid where a member had resumed before it was let go: named, and not tried again', async () => {
    held.instead = (member, command) =>
      member === 'ba' && command.type === 'thaw'
        ? () => [
            {
              type: 'thawed',
              token: command.token,
              proof: { type: 'alreadyResumed', incarnation: 'ba started 12:00', cause: 'its lease ran out' },
            },
          ]
        : null;
    const { failure, exitCode } = await done(QUIESCE);
    expect(exitCode).to.equal(6);
    expect(failure).to.include({ code: 'already-resumed', member: 'ba', phase: 'thaw' });
    expect(failure?.message).to.include('its lease ran out');
    expect(failure?.hint).to.include(NOT_TO_BE_TRUSTED);
    expect(failure?.members).to.have.length(3);
    expect(held.asked('aa').filter((type) => type === 'freeze')).to.have.length(1);
    expect(await committed()).to.deep.equal([]);
  });

  it('[S91] is invalid where a write daemon had resumed already, and says so', async () => {
    held.instead = (member, { type }) =>
      member === 'ba' && type === 'collect'
        ? (honest) =>
            honest.map((answer) => ({
              ...answer,
              suspension: { held: false, cause: 'its write daemon was resumed by the guard' },
            }))
        : null;
    const { failure, exitCode } = await done(FREEZE);
    expect(exitCode).to.equal(6);
    expect(failure).to.include({ code: 'already-resumed', member: 'ba' });
    expect(failure?.message).to.match(/had resumed .* already: its write daemon was resumed by the guard/);
    expect(failure?.hint).to.include(NOT_TO_BE_TRUSTED);
    expect(await committed()).to.deep.equal([]);
  });

  it('[S92] says who may still be held where the thaw is lost, retries until then, and is not done', async () => {
    const gridFile = { ...held.agents.gridFile, leaseSeconds: 1 };
    held.instead = (member, { type }) =>
      member === 'ba' && (type === 'collect' || type === 'abort') ? () => [] : null;
    const second = new AbortController();
    const cancellation = {
      signal: new AbortController().signal,
      letGo: new AbortController().signal,
      second: second.signal,
    };
    const occupation = {
      begin: () => Promise.resolve(),
      letGoAsked: () => undefined,
      end: () => Promise.resolve(),
    };
    const abort = new AbortController();
    const job = new TestJob(held, FREEZE, {
      gridFile,
      occupation,
      cancellation: { ...cancellation, signal: abort.signal },
    });
    await until('the collect', () => held.asked('ba').includes('collect'));
    abort.abort(new Error('enough'));
    await until(
      'an abort to be tried again',
      () => held.asked('ba').filter((type) => type === 'abort').length > 1,
    );
    second.abort();
    const { failure, exitCode } = await job.ended;
    expect(exitCode).to.equal(5);
    expect(failure?.members).to.deep.include({ name: 'ba', state: 'unknown', host: '127.0.18.2' });
    expect(failure?.members).to.deep.include({ name: 'aa', state: 'running' });
    expect(failure?.hint).to.include(NOT_TO_BE_TRUSTED);
  });

  it('lets go when somebody who may asks for it at any agent, and at SIGTERM; with the same result', async () => {
    for (const ask of ['elsewhere', 'signal']) {
      const job = new TestJob(held, QUIESCE);
      await job.held;
      if (ask === 'elsewhere') held.agents.tell('beta', { type: 'letGoAsked', holder: 'anna' });
      else job.terminate();
      expect((await job.ended).report?.state).to.equal('resumed');
      expect(job.occupation.told).to.deep.equal([
        ask === 'elsewhere' ? 'asked by elsewhere anna' : 'asked by signal SIGTERM',
        'ended proven',
      ]);
    }
  });

  it('hands the word from elsewhere on once, however many agents pass it on', async () => {
    const gridFile = { ...held.agents.gridFile, leaseSeconds: 1 };
    const job = new TestJob(held, QUIESCE, { gridFile });
    const { occupation } = job;
    await job.held;
    occupation.letGoAsked = ({ type, who }) => void occupation.told.push(`asked by ${type} ${who}`);
    for (const host of ['alpha', 'beta', 'alpha', 'beta'])
      held.agents.tell(host, { type: 'letGoAsked', holder: 'anna' });
    const { words } = held.agents;
    await until('what comes after it to be heard', () => held.agents.words > words + 2);
    occupation.letGo();
    expect((await job.ended).exitCode).to.equal(0);
    expect(occupation.told).to.deep.equal(['asked by elsewhere anna', 'ended proven']);
  });

  for (const again of ['what it was held for fails', 'somebody elsewhere has it let go'])
    it(`is still waited for until all run where ${again} while it aborts`, async () => {
      let isConfirmed = false;
      const early = again.startsWith('somebody');
      held.instead = (member, { type }) =>
        early && member === 'ba' && type === 'freeze'
          ? () => []
          : member === 'ba' && type === 'abort'
            ? (honest) => (isConfirmed ? honest : [])
            : null;
      const job = new TestJob(held, QUIESCE);
      if (early) await until('the freeze', () => held.asked('ba').includes('freeze'));
      else await job.held;
      job.interrupt();
      await until('the abort', () => held.asked('ba').includes('abort'));
      const aborts = held.asked('ba').filter((type) => type === 'abort').length;
      if (early) held.agents.tell('alpha', { type: 'letGoAsked', holder: 'anna' });
      else job.occupation.fail(new Error('interrupted by SIGINT'));
      await until(
        'the abort to be tried again',
        () => held.asked('ba').filter((type) => type === 'abort').length > aborts,
      );
      isConfirmed = true;
      const { exitCode, failure } = await job.ended;
      expect([exitCode, failure?.code]).to.deep.equal([4, 'interrupted']);
    });

  it('ends like any other where that comes before all is held', async () => {
    held.instead = (member, { type }) => (member === 'ba' && type === 'freeze' ? () => [] : null);
    const job = new TestJob(held, QUIESCE);
    await until('the freeze', () => held.asked('ba').includes('freeze'));
    job.terminate();
    const { failure, exitCode } = await job.ended;
    expect(exitCode).to.equal(4);
    expect(failure).to.include({ code: 'interrupted' });
    expect(failure?.message).to.include('SIGTERM ended it before all members were held');
  });

  it('is aborted everywhere by Ctrl-C, and when what it was held for fails', async () => {
    for (const end of ['interrupt', 'fail']) {
      const job = new TestJob(held, FREEZE);
      await job.held;
      if (end === 'interrupt') job.interrupt();
      else job.occupation.fail(new Error('no space for the file of --info'));
      const { failure, exitCode } = await job.ended;
      expect(exitCode).to.equal(4);
      expect(failure?.message).to.include(end === 'interrupt' ? 'SIGINT' : 'no space');
      expect(held.asked('aa').at(-1)).to.equal('abort');
    }
  });
});

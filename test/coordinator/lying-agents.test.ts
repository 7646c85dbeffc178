import { expect } from 'chai';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { createCheckpoint } from '../../coordinator/checkpoint.ts';
import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import type { HostDescription } from '../../shared/domain/grid.ts';
import type { MemberAnswer, MemberCommand } from '../../shared/domain/messages.ts';
import type { AgentResponse } from '../../shared/domain/wire.ts';
import { createLog } from '../../shared/runtime/log.ts';
import { goOn, type Reach } from '../../shared/runtime/moments.ts';
import { describedHost, describedMember } from './descriptions.ts';
import { patient, quiet, scriptedAgents, type ScriptedAgents } from './scripted-agents.ts';
import { asItIs, honestAnswers, MARK, type ManifestHead } from './honest-agent.ts';

// Goal: an agent that is caught lying costs the grid a checkpoint and nothing else: the lie is named with host
// and member, nothing is committed, and every other member is told to let go. Method: two agents that speak the
// protocol over the real wire, as honest ones would but for one word.

type Answer<T extends MemberAnswer['type']> = Extract<MemberAnswer, { type: T }>;

describe('an agent that lies', () => {
  let agents: ScriptedAgents;
  let commands: { member: string; command: MemberCommand }[] = [];
  /** What of an honest agent's stored manifest is changed. */
  let changeManifest: (manifest: ManifestHead) => ManifestHead;
  /** What beta's agent says instead of this. */
  let lie: (honest: readonly MemberAnswer[], command: MemberCommand) => readonly MemberAnswer[];
  /** Whom it says it of. */
  let liesAbout: string;
  let reach: Reach;

  beforeEach(async () => {
    commands = [];
    changeManifest = asItIs;
    lie = (honest) => honest;
    liesAbout = 'ba';
    reach = goOn;
    agents = await scriptedAgents([
      describedHost('alpha', [describedMember('aa')]),
      describedHost('beta', [describedMember('ba')]),
    ]);
    let checkpoint = '';
    agents.onCommand = async (host, member, command) => {
      commands.push({ member, command });
      if (command.type === 'prepare') ({ checkpoint } = command);
      const honest = await honestAnswers(
        { agents, host, member, checkpoint, manifestOf: host === 'beta' ? changeManifest : asItIs },
        command,
      );
      if (host !== 'beta') return honest.map((answer) => said(member, answer));
      return lie(honest, command).map((answer) => said(honest.includes(answer) ? member : liesAbout, answer));
    };
  });

  afterEach(() => agents.close());

  function said(member: string, answer: MemberAnswer): AgentResponse {
    return { type: 'memberAnswer', member, answer };
  }

  async function create(): Promise<{ failure: Failure | null; exitCode: number }> {
    try {
      await createCheckpoint({
        gridFile: agents.gridFile,
        name: 'x',
        maintenance: false,
        cancellation: patient,
        progress: quiet,
        log: createLog({ name: 'test', level: 'silent' }),
        reach,
      });
      return { failure: null, exitCode: 0 };
    } catch (error) {
      if (!(error instanceof StillpointError)) throw error;
      return { failure: error.failure, exitCode: error.exitCode };
    }
  }

  async function valid(): Promise<number> {
    return (await agents.repository.list('orders')).filter(({ state }) => state === 'valid').length;
  }

  async function expectAborted(code: string, message: RegExp): Promise<Failure> {
    const { failure, exitCode } = await create();
    expect(failure, 'the checkpoint was committed').to.not.equal(null);
    expect(failure).to.include({ code });
    expect(failure?.message).to.match(message);
    expect(exitCode).to.equal(4);
    expect(await valid()).to.equal(0);
    // Alpha's member was told to let go, after all that was asked of it.
    const ofAlpha = commands.filter(({ member }) => member === 'aa').map(({ command }) => command.type);
    expect(ofAlpha.at(-1)).to.equal('abort');
    expect(failure?.members).to.deep.include({ name: 'aa', state: 'running' });
    return failure as Failure;
  }

  it('is not found where none lies: this very grid is captured', async () => {
    expect(await create()).to.deep.equal({ failure: null, exitCode: 0 });
    expect(await valid()).to.equal(1);
  });

  it('is not found in what an honest one says twice', async () => {
    lie = (honest, { type }) => (type === 'abort' ? honest : honest.flatMap((answer) => [answer, answer]));
    expect(await create()).to.deep.equal({ failure: null, exitCode: 0 });
  });

  it('is not found in a mark without a journal file, where the engine has none: it is not in the journal map', async () => {
    agents.hosts = [
      describedHost('alpha', [describedMember('aa')]),
      describedHost('beta', [describedMember('ba', { traits: { marksJournalFile: false } })]),
    ];
    const without = { ...MARK, journalFile: null };
    lie = changing('marked', (answer) => [{ ...answer, mark: without }]);
    changeManifest = (manifest) => ({ ...manifest, mark: without });
    expect(await create()).to.deep.equal({ failure: null, exitCode: 0 });
    const [entry] = await agents.repository.list('orders');
    expect(entry?.manifest?.journalMap).to.deep.equal({ 'aa.example:5432': MARK.journalFile });
    expect(entry?.manifest?.members.map(({ traits }) => traits.marksJournalFile)).to.deep.equal([
      true,
      false,
    ]);
  });

  /** Changes the answers of one type. */
  function changing<T extends MemberAnswer['type']>(
    type: T,
    change: (answer: Answer<T>) => readonly MemberAnswer[],
  ): typeof lie {
    return (honest) =>
      honest.flatMap((answer) => (answer.type === type ? change(answer as Answer<T>) : [answer]));
  }

  const lies: Record<string, readonly [() => typeof lie, RegExp]> = {
    'that another host’s member is prepared': [
      () => {
        liesAbout = 'aa';
        return changing('prepared', (answer) => [answer, { ...answer }]);
      },
      /'prepared' for aa, which is not its member/,
    ],
    'that another host’s member has marked': [
      () => {
        liesAbout = 'aa';
        return changing('marked', (answer) => [{ ...answer }]);
      },
      /'marked' for aa, which is not its member/,
    ],
    'of a member that the grid does not have': [
      () => {
        liesAbout = 'zz\u001b[2J';
        return changing('armed', (answer) => [{ ...answer }]);
      },
      /'armed' for zz\?\[2J, which is not/,
    ],
    'that it is frozen before it was asked': [
      () =>
        changing('prepared', (answer) => [
          answer,
          {
            type: 'marked',
            token: { epoch: 0, counter: 1, attempt: 1 },
            incarnation: 'i',
            mark: MARK,
            fenceMs: 0,
            markMs: 0,
          },
        ]),
      /'marked' 0\/1\/1, which it was not asked/,
    ],
    'that it thawed with a proof before it was asked': [
      () =>
        changing('marked', (answer) => [
          { type: 'thawed', token: answer.token, proof: { type: 'held', incarnation: answer.incarnation } },
        ]),
      /'thawed' 0\/1\/1, which it was not asked/,
    ],
    'about another attempt': [
      () => changing('armed', (answer) => [{ ...answer, token: { ...answer.token, attempt: 2 } }]),
      /'armed' 0\/1\/2, which it was not asked/,
    ],
    'about another checkpoint': [
      () => changing('collected', (answer) => [{ ...answer, token: { epoch: 0, counter: 99, attempt: 1 } }]),
      /'collected' 0\/99\/1, which it was not asked/,
    ],
    'with a second mark': [
      () => changing('marked', (answer) => [answer, { ...answer, mark: { ...MARK, position: '0/0' } }]),
      /twice, and not the same/,
    ],
    'with a second incarnation': [
      () => changing('armed', (answer) => [answer, { ...answer, incarnation: 'another' }]),
      /twice, and not the same/,
    ],
    'with a path for a journal': [
      () =>
        changing('marked', (answer) => [{ ...answer, mark: { ...MARK, journalFile: '../../etc/passwd' } }]),
      /a mark that names no journal file/,
    ],
    'with a journal that a terminal obeys': [
      () => changing('marked', (answer) => [{ ...answer, mark: { ...MARK, journalFile: 'a\u001b[2J' } }]),
      /a mark that names no journal file/,
    ],
    'with no journal file, where its marks name one': [
      () => changing('marked', (answer) => [{ ...answer, mark: { ...MARK, journalFile: null } }]),
      /a mark without a journal file/,
    ],
    'with no mark': [() => changing('marked', (answer) => [{ ...answer, mark: null }]), /has no mark/],
    'with a digest that is none': [
      () => changing('collected', (answer) => [{ ...answer, manifestDigest: '../x' }]),
      /a digest that is none/,
    ],
  };

  for (const [what, [begin, message]] of Object.entries(lies)) {
    it(`aborts the checkpoint everywhere and is named: ${what}`, async () => {
      lie = begin();
      const failure = await expectAborted('agent-untrue', message);
      expect(failure.host).to.equal('127.0.18.2');
      expect(failure.member).to.equal(liesAbout.replace('\u001b', '?'));
    });
  }

  it('aborts it with times that are none', async () => {
    for (const begin of [
      () => changing('marked', (answer) => [{ ...answer, fenceMs: -5 }]),
      () => changing('released', (answer) => [{ ...answer, thawMs: Number.NaN }]),
    ]) {
      lie = begin();
      const failure = await expectAborted('bad-message', /fence is|thaw is/);
      expect(failure).to.include({ host: '127.0.18.2', member: 'ba' });
    }
  });

  it('aborts it with a size that no disk has', async () => {
    lie = changing('collected', (answer) => [{ ...answer, sizeBytes: 2 ** 60 }]);
    const failure = await expectAborted('bad-message', /too large/);
    expect(failure).to.include({ host: '127.0.18.2', member: 'ba' });
  });

  const stored: Record<string, readonly [typeof changeManifest | null, typeof lie | null, string, RegExp]> = {
    'a digest of something else': [
      null,
      changing('collected', (answer) => [{ ...answer, manifestDigest: '0'.repeat(64) }]),
      'manifest-damaged',
      /digest/,
    ],
    'another size than it stored': [
      null,
      changing('collected', (answer) => [{ ...answer, sizeBytes: 12_345 }]),
      'manifest-differs',
      /size differs/,
    ],
    'another mark than it said': [
      (manifest) => ({ ...manifest, mark: { ...MARK, position: '0/1' } }),
      null,
      'manifest-differs',
      /mark differs/,
    ],
    'another attempt': [
      (manifest) => ({ ...manifest, token: { ...manifest.token, attempt: 7 } }),
      null,
      'manifest-differs',
      /token differs/,
    ],
    'another assignment than it was given': [
      ({ member, ...manifest }) => ({
        ...manifest,
        member: { ...member, assignment: { hold: 'none', part: 'whole' } },
      }),
      null,
      'manifest-differs',
      /assignment differs/,
    ],
    'another host': [
      (manifest) => ({ ...manifest, member: { ...manifest.member, host: 'alpha' } }),
      null,
      'manifest-differs',
      /host differs/,
    ],
  };

  for (const [what, [change, begin, code, message]] of Object.entries(stored)) {
    it(`is not committed with a manifest of ${what}`, async () => {
      if (change !== null) changeManifest = change;
      if (begin !== null) lie = begin;
      const failure = await expectAborted(code, message);
      if (code === 'manifest-differs') expect(failure).to.include({ host: 'beta', member: 'ba' });
    });
  }

  it('is not committed with the manifest of another member, or with none', async () => {
    changeManifest = (manifest) => ({ ...manifest, member: { ...manifest.member, name: 'bb' } });
    await expectAborted('manifest-damaged', /members\/ba\.json.*missing/);
  });

  it('is not committed with chunks that are not stored', async () => {
    // Not sooner: the honest one stores too.
    reach = (moment) => {
      const chunks = join(agents.gridFile.repository, 'grids', 'orders', 'chunks');
      if (moment === 'committing') rmSync(chunks, { recursive: true });
      return Promise.resolve();
    };
    await expectAborted('chunk-damaged', /is not stored as its manifest says/);
  });

  it('is refused before anything is touched when it claims what another has', async () => {
    const alpha = agents.hosts[0] as HostDescription;
    const beta = agents.hosts[1] as HostDescription;
    const member = describedMember('ba');
    const { incarnation, dataIdentity } = describedMember('aa');
    const claims: readonly (readonly [HostDescription, string])[] = [
      [{ ...beta, members: [describedMember('aa')] }, 'duplicate-member'],
      [{ ...beta, members: [{ ...member, address: 'aa.example:5432' }] }, 'duplicate-member'],
      [{ ...beta, members: [{ ...member, incarnation, dataIdentity }] }, 'duplicate-member'],
      [{ ...beta, host: '127.0.18.1' }, 'host-differs'],
      [{ ...beta, grid: 'payroll' }, 'wrong-grid'],
      [{ ...beta, members: [{ ...member, frozen: true }] }, 'member-frozen'],
    ];
    for (const [lying, code] of claims) {
      agents.hosts = [alpha, lying];
      const { failure, exitCode } = await create();
      expect(failure).to.include({ code });
      expect(failure?.host).to.be.a('string');
      expect(exitCode).to.equal(3);
    }
    const sameDirectory = { dataDirectory: '/data' };
    agents.hosts = [
      { ...alpha, members: [describedMember('aa', sameDirectory), describedMember('ca', sameDirectory)] },
      beta,
    ];
    expect((await create()).failure).to.include({ code: 'duplicate-member', host: 'alpha', member: 'ca' });
    expect(commands).to.deep.equal([]);
    expect(await valid()).to.equal(0);
  });
});

import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pruneCheckpoints } from '../../coordinator/prune.ts';
import { formatCheckpointId } from '../../shared/domain/checkpoint-id.ts';
import { EXIT, StillpointError } from '../../shared/domain/errors.ts';
import type { HostDescription } from '../../shared/domain/grid.ts';
import { HOLD_PURPOSES } from '../../shared/domain/purpose.ts';
import { EVERYTHING } from '../../shared/repository/repository.ts';
import { programFile } from '../lab/programs.ts';
import {
  checkpointId,
  failureOf,
  LINEAGE,
  noise,
  storeCheckpoint,
  storeHeld,
  storeImported,
} from '../repository/samples.ts';
import { BEGUN } from '../repository/sets-suite.ts';
import { describedHost, describedMember, manifestOf } from './descriptions.ts';
import { patient, quiet, scriptedAgents, storeManifest, type ScriptedAgents } from './scripted-agents.ts';

// Goal: what is pruned is gone everywhere, what is kept is whole, and nothing goes unasked.
// Method: a real repository, and agents that remember what they were asked, over the real wire.

const NO_HOLDS = { deleted: [], kept: [], keptBy: {} };
const MAIN = programFile('coordinator/main.ts');

function hostWith(host: string, counters: readonly number[]): HostDescription {
  const localCheckpoints = counters.map((counter) => checkpointId(counter));
  return describedHost(host, [describedMember(`${host}-a`, { localCheckpoints })]);
}

describe('pruning checkpoints', () => {
  let agents: ScriptedAgents;

  beforeEach(async () => {
    agents = await scriptedAgents([hostWith('alpha', [1, 2, 3]), hostWith('beta', [3])]);
    for (const counter of [1, 2, 3])
      await storeCheckpoint(agents.repository, checkpointId(counter), {
        a: { 'base/1': noise(500, 'shared'), 'base/2': noise(100 * counter, `own ${counter}`) },
      });
  });

  afterEach(() => agents.close());

  async function prune(
    changes: Partial<Parameters<typeof pruneCheckpoints>[0]> = {},
  ): ReturnType<typeof pruneCheckpoints> {
    return pruneCheckpoints({
      repository: agents.repository,
      entries: await agents.repository.list('orders'),
      gridFile: agents.gridFile,
      rule: { keep: 1, keepWithinMs: null, calendar: {} },
      lineage: null,
      acceptTimes: false,
      dryRun: false,
      confirm: () => Promise.resolve(),
      cancellation: patient,
      progress: quiet,
      ...changes,
    });
  }

  async function states(): Promise<string[]> {
    const entries = await agents.repository.list('orders');
    return entries.map(({ checkpoint, state }) => `${Number(checkpoint.split('_')[2])} ${state}`);
  }

  function dropped(): string[] {
    return agents.asked.flatMap(({ host, request }) =>
      request.type === 'dropLocal' ? [`${host} ${request.checkpoints.join(' ')}`] : [],
    );
  }

  it('neither counts nor deletes what was imported', async () => {
    await storeImported(agents.repository, checkpointId(4));
    const { deleted, kept } = await prune();
    expect(deleted).to.deep.equal([checkpointId(1), checkpointId(2)]);
    expect(kept).to.deep.equal([checkpointId(3)]);
    const left = await agents.repository.list('orders', EVERYTHING);
    expect(left.map(({ checkpoint }) => checkpoint)).to.deep.equal([checkpointId(4), checkpointId(3)]);
    expect(await agents.repository.verify('orders', checkpointId(4), () => undefined)).to.deep.equal([]);
  });

  it('deletes what is not kept, here and on hosts, and frees what only that needed', async () => {
    const both = [checkpointId(1), checkpointId(2)];

    expect(await prune()).to.deep.equal({
      deleted: both,
      kept: [checkpointId(3)],
      keptBy: { [checkpointId(3)]: ['newest', 'keep'] },
      holds: NO_HOLDS,
      busy: [],
      removedBytes: 300,
      local: [{ host: 'alpha', checkpoints: both }],
    });

    expect(await states()).to.deep.equal(['3 valid']);
    expect(await agents.repository.verify('orders', checkpointId(3), () => undefined)).to.deep.equal([]);
    expect(dropped()).to.deep.equal([`alpha ${both.join(' ')}`]);
    const order = agents.asked.filter(({ host }) => host === 'alpha').map(({ request }) => request.type);
    expect(order).to.deep.equal(['describe', 'claim', 'dropLocal', 'release']);
  });

  it('leaves what is kept for good, here and on hosts, however old', async () => {
    const [first, second, third] = [1, 2, 3].map((counter) => checkpointId(counter));
    const old = formatCheckpointId({ at: new Date(0), epoch: 0, counter: 0, name: 'old' });
    await storeCheckpoint(agents.repository, old, { a: { 'base/1': noise(10, 'old') } });
    for (const checkpoint of [old, first ?? ''])
      await agents.repository.retain('orders', checkpoint, { reason: 'audit', by: 'doe', sinceMs: 0 });
    const rule = { keep: 1, keepWithinMs: null, calendar: { daily: 1 } };

    const report = await prune({ rule });

    expect(report.deleted).to.deep.equal([second]);
    expect(report.kept).to.deep.equal([third, first, old]);
    expect(report.keptBy).to.include.keys(first ?? '', old);
    expect(report.keptBy[old]).to.deep.equal(['held']);
    expect(dropped()).to.deep.equal([`alpha ${second}`]);
  });

  it('leaves what somebody keeps for good while it is at work', async () => {
    const { confirm, second } = {
      second: checkpointId(2),
      confirm: () =>
        agents.repository.retain('orders', checkpointId(2), { reason: 'audit', by: 'doe', sinceMs: 0 }),
    };

    const { deleted } = await prune({ gridFile: null, confirm });

    expect(deleted).to.deep.equal([checkpointId(1)]);
    expect(await states()).to.deep.equal(['3 valid', '2 valid']);
    await agents.repository.release('orders', second);
  });

  it('needs no agent where only the repository is named', async () => {
    const { deleted, local } = await prune({ gridFile: null });

    expect(deleted).to.have.length(2);
    expect(local).to.deep.equal([]);
    expect(agents.asked).to.deep.equal([]);
  });

  it('leaves the chunks to a later collection while an operation runs', async () => {
    const operation = await agents.repository.beginOperation({ grid: 'orders', id: 'one', holder: 'a test' });

    expect((await prune({ gridFile: null })).removedBytes).to.equal(0);

    expect(await operation.refresh()).to.equal(true);
    await operation.end();
    expect(await agents.repository.collectGarbage('orders')).to.deep.equal({
      removedBytes: 300,
      skipped: false,
    });
  });

  it('does not call itself refused when the repository fails it after copies on hosts are gone', async () => {
    const away = new StillpointError(
      { code: 'repository-failed', message: 'it is away', hint: 'h' },
      EXIT.aborted,
    );
    agents.repository.beginOperation = () => Promise.reject(away);

    const thrown: unknown = await prune().catch((error: unknown) => error);

    expect(dropped()).to.have.length(1);
    expect(thrown).to.equal(away);
  });

  it('does not go on to the chunks while its own mark stays in the repository', async () => {
    const stays = new Error('it stays');
    const { repository } = agents;
    const begin = repository.beginOperation.bind(repository);
    repository.beginOperation = async (start) => ({
      ...(await begin(start)),
      end: () => Promise.reject(stays),
    });

    expect(await prune().catch((error: unknown) => error)).to.equal(stays);
  });

  const untouched: Record<string, [string, () => Partial<Parameters<typeof pruneCheckpoints>[0]>]> = {
    'with --dry-run': ['accepted', () => ({ dryRun: true })],
    'when it is not confirmed': [
      'not-confirmed: 2',
      () => ({
        confirm: () =>
          Promise.reject(new StillpointError({ code: 'not-confirmed', message: 'm', hint: 'h' })),
      }),
    ],
    'while another operation holds the grid': [
      'grid-busy: 3',
      () => {
        agents.onRequest = (_, { type }) => {
          if (type === 'claim') throw new StillpointError({ code: 'grid-busy', message: 'm', hint: 'h' });
        };
        return {};
      },
    ],
    'where an agent does not answer': [
      'agent-unreachable: 3',
      () => ({ gridFile: { ...agents.gridFile, agents: ['127.0.18.250:9'] } }),
    ],
    'where an agent belongs to another grid': [
      'wrong-grid: 3',
      () => {
        agents.hosts = agents.hosts.map((host) => ({ ...host, grid: 'payroll' }));
        return {};
      },
    ],
    'where a host cannot remove its copies': [
      'agent-disk: 4',
      () => {
        agents.onRequest = (_, { type }) => {
          if (type === 'dropLocal')
            throw new StillpointError({ code: 'agent-disk', message: 'm', hint: 'h' });
        };
        return {};
      },
    ],
  };
  for (const [what, [outcome, changes]] of Object.entries(untouched)) {
    it(`changes nothing in the repository ${what}`, async () => {
      const ended = await prune(changes()).then(
        () => 'accepted',
        ({ failure, exitCode }: StillpointError) => `${failure.code}: ${exitCode}`,
      );

      expect(ended).to.equal(outcome);
      expect(await states()).to.deep.equal(['3 valid', '2 valid', '1 valid']);
    });
  }

  it('skips what somebody reads, says who, and does the rest', async () => {
    const reading = { grid: 'orders', id: 'r', holder: 'restore of beta', reads: checkpointId(1) };
    const lease = await agents.repository.beginOperation(reading);

    const { deleted, kept, busy, local } = await prune();

    expect(deleted).to.deep.equal([checkpointId(2)]);
    expect(kept).to.deep.equal([checkpointId(3), checkpointId(1)]);
    expect(busy).to.deep.equal([{ checkpoint: checkpointId(1), holder: 'restore of beta' }]);
    expect(local).to.deep.equal([{ host: 'alpha', checkpoints: [checkpointId(2)] }]);
    expect(await states()).to.deep.equal(['3 valid', '1 valid']);
    await lease.end();
    expect((await prune()).deleted).to.deep.equal([checkpointId(1)]);
  });

  it('counts and deletes what is of the lineage of its hosts alone', async () => {
    const lineage = '00000000-0000-4000-8000-00000000c0b1';
    for (const counter of [4, 5])
      await storeManifest(agents.repository, {
        ...manifestOf([{ host: 'alpha', member: describedMember('a1a') }]),
        lineage,
        counter,
        checkpoint: checkpointId(counter),
      });

    expect((await prune()).deleted).to.deep.equal([checkpointId(1), checkpointId(2)]);
    expect(await states()).to.deep.equal(['5 valid', '4 valid', '3 valid']);

    const both = await failureOf(prune({ gridFile: null }));
    expect(both).to.include({ code: 'lineage-ambiguous' });
    expect(both.message).to.include(lineage.slice(0, 8)).and.include(LINEAGE.slice(0, 8));
    agents.hosts = agents.hosts.map((host) => ({ ...host, lineage: null }));
    expect(await failureOf(prune())).to.include({ code: 'lineage-unknown' });
    expect(await states()).to.deep.equal(['5 valid', '4 valid', '3 valid']);

    expect((await prune({ gridFile: null, lineage: '00000000' })).deleted).to.deep.equal([checkpointId(4)]);
  });

  it('says each time that a damaged checkpoint keeps the space of all others', async () => {
    const members = join(agents.gridFile.repository, 'grids/orders/checkpoints', checkpointId(2), 'members');
    writeFileSync(join(members, 'a.json'), 'rotten');
    agents.hosts = [hostWith('alpha', [])];

    const first = await failureOf(prune({ gridFile: null }));
    expect(first).to.include({ code: 'manifest-damaged' });
    const again = await failureOf(prune({ gridFile: null }));
    expect(again).to.include({ code: 'garbage-kept' });
    expect(again.hint).to.include(`checkpoint delete ${checkpointId(2)}`);
    const listed = spawnSync(
      process.execPath,
      [MAIN, 'checkpoint', 'list', '--repository', agents.gridFile.repository, '--output', 'json'],
      { encoding: 'utf8' },
    );
    expect(JSON.parse(listed.stdout)).to.have.nested.property('problems[0].code', 'garbage-kept');
  });

  it('counts no ages from a copy of the future, where the repository has lost everything and hosts have copies', async () => {
    for (const counter of [1, 2, 3])
      await agents.repository.deleteCheckpoint('orders', checkpointId(counter));
    const day = 24 * 3_600_000;
    const localCheckpoints = [-2, -1, 60].map((days, index) =>
      formatCheckpointId({ at: new Date(Date.now() + days * day), epoch: 0, counter: index + 1, name: 'x' }),
    );
    agents.hosts = [
      describedHost('alpha', [describedMember('alpha-a', { localCheckpoints })]),
      hostWith('beta', []),
    ];
    const rule = { keep: null, keepWithinMs: 7 * day, calendar: {} };

    expect(await failureOf(prune({ rule }))).to.include({ code: 'time-leap' });
    expect(dropped()).to.deep.equal([]);
    // Whoever knows better may say so; by numbers no clock is asked.
    expect((await prune({ rule, acceptTimes: true, dryRun: true })).local[0]?.checkpoints).to.have.length(2);
    expect((await prune({ dryRun: true })).local[0]?.checkpoints).to.have.length(2);
  });

  it('deletes what held the grid and copied nothing by the same rule, counted apart, but for what a set needs', async () => {
    const { repository } = agents;
    await storeHeld(repository, checkpointId(4), 'quiesce');
    await storeHeld(repository, checkpointId(5), 'journalCheckpoint');
    await storeHeld(repository, checkpointId(6), 'freeze');
    await storeHeld(repository, checkpointId(7), 'journalCheckpoint');
    const heldBy = { operation: 'job-4', purpose: 'quiesce', checkpoint: checkpointId(4) } as const;
    await repository.beginBackup('orders', 'nightly', 'a', { ...BEGUN, heldBy });
    const all = { purposes: HOLD_PURPOSES };
    const asked: string[][] = [];

    const { deleted, holds } = await prune({
      entries: await repository.list('orders', all),
      confirm: (plan) => Promise.resolve(void asked.push([...plan.deleted, ...plan.holds.deleted])),
    });
    expect(asked).to.deep.equal([[1, 2, 5, 6].map((counter) => checkpointId(counter))]);
    expect(deleted).to.deep.equal([checkpointId(1), checkpointId(2)]);
    expect(holds).to.deep.equal({
      deleted: [checkpointId(5), checkpointId(6)],
      kept: [checkpointId(7), checkpointId(4)],
      keptBy: { [checkpointId(7)]: ['newest', 'keep'], [checkpointId(4)]: ['set nightly'] },
    });
    const left = await repository.list('orders', all);
    expect(left.map(({ checkpoint }) => checkpoint)).to.deep.equal(
      [7, 4, 3].map((counter) => checkpointId(counter)),
    );

    // A set that is forgotten needs nothing; one that cannot be read may need any of them.
    await repository.beginBackup('orders', 'unread', 'a', { ...BEGUN, heldBy: null });
    damageSet('unread');
    const dry = async (): Promise<unknown> =>
      (await prune({ entries: await repository.list('orders', all), dryRun: true })).holds.keptBy;
    expect(await dry()).to.deep.equal({
      [checkpointId(7)]: ['newest', 'keep', 'set unread'],
      [checkpointId(4)]: ['set nightly', 'set unread'],
    });
    for (const set of ['nightly', 'unread']) await repository.deleteSet('orders', set);
    expect(await dry()).to.deep.equal({ [checkpointId(7)]: ['newest', 'keep'] });
  });

  function damageSet(set: string): void {
    const files = readdirSync(agents.gridFile.repository, { recursive: true, encoding: 'utf8' });
    const records = files.filter((file) => file.includes(`/${set}/`) && file.endsWith('.json'));
    expect(records).not.to.deep.equal([]);
    for (const record of records) writeFileSync(join(agents.gridFile.repository, record), 'rot');
  }

  it('asks nobody where nothing is to be deleted', async () => {
    agents.hosts = [hostWith('alpha', [3]), hostWith('beta', [])];
    const confirm = (): Promise<void> => Promise.reject(new Error('asked'));

    expect(
      (await prune({ rule: { keep: 3, keepWithinMs: null, calendar: {} }, confirm })).kept,
    ).to.have.length(3);
    expect(agents.asked.some(({ request }) => request.type === 'claim')).to.equal(false);
  });

  function command(...words: string[]): { status: number | null; result: Record<string, unknown> } {
    const all = ['checkpoint', 'prune', '--repository', agents.gridFile.repository, '--output', 'json'];
    const ran = spawnSync(process.execPath, [MAIN, ...all, ...words], { encoding: 'utf8', input: '' });
    return { status: ran.status, result: JSON.parse(ran.stdout) as Record<string, unknown> };
  }

  it('is told by commands what to keep for good', function () {
    this.timeout(100_000);
    const run = (...words: string[]): { status: number | null; result: Record<string, unknown> } => {
      const where = ['--repository', agents.gridFile.repository, '--output', 'json'];
      const ran = spawnSync(process.execPath, [MAIN, 'checkpoint', ...words, ...where], {
        encoding: 'utf8',
        input: '',
      });
      return { status: ran.status, result: JSON.parse(ran.stdout) as Record<string, unknown> };
    };
    const id = checkpointId(1);

    expect(run('hold', id).result).to.have.nested.property('error.code', 'usage');
    expect(run('hold', id, '--reason', ' ').result).to.have.nested.property('error.code', 'usage');
    const held = run('hold', id, '--reason', 'audit 2026');
    expect(held).to.have.property('status', 0);
    expect(held.result).to.have.nested.property('held.reason', 'audit 2026');
    const refused = run('delete', id, '--yes');
    expect(refused).to.have.property('status', 3);
    expect(refused.result).to.have.nested.property('error.code', 'checkpoint-held');
    expect(run('list').result).to.have.nested.property('checkpoints[2].held.reason', 'audit 2026');
    expect(run('describe', id).result).to.have.nested.property('held.reason', 'audit 2026');
    expect(command('--keep', '1', '--yes').result)
      .to.have.property('kept')
      .that.includes(id);
    expect(run('release', id).result).to.deep.include({ checkpoint: id, released: true });
    expect(run('release', id).result).to.have.nested.property('error.code', 'checkpoint-not-held');
    expect(run('delete', id, '--yes')).to.have.property('status', 0);
  });

  it('is a command that needs a rule, and a yes where nobody can be asked', async function () {
    // It starts a dozen commands, one after the other.
    this.timeout(100_000);
    expect(command('--yes').result).to.have.nested.property('error.code', 'usage');
    expect(command('--keep', '0', '--yes').result).to.have.nested.property('error.code', 'usage');
    expect(command('--keep', '2').result).to.have.nested.property('error.code', 'not-confirmed');
    expect(command('--keep', '2', '--dry-run')).to.deep.equal({
      status: 0,
      result: {
        deleted: [checkpointId(1)],
        kept: [checkpointId(3), checkpointId(2)],
        keptBy: { [checkpointId(3)]: ['newest', 'keep'], [checkpointId(2)]: ['keep'] },
        holds: NO_HOLDS,
        busy: [],
        removedBytes: 0,
        local: [],
      },
    });
    expect(await states()).to.have.length(3);

    const within = ['--keep', '1', '--keep-within', '1000w', '--yes'];
    // They are of one moment, and that was days ago.
    expect(command(...within).result).to.have.nested.property('error.code', 'time-leap');
    expect(command(...within, '--accept-times').result).to.include({ removedBytes: 0 });
    const calendar = [
      '--keep-hourly',
      '2',
      '--keep-daily',
      '2',
      '--keep-weekly',
      '2',
      '--keep-monthly',
      '2',
      '--keep-yearly',
      '2',
    ];
    expect(command(...calendar, '--dry-run').result).to.have.nested.property('error.code', 'time-leap');
    expect(
      command('--keep-last', '2', ...calendar, '--accept-times', '--dry-run').result['keptBy'],
    ).to.deep.equal({
      [checkpointId(3)]: [
        'newest',
        'keep',
        'keep-hourly 2026-11-20T12h',
        'keep-daily 2026-11-20',
        'keep-weekly 2026-W47',
        'keep-monthly 2026-11',
        'keep-yearly 2026',
      ],
      [checkpointId(2)]: ['keep'],
    });
    expect(command('--keep', '2', '--yes').result).to.include({ removedBytes: 100 });
    expect(await states()).to.deep.equal(['3 valid', '2 valid']);
  });
});

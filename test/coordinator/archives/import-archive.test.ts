import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { importArchive, type ImportInput } from '../../../coordinator/archives/import-archive.ts';
import type { ImportReport } from '../../../coordinator/reports.ts';
import { StillpointError, type Failure } from '../../../shared/domain/errors.ts';
import type { AgentRequest, ImportedMember } from '../../../shared/domain/wire.ts';
import { EVERYTHING } from '../../../shared/repository/repository.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import {
  checkpointId,
  collect,
  inPieces,
  LINEAGE,
  memberHead,
  noise,
  sha256,
  storeCheckpoint,
} from '../../repository/samples.ts';
import { HELD_BY_NOBODY } from '../../../shared/domain/assignment.ts';
import { describedHost, describedMember } from '../descriptions.ts';
import { quiet, scriptedAgents, type ScriptedAgents } from '../scripted-agents.ts';
import { silentLog } from '../../agent/held-host.ts';

// Goal: what an import commits is the archive that was given and says what it is; where anything fails, nothing of it is
// left in the repository. Method: the coordinator's part on a real repository, agents that store what a test lets them.

const PATH = 'backup.zip';
const ARCHIVE = noise(500_000, 'archive');
type Asked = Extract<AgentRequest, { type: 'importArchive' }>;

describe('the import of an archive', () => {
  let agents: ScriptedAgents;
  let folder: ReturnType<typeof temporaryFolder>;
  let file: string;
  let abort: AbortController;
  let reach: (moment: string) => Promise<void>;
  const member = describedMember('a1', {
    engine: 'memory',
    copyset: 'a',
    traits: { archive: PATH, domain: 'cluster', copies: 'one' },
  });

  beforeEach(async () => {
    folder = temporaryFolder('import');
    file = join(folder.path, 'my-backup.zip');
    writeFileSync(file, ARCHIVE);
    abort = new AbortController();
    reach = () => Promise.resolve();
    agents = await scriptedAgents([
      describedHost('127.0.18.1', [member]),
      describedHost('127.0.18.2', [describedMember('pa')]),
    ]);
    agents.importing = (request) => stored(request);
  });

  afterEach(async () => {
    await agents.close();
    folder.remove();
  });

  /** As an agent stores it, whose engine has found nothing wrong. */
  async function stored(
    { checkpoint, given, member: name, digest }: Asked,
    bytes?: Uint8Array,
    more: Partial<ImportedMember> = {},
  ): Promise<ImportedMember> {
    const { repository } = agents;
    const source = await repository.readMember('orders', given, name, digest);
    const writer = repository.beginMember('orders', checkpoint);
    const content = bytes ?? (await collect(repository.readFile(source, PATH)));
    await writer.file({ path: PATH, mode: 0o600, mtimeMs: 0 }, inPieces(content));
    const { role, copyset, engine, address, primary, traits, freezeKind } = member;
    const finished = await writer.finish({
      ...memberHead(checkpoint, name),
      member: {
        name,
        host: '127.0.18.1',
        role,
        copyset,
        engine,
        address,
        primary,
        traits,
        freezeKind,
        assignment: HELD_BY_NOBODY,
        version: '16',
        dataIdentity: '',
      },
      mark: null,
      engineFacts: { caches: 1 },
    });
    return {
      ...finished,
      writtenAt: '2026-11-30T09:51:06.000Z',
      leftOut: null,
      content: ['caches: 1'],
      ...more,
    };
  }

  const bring = (changes: Partial<ImportInput> = {}): Promise<ImportReport> =>
    importArchive({
      gridFile: agents.gridFile,
      file,
      name: 'my-backup',
      member: null,
      partial: false,
      cancellation: { signal: abort.signal, second: new AbortController().signal },
      progress: quiet,
      log: silentLog,
      reach: (moment) => reach(moment),
      ...changes,
    });

  async function refusal(bringing: Promise<unknown>): Promise<Failure & { readonly exit: number }> {
    const error: unknown = await bringing.then(
      () => expect.fail('it was imported'),
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(StillpointError);
    const { failure, exitCode } = error as StillpointError;
    return { ...failure, exit: exitCode };
  }

  async function nothingLeft(): Promise<void> {
    expect(await agents.repository.list('orders', EVERYTHING)).to.deep.equal([]);
    const grid = join(agents.repository.location, 'grids/orders');
    if (!existsSync(grid)) return;
    const files = readdirSync(grid, { recursive: true, withFileTypes: true }).filter(
      (entry) => entry.isFile() && /\/(chunks|checkpoints|operations)(\/|$)/.test(entry.parentPath),
    );
    expect(files.map(({ name }) => name)).to.deep.equal([]);
  }

  it('commits what was given as the next checkpoint of the grid, and says what it is', async () => {
    await storeCheckpoint(agents.repository, checkpointId(6), { pa: {} });
    const report = await bring();
    expect(report.checkpoint).to.match(/_00000000_00000007_my-backup$/);
    const imported = {
      file: 'my-backup.zip',
      sha256: sha256(ARCHIVE),
      writtenAt: '2026-11-30T09:51:06.000Z',
    };
    expect(report).to.deep.include({
      grid: 'orders',
      epoch: 0,
      counter: 7,
      imported,
      content: ['caches: 1'],
    });
    expect(report.members.map(({ name, state, sizeBytes }) => [name, state, sizeBytes])).to.deep.equal([
      ['a1', 'imported', ARCHIVE.length],
    ]);
    const manifest = await agents.repository.readCheckpoint('orders', report.checkpoint);
    expect(manifest).to.deep.include({
      imported,
      lineage: LINEAGE,
      windowMs: 0,
      journalMap: {},
      copysets: ['a'],
      absent: [],
    });
    expect(await agents.repository.verify('orders', report.checkpoint, () => undefined)).to.deep.equal([]);
    const all = await agents.repository.list('orders', EVERYTHING);
    expect(all.map(({ checkpoint, state }) => [checkpoint, state])).to.deep.equal([
      [report.checkpoint, 'valid'],
      [checkpointId(6), 'valid'],
    ]);
  });

  it('is passed over by whoever does not ask for what was imported', async () => {
    await bring();
    expect(await agents.repository.list('orders')).to.deep.equal([]);
    expect(await agents.repository.list('orders', { imported: true })).to.have.length(1);
  });

  it('holds no member: no agent is told more than to read it', async () => {
    await bring();
    const asked = new Set(agents.asked.map(({ request }) => request.type));
    expect([...asked]).to.have.members(['claim', 'describe', 'importArchive', 'release']);
  });

  it('leaves nothing where an engine refuses it, and says that it is the archive (exit 6)', async () => {
    agents.onRequest = (_, { type }) => {
      if (type !== 'importArchive') return;
      throw new StillpointError({
        code: 'no-archive',
        message: 'it is none',
        hint: 'another',
        phase: 'verify',
      });
    };
    const failure = await refusal(bring());
    expect(failure).to.deep.include({ code: 'no-archive', message: 'my-backup.zip: it is none', exit: 6 });
    await nothingLeft();
  });

  it('leaves nothing where an agent fails for another reason, or goes (exit 4)', async () => {
    agents.onRequest = (_, { type }) => {
      if (type === 'importArchive')
        throw new StillpointError({ code: 'agent-disk-full', message: 'full', hint: 'room' });
    };
    expect(await refusal(bring())).to.include({ code: 'agent-disk-full', exit: 4 });
    await nothingLeft();

    agents.onRequest = (host, { type }) => {
      if (type === 'importArchive') agents.cut(host);
    };
    expect(await refusal(bring())).to.include({ code: 'agent-lost', exit: 4 });
    await nothingLeft();
  });

  it('leaves nothing where an agent has stored something else than what was given', async () => {
    agents.importing = (request) => stored(request, noise(500_000, 'another'));
    expect(await refusal(bring())).to.include({ code: 'agent-untrue', exit: 4 });
    await nothingLeft();
  });

  it('refuses what was made without a kind of data, unless that is asked for; then it says so', async () => {
    agents.importing = (request) => stored(request, undefined, { leftOut: 'counters, tasks' });
    const failure = await refusal(bring());
    expect(failure).to.include({ code: 'archive-partial', exit: 3 });
    expect(failure.message).to.equal('my-backup.zip was made without counters, tasks');
    expect(failure.hint).to.contain('--partial');
    await nothingLeft();
    expect((await bring({ partial: true })).warnings[0]).to.contain(
      'was made without counters, tasks; a restore',
    );
  });

  it('leaves nothing where it is interrupted, at every moment before the commit (exit 4)', async () => {
    for (const moment of ['given', 'committing']) {
      abort = new AbortController();
      reach = (reached) => {
        if (reached === moment)
          abort.abort(new StillpointError({ code: 'interrupted', message: 'enough', hint: '' }, 4));
        return Promise.resolve();
      };
      expect(await refusal(bring()), moment).to.include({ code: 'interrupted', exit: 4 });
      await nothingLeft();
    }
  });

  it('sweeps what a killed one has left', async () => {
    const writer = agents.repository.beginMember('orders', checkpointId(3));
    await writer.finish({ ...memberHead(checkpointId(3), 'a1'), mark: null });
    const { checkpoint } = await bring();
    const all = await agents.repository.list('orders', EVERYTHING);
    expect(all.map((entry) => entry.checkpoint)).to.deep.equal([checkpoint]);
  });

  it('refuses before anything is stored: a bad name, no room, another repository, a member that has no archives', async () => {
    expect(await refusal(bring({ name: 'my backup' }))).to.include({ code: 'bad-checkpoint-name', exit: 2 });
    expect(await refusal(bring({ member: 'pa' }))).to.include({ code: 'archive-unsupported', exit: 3 });
    const [first] = agents.hosts;
    if (first === undefined) throw new Error('a host');
    agents.hosts[0] = { ...first, stateFreeBytes: 1000 };
    expect(await refusal(bring())).to.include({ code: 'import-no-room', exit: 3 });
    agents.hosts[0] = { ...first, grid: 'others' };
    agents.greetsAll = true;
    expect(await refusal(bring())).to.include({ code: 'wrong-grid', exit: 3 });
    await nothingLeft();
  });

  it('refuses a file that is none, or that nobody can read (exit 2)', async () => {
    mkdirSync(join(folder.path, 'directory'));
    expect(spawnSync('mkfifo', [join(folder.path, 'pipe')]).status).to.equal(0);
    writeFileSync(join(folder.path, 'empty'), '');
    for (const [name, why] of [
      ['nothing', 'there is no such file'],
      ['directory', 'it is no file'],
      ['pipe', 'it is no file'],
      ['empty', 'it is empty'],
    ] as const) {
      const failure = await refusal(bring({ file: join(folder.path, name) }));
      expect(failure, name).to.include({ code: 'archive-unreadable', exit: 2 });
      expect(failure.message).to.contain(why);
    }
  });
});

import { expect } from 'chai';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { exportArchive, type ExportInput } from '../../../coordinator/archives/export-archive.ts';
import type { ExportReport } from '../../../coordinator/reports.ts';
import { StillpointError, type Failure } from '../../../shared/domain/errors.ts';
import type { GridManifest, GridManifestMember } from '../../../shared/domain/manifest.ts';
import type { Repository } from '../../../shared/repository/repository.ts';
import { stillpoint } from '../../lab/processes.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { madeRepository } from '../../repository/made.ts';
import {
  checkpointId,
  noise,
  sha256,
  storeCheckpoint,
  storeHeld,
  storeImported,
} from '../../repository/samples.ts';
import { quiet } from '../scripted-agents.ts';

// Goal: an archive leaves a checkpoint as it was stored, into a file that nothing was, or not at all.
// Method: a real repository and real files.

const ARCHIVE = noise(9_000_000, 'an archive of three chunks');

describe('the export of an archive', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let repository: Repository;
  let manifest: GridManifest;
  let out: string;
  let abort: AbortController;

  beforeEach(async () => {
    folder = temporaryFolder('export');
    repository = await madeRepository(join(folder.path, 'repository'), { threads: 0 });
    manifest = await storeImported(repository, checkpointId(1), ARCHIVE);
    mkdirSync(join(folder.path, 'out'));
    out = join(folder.path, 'out/backup.zip');
    abort = new AbortController();
  });

  afterEach(async () => {
    await repository.close();
    folder.remove();
  });

  const take = (changes: Partial<ExportInput> = {}): Promise<ExportReport> =>
    exportArchive({
      repository,
      manifest,
      member: null,
      file: out,
      progress: quiet,
      signal: abort.signal,
      ...changes,
    });

  async function refusal(taking: Promise<unknown>): Promise<Failure & { readonly exit: number }> {
    const error: unknown = await taking.then(
      () => expect.fail('it was exported'),
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(StillpointError);
    const { failure, exitCode } = error as StillpointError;
    return { ...failure, exit: exitCode };
  }

  const there = (): string[] => readdirSync(join(folder.path, 'out'));

  it('writes the bytes that were stored, for their owner alone, and nothing besides', async () => {
    const report = await take();
    expect(readFileSync(out).equals(ARCHIVE)).to.equal(true);
    expect(statSync(out).mode & 0o777).to.equal(0o600);
    expect(there()).to.deep.equal(['backup.zip']);
    expect(report).to.deep.include({
      checkpoint: checkpointId(1),
      grid: 'orders',
      member: 'a',
      file: out,
      sizeBytes: ARCHIVE.length,
      sha256: sha256(ARCHIVE),
    });
  });

  it('writes over nothing: no file, no directory, no link', async () => {
    writeFileSync(out, 'mine');
    const link = join(folder.path, 'out/link.zip');
    symlinkSync(join(folder.path, 'out/nowhere'), link);
    for (const file of [out, link, join(folder.path, 'out')])
      expect(await refusal(take({ file })), file).to.include({ code: 'export-exists', exit: 2 });
    expect(readFileSync(out, 'utf8')).to.equal('mine');
    expect(there()).to.have.members(['backup.zip', 'link.zip']);
  });

  it('writes over nothing that came while it wrote', async () => {
    const late = {
      ...quiet,
      bytes: () => {
        if (!existsSync(out)) writeFileSync(out, 'came meanwhile');
      },
    };
    expect(await refusal(take({ progress: late }))).to.include({ code: 'export-exists', exit: 2 });
    expect(readFileSync(out, 'utf8')).to.equal('came meanwhile');
    expect(there()).to.deep.equal(['backup.zip']);
  });

  it('says where the file cannot be written', async () => {
    const file = join(folder.path, 'nowhere/backup.zip');
    expect(await refusal(take({ file }))).to.include({ code: 'export-unwritable', exit: 2 });
  });

  it('leaves no file where a byte in the repository is damaged (exit 6)', async () => {
    const chunks = join(folder.path, 'repository/grids/orders/chunks');
    const last = readdirSync(chunks, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted((a, b) => statSync(a).size - statSync(b).size)[0];
    if (last === undefined) throw new Error('no chunk');
    const bytes = readFileSync(last);
    bytes[10] = (bytes[10] ?? 0) ^ 1;
    writeFileSync(last, bytes);
    expect(await refusal(take())).to.include({ code: 'chunk-damaged', exit: 6 });
    expect(there()).to.deep.equal([]);
  });

  it('leaves no file where it is interrupted', async () => {
    const interrupted = {
      ...quiet,
      bytes: () => abort.abort(new StillpointError({ code: 'interrupted', message: 'enough', hint: '' }, 4)),
    };
    expect(await refusal(take({ progress: interrupted }))).to.include({ code: 'interrupted', exit: 4 });
    expect(there()).to.deep.equal([]);
  });

  it('is of the member that is named, of any of its domain, and of none where several could be meant', async () => {
    const [one] = manifest.members;
    if (one === undefined) throw new Error('a member');
    const named = (name: string, domain: string, changes: Partial<GridManifestMember> = {}) => ({
      ...one,
      name,
      address: `${name}:1`,
      traits: { ...one.traits, domain },
      ...changes,
    });
    const covered = named('b', 'a', { assignment: { hold: 'none', part: 'none' } });
    const plain = named('p', 'p', { traits: { ...one.traits, domain: 'p', archive: null } });
    const of = (...members: GridManifestMember[]): Partial<ExportInput> => ({
      manifest: { ...manifest, members },
      file: join(folder.path, 'out', `${crypto.randomUUID()}.zip`),
    });
    for (const member of [null, 'a', 'a.example:5432', 'b', 'b:1'])
      expect((await take({ ...of(plain, one, covered), member })).member).to.equal('a');
    expect(await refusal(take({ ...of(one, named('c', 'other')) }))).to.include({
      code: 'export-ambiguous',
      exit: 2,
    });
    expect(await refusal(take({ ...of(one, plain), member: 'p' }))).to.include({
      code: 'archive-unsupported',
      exit: 3,
    });
    expect(await refusal(take({ ...of(one), member: 'x' }))).to.include({ code: 'unknown-member', exit: 2 });
  });

  it('is refused of what has no archive, and of what copied nothing (exit 3)', async () => {
    const other = await storeCheckpoint(repository, checkpointId(2), { pa: { 'base/1': noise(10, 'x') } });
    expect(await refusal(take({ manifest: other }))).to.include({ code: 'archive-unsupported', exit: 3 });
    const held = await storeHeld(repository, checkpointId(3), 'quiesce');
    expect(await refusal(take({ manifest: held }))).to.include({ code: 'nothing-copied', exit: 3 });
    expect(there()).to.deep.equal([]);
  });

  it('is a command that needs the repository alone, and takes no uncommitted checkpoint', async () => {
    const words = ['--repository', join(folder.path, 'repository'), '--output', 'json', '--quiet'];
    const done = await stillpoint(['export', 'nightly', out, ...words]);
    expect(done.code, done.stderr + done.stdout).to.equal(0);
    expect(done.json).to.include({ sha256: sha256(ARCHIVE), file: out });
    const none = await stillpoint(['export', 'latest', `${out}2`, ...words]);
    expect(none.code).to.equal(2);
    expect(none.json).to.have.nested.property('error.code', 'checkpoint-missing');
  });
});

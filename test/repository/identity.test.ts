import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { join } from 'node:path';
import { initRepository, openRepository } from '../../shared/repository/open.ts';
import { madeRepository } from './made.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { directoryLab, type DirectoryLab } from './directory-lab.ts';
import { checkpointId, failureOf, GRID, sha256, storeCheckpoint, storeMember } from './samples.ts';

describe('a directory named as a repository', () => {
  let folder: { path: string; remove(): void };

  beforeEach(() => {
    folder = temporaryFolder('identity');
  });

  afterEach(() => folder.remove());

  it('becomes one repository when several processes make it at once', async () => {
    const location = join(folder.path, 'shared', 'by all');
    const script = `
      const { initRepository } = await import(${JSON.stringify(new URL('../../shared/repository/open.ts', import.meta.url).href)});
      process.stdout.write((await initRepository(${JSON.stringify(location)})).id);`;

    const ids = await Promise.all(
      Array.from({ length: 4 }, () => {
        const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        return text(child.stdout);
      }),
    );

    expect(ids[0]).to.match(/^[0-9a-f-]{36}$/);
    expect(new Set(ids).size).to.equal(1);
    expect(readdirSync(location)).to.deep.equal(['grids', 'repository.json']);
  });

  it('keeps its id and its format in a file', async () => {
    const { id, location } = await madeRepository(folder.path);

    expect(location).to.equal(folder.path);
    const stored: unknown = JSON.parse(readFileSync(join(folder.path, 'repository.json'), 'utf8'));
    expect(stored).to.deep.equal({ format: 1, id, digest: sha256(Buffer.from(id)) });
  });

  it('is not made a repository when it is empty and nobody asked for one', async () => {
    const failure = await failureOf(openRepository(folder.path));

    expect(failure).to.include({ code: 'repository-missing' });
    expect(failure.message).to.equal(`there is no repository in ${folder.path}`);
    expect(failure.hint).to.include('is it mounted?');
    expect(readdirSync(folder.path)).to.deep.equal([]);
  });

  it('is not made a repository when it holds something else', async () => {
    writeFileSync(join(folder.path, 'accounts.xls'), 'precious');

    const failure = await failureOf(initRepository(folder.path));

    expect(failure).to.include({ code: 'repository-foreign' });
    expect(failure.message).to.include('it holds accounts.xls');
    expect(readdirSync(folder.path)).to.deep.equal(['accounts.xls']);
  });

  it('may be a file by mistake', async () => {
    const file = join(folder.path, 'file');
    writeFileSync(file, '');

    for (const location of [file, join(file, 'below')]) {
      const failure = await failureOf(initRepository(location));
      expect(failure).to.include({ code: 'repository-foreign' });
      expect(failure.message).to.include('is not a directory');
      expect(await failureOf(openRepository(location))).to.include({ code: 'repository-missing' });
    }
  });

  it('is ended by the next who makes it when its maker was killed half-way', async () => {
    const { id } = await initRepository(folder.path);
    rmSync(join(folder.path, 'grids'), { recursive: true });

    const failure = await failureOf(openRepository(folder.path));
    expect(failure).to.include({ code: 'repository-damaged' });
    expect(failure.hint).to.include('stillpoint repository init');

    expect(await initRepository(folder.path)).to.deep.equal({ id, made: false });
    const repository = await openRepository(folder.path);
    expect(await repository.list()).to.deep.equal([]);
    await repository.close();
  });

  it('may be of a format that is not known', async () => {
    for (const stored of ['{"format":2,"id":"x"}', '{"format":0}']) {
      writeFileSync(join(folder.path, 'repository.json'), stored);

      const failure = await failureOf(madeRepository(folder.path));

      expect(failure).to.include({ code: 'repository-format' });
      expect(readFileSync(join(folder.path, 'repository.json'), 'utf8')).to.equal(stored);
    }
  });

  it('cannot be a bucket yet', async () => {
    const failure = await failureOf(madeRepository('s3://bucket/prefix'));

    expect(failure).to.include({ code: 'repository-unsupported' });
    expect(failure.message).to.include('s3://');
    expect(failure.hint).to.include('directory');
  });
});

// Goal: what is no longer mounted is missed by who uses it, and nothing is made in the empty directory under it.
describe('a repository that is unmounted under those who use it', () => {
  let lab: DirectoryLab;

  beforeEach(async () => {
    lab = await directoryLab();
    await storeCheckpoint(lab.repository, checkpointId(1), { a: { PG_VERSION: Buffer.from('18') } });
  });

  afterEach(() => lab.close());

  const uses: Record<string, (repository: Repository) => Promise<unknown>> = {
    'is asked for': (repository) => repository.recognise(),
    'is probed': (repository) => repository.probe(),
    'gets another checkpoint': (repository) =>
      storeCheckpoint(repository, checkpointId(2), { a: { PG_VERSION: Buffer.from('19') } }),
    'gets a member': (repository) => storeMember(repository, checkpointId(2), 'a', {}),
    'is to decide a restore': (repository) => repository.decideRestore(GRID, 'r', 'rolledBack'),
    'is to raise the epoch': (repository) => repository.raiseEpoch(GRID, 1),
    'gets an operation': (repository) => repository.beginOperation({ grid: GRID, id: 'o', holder: 'a test' }),
    'loses a checkpoint': (repository) => repository.deleteCheckpoint(GRID, checkpointId(1)),
  };

  for (const [what, use] of Object.entries(uses)) {
    it(`is missing when it ${what}, and nothing is written in its place`, async () => {
      renameSync(lab.path, `${lab.path}-elsewhere`);
      mkdirSync(lab.path);

      const { code } = await failureOf(use(lab.repository));

      expect(code).to.equal('repository-missing');
      expect(readdirSync(lab.path)).to.deep.equal([]);
    });

    // Its manifest is committed by nobody.
    if (what === 'gets a member') continue;
    it(`is not taken for another that lies in its place when it ${what}`, async () => {
      renameSync(lab.path, `${lab.path}-elsewhere`);
      await initRepository(lab.path);

      const { code } = await failureOf(use(lab.repository));

      expect(code).to.equal('repository-missing');
    });
  }
});

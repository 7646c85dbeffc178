import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { join } from 'node:path';
import { openRepository } from '../../shared/repository/open.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { failureOf, sha256 } from './samples.ts';

describe('a directory named as a repository', () => {
  let folder: { path: string; remove(): void };

  beforeEach(() => {
    folder = temporaryFolder('identity');
  });

  afterEach(() => folder.remove());

  it('becomes one repository when several processes make it at once', async () => {
    const location = join(folder.path, 'shared', 'by all');
    const script = `
      const { openRepository } = await import(${JSON.stringify(new URL('../../shared/repository/open.ts', import.meta.url).href)});
      process.stdout.write((await openRepository(${JSON.stringify(location)}, { create: true })).id);`;

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
    expect(readdirSync(location)).to.deep.equal(['repository.json']);
  });

  it('keeps its id and its format in a file', async () => {
    const { id, location } = await openRepository(folder.path, { create: true });

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

    const failure = await failureOf(openRepository(folder.path, { create: true }));

    expect(failure).to.include({ code: 'repository-missing' });
    expect(failure.message).to.include('it holds accounts.xls');
    expect(readdirSync(folder.path)).to.deep.equal(['accounts.xls']);
  });

  it('may be a file by mistake', async () => {
    const file = join(folder.path, 'file');
    writeFileSync(file, '');

    for (const location of [file, join(file, 'below')]) {
      const failure = await failureOf(openRepository(location, { create: true }));
      expect(failure).to.include({ code: 'repository-missing' });
      expect(failure.message).to.include('is not a directory');
    }
  });

  it('may be of a format that is not known', async () => {
    for (const stored of ['{"format":2,"id":"x"}', '{"format":0}']) {
      writeFileSync(join(folder.path, 'repository.json'), stored);

      const failure = await failureOf(openRepository(folder.path, { create: true }));

      expect(failure).to.include({ code: 'repository-format' });
      expect(readFileSync(join(folder.path, 'repository.json'), 'utf8')).to.equal(stored);
    }
  });

  it('cannot be a bucket yet', async () => {
    const failure = await failureOf(openRepository('s3://bucket/prefix', { create: true }));

    expect(failure).to.include({ code: 'repository-unsupported' });
    expect(failure.message).to.include('s3://');
    expect(failure.hint).to.include('directory');
  });
});

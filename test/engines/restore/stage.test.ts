import { expect } from 'chai';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Stage } from '../../../agent/engines/restore/stage.ts';
import { syncFileSystems } from '../../../agent/engines/restore/sync-file-systems.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

const KERNEL = '6.1.0-9-amd64';

describe('what is staged', () => {
  let folder: { path: string; remove(): void };
  beforeEach(() => {
    folder = temporaryFolder('stage');
  });
  afterEach(() => folder.remove());

  async function staged(sync: (directories: readonly string[]) => Promise<boolean>): Promise<string> {
    const stage = new Stage({
      owner: null,
      signal: AbortSignal.timeout(60_000),
      bytesTotal: 1,
      progress: () => undefined,
      syncFileSystems: sync,
    });
    const root = join(folder.path, 'new');
    try {
      await stage.directory(root, 0o750);
      await stage.directory(join(root, 'base'), 0o755);
      await stage.file(join(root, 'base/1'), { mode: 0o640, mtimeMs: 0 }, bytes('one'));
      await stage.file(join(root, 'base/2'), { mode: 0o640, mtimeMs: 0 }, bytes('two'));
      await stage.replace(join(root, 'base/1'), 'another');
      await stage.seal();
    } finally {
      await stage.close();
    }
    return root;
  }

  it('is durable before anybody else may enter it, by one call for all of it', async () => {
    const seen: unknown[] = [];

    const root = await staged(async (directories) => {
      for (const directory of directories) {
        const inside = readFileSync(join(directory, 'base/1'), 'utf8');
        seen.push([inside, statSync(directory).mode & 0o777]);
      }
      return syncFileSystems(directories);
    });

    expect(seen).to.deep.equal([['another', 0o700]]);
    expect(statSync(root).mode & 0o777).to.equal(0o750);
  });

  it('is synced file by file where a host cannot sync a file system', async () => {
    const root = await staged((directories) =>
      syncFileSystems(directories, { program: 'no-such-program', kernel: KERNEL }),
    );

    expect(readFileSync(join(root, 'base/2'), 'utf8')).to.equal('two');
    expect(statSync(root).mode & 0o777).to.equal(0o750);
  });

  it('stays private where the file system could not be synced', async () => {
    const failed = await staged(() => Promise.reject(new Error('Input/output error'))).catch(
      (error: unknown) => error,
    );

    expect(failed).to.be.an('error').with.property('message', 'Input/output error');
    expect(statSync(join(folder.path, 'new')).mode & 0o777).to.equal(0o700);
  });
});

describe('a file system', () => {
  it('is synced where this kernel and its programs can, and told apart where they cannot', async () => {
    const here = { program: 'sync', kernel: KERNEL };

    expect(await syncFileSystems([process.cwd(), '/dev/shm'], here)).to.equal(true);
    expect(await syncFileSystems([process.cwd()], { ...here, kernel: '5.4.0-1' })).to.equal(false);
    expect(await syncFileSystems([process.cwd()], { ...here, program: 'no-such-program' })).to.equal(false);
  });

  it('that cannot be synced is an error in the words of the system', async () => {
    const failed = await syncFileSystems([process.cwd()], { program: 'false', kernel: KERNEL }).catch(
      (error: unknown) => error,
    );

    expect(String(failed)).to.match(new RegExp(`the file system of ${process.cwd()} was not synced: `));
  });
});

async function* bytes(text: string): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Buffer.from(text));
}

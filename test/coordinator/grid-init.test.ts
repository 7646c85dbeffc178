import { expect } from 'chai';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { loadGridFile } from '../../coordinator/grid-file.ts';
import { initializeGrid, nameOfNewGrid } from '../../coordinator/grid-init.ts';
import { failureOf } from '../../shared/domain/errors.ts';
import { loadTls } from '../../shared/rpc/tls-files.ts';
import { temporaryFolder } from '../lab/temporary.ts';

describe('a grid that is begun', () => {
  const folder = temporaryFolder('grid-init');
  after(() => folder.remove());
  const into = join(folder.path, 'orders');

  it('has a grid file that commands read, a certificate for each host, and the commands that are left to do', async () => {
    const { file, next } = await initializeGrid({
      hosts: ['alpha.example', 'beta.example:7500'],
      into,
      grid: 'orders',
      repository: "/srv/it's here",
    });
    const read = await loadGridFile(file);
    expect(read).to.include({ grid: 'orders', repository: "/srv/it's here" });
    expect(read.agents).to.deep.equal(['alpha.example:7411', 'beta.example:7500']);
    // What is revoked later is heard from the first day.
    expect(read.tls.crl).to.equal(join(into, 'crl.pem'));
    await loadTls(read.tls);
    for (const host of ['alpha.example', 'beta.example'])
      await loadTls({ ca: read.tls.ca, cert: join(into, `${host}.pem`), key: join(into, `${host}-key.pem`) });
    expect(statSync(file).mode & 0o777).to.equal(0o600);
    const said = next.join('\n');
    expect(said).to.match(
      /^scp \S*ca\.pem \S*crl\.pem \S*beta\.example\.pem \S*beta\.example-key\.pem beta\.example:\/etc\/stillpoint\/$/m,
    );
    expect(said).to.contain(
      String.raw`ssh beta.example stillpoint-agent init --grid-name orders --repository '/srv/it'\''s here' --listen 0.0.0.0:7500 --apply`,
    );
    expect(next.at(-1)).to.match(/^stillpoint checkpoint create first --grid \S+grid\.yaml$/);
  });

  it('never takes the place of what is there, and makes nothing then', async () => {
    const before = filesIn(into);
    for (const hosts of [['alpha.example'], ['gamma.example']]) {
      const failure = await initializeGrid({ hosts, into, grid: 'orders', repository: null }).then(
        () => expect.fail('it was not refused'),
        (error: unknown) => failureOf(error, { code: 'internal', hint: '' }),
      );
      expect(failure.code).to.equal('grid-exists');
    }
    expect(filesIn(into)).to.deep.equal(before);
  });

  it('refuses hosts that cannot be ones before it makes anything', async () => {
    for (const hosts of [['a', 'a'], ['ca'], ['coordinator'], ['crl'], ['a/b'], ['*.example']]) {
      const place = join(folder.path, 'none');
      const failure = await initializeGrid({ hosts, into: place, grid: 'g', repository: null }).then(
        () => expect.fail(`${hosts.join()} was taken`),
        (error: unknown) => failureOf(error, { code: 'internal', hint: '' }),
      );
      expect(failure.code, hosts.join()).to.equal('bad-host');
      expect(existsSync(place)).to.equal(false);
    }
  });

  it('is called as its folder is, and lies in a folder that is called as it is', () => {
    expect(nameOfNewGrid({ into: '/srv/orders' })).to.deep.equal({ grid: 'orders', into: '/srv/orders' });
    expect(nameOfNewGrid({ name: 'orders' })).to.deep.equal({ grid: 'orders', into: 'orders' });
    expect(nameOfNewGrid({})).to.deep.equal({ grid: 'grid', into: 'grid' });
    expect(() => nameOfNewGrid({ into: '/srv/my orders' })).to.throw(/cannot be called 'my orders'/);
  });
});

/** Each file below it, with what is in it. */
function filesIn(directory: string): [string, string][] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .map((path) => [path, readFileSync(path, 'utf8')]);
}

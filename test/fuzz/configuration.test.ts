import { expect } from 'chai';
import fc from 'fast-check';
import { writeFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { stringify } from 'yaml';
import { loadAgentFile } from '../../agent/agent-file.ts';
import { loadGridFile } from '../../coordinator/grid-file.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { anyBytes, hurt, spoiled } from './mutations.ts';
import { accepted, fuzz } from './verdict.ts';

// Goal: a file of an operator is taken, or refused with its line; nothing that stands in one ends the program otherwise.

const bomb = ['a: &a [x, x, x, x, x, x, x, x, x, x]'];
for (let level = 1; level < 12; level += 1) {
  const [name, above] = [String.fromCodePoint(97 + level), String.fromCodePoint(96 + level)];
  bomb.push(`${name}: &${name} [${Array.from({ length: 10 }, () => `*${above}`).join(', ')}]`);
}

const tricks = fc
  .oneof(
    fc.constantFrom(
      bomb.join('\n'),
      'grid: *nowhere',
      'grid: &a [*a]',
      '<<: *a',
      'grid: .nan',
      'grid: !!binary zzz',
      'grid: !<tag:example,2026:x> 1',
      '? [a]\n: b',
      '__proto__: { polluted: true }',
      'constructor: { prototype: { polluted: true } }',
      '--- a\n--- b',
      '%YAML 9.9\n---\na',
      'grid: ${NOT_THERE}',
      'leaseSeconds: 1e400',
      '\u0000',
      '\ufeffgrid: orders',
      '[[[[',
      '- - - - -',
    ),
    fc.integer({ min: 1, max: 5000 }).map((depth) => '['.repeat(depth)),
    fc.integer({ min: 1, max: 1000 }).map((depth) => `grid: ${'{a: '.repeat(depth)}`),
    fc
      .integer({ min: 1, max: 3000 })
      .map((depth) => Array.from({ length: depth }, (_, at) => `${' '.repeat(at)}a:`).join('\n')),
  )
  .map((text) => Buffer.from(text));

describe('a configuration file from outside', () => {
  const folder = temporaryFolder('fuzz');
  after(() => folder.remove());
  const key = join(folder.path, 'key.pem');
  writeFileSync(key, 'key', { mode: 0o600 });
  const tls = { ca: 'ca.pem', cert: 'cert.pem', key };

  const grid = {
    grid: 'orders',
    agents: ['alpha:1', 'beta:2'],
    repository: '/srv/r',
    tls,
    copysets: ['a'],
    leaseSeconds: 9,
  };
  const agent = {
    grid: 'orders',
    listen: 'alpha:7411',
    tls,
    state: join(folder.path, 'state'),
    repository: join(folder.path, 'repository'),
    members: [
      {
        name: 'aa',
        role: 'node',
        copyset: 'a',
        engine: 'postgres',
        address: 'alpha:5432',
        data: join(folder.path, 'data'),
        connection: 'postgresql://stillpoint@alpha:5432/postgres',
        run: { start: ['true'], stop: ['true'] },
      },
    ],
  };

  const texts = (valid: object): fc.Arbitrary<Buffer> =>
    fc.oneof(
      anyBytes,
      tricks,
      hurt(fc.constant(Buffer.from(stringify(valid)))),
      spoiled(valid).map((value) => Buffer.from(JSON.stringify(value) ?? '')),
    );

  it('of a grid is one that can be worked with, or is refused', async () => {
    const path = join(folder.path, 'grid.yaml');
    let read = 0;
    await fuzz(texts(grid), 300, async (bytes) => {
      writeFileSync(path, bytes);
      const file = await accepted(() => loadGridFile(path));
      if (file === null) return;
      read += 1;
      expect(file.grid).to.match(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);
      expect(file.leaseSeconds).to.be.within(1, 600);
      expect(isAbsolute(file.tls.key)).to.equal(true);
    });
    expect(read, 'some were accepted').to.be.greaterThan(0);
    expect(({} as { polluted?: unknown }).polluted).to.equal(undefined);
  });

  it('of an agent is one that is safe to run with, or is refused', async () => {
    const path = join(folder.path, 'agent.yaml');
    let read = 0;
    // A state directory is made: only that of this test.
    const own = (bytes: Buffer): boolean => {
      const text = bytes.toString();
      return !/"?state"?\s*:/.test(text) || text.includes(agent.state);
    };
    await fuzz(texts(agent).filter(own), 300, async (bytes) => {
      writeFileSync(path, bytes);
      const file = await accepted(() => loadAgentFile(path));
      if (file === null) return;
      read += 1;
      for (const { name } of file.members) expect(name).to.match(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);
    });
    expect(read, 'some were accepted').to.be.greaterThan(0);
  });

  it('of more than a few megabytes is refused before it is read', async () => {
    const path = join(folder.path, 'large.yaml');
    writeFileSync(path, Buffer.alloc(5 * 1024 * 1024, 'a'));
    await fuzz(fc.constant(path), 1, async () => {
      expect(await accepted(() => loadGridFile(path))).to.equal(null);
    });
  });
});

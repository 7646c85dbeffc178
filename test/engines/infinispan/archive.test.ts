import { expect } from 'chai';
import { createWriteStream, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ZipFile } from 'yazl';
import { readArchive } from '../../../agent/engines/infinispan/archive/archive.ts';
import { failureOf } from '../../../shared/domain/errors.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: of an archive everything is known, whatever the order in it, and none is believed in which a byte is wrong.
// Method: archives as the server writes them, made here; client.test.ts reads those of a real one.

const ENTRIES = [entry('k1', 'v1'), entry('k2', 'v2'), entry('k3', 'a longer value than the others have')];

/** A message of a server: key, value, when it was created. */
function entry(key: string, value: string, createdAt = 1): Buffer {
  return message(Buffer.concat([field(1, key), field(2, value), Buffer.from([0x28, createdAt])]));
}

function counter(name: string, value: number): Buffer {
  return message(Buffer.concat([field(1, name), field(2, 'c'), Buffer.from([0x18, value])]));
}

function field(number: number, text: string): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2, text.length]), Buffer.from(text)]);
}

function message(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(bytes.byteLength);
  return Buffer.concat([length, bytes]);
}

const WHOLE: Readonly<Record<string, string | Buffer>> = {
  'manifest.properties': '#Backup Manifest\ncontainers=default\nversion=16.0.5\n',
  'containers/default/container.properties':
    '#Container Properties\ncaches=a b,c\\:d\ncounters=hits\ntemplates=org.infinispan.RESP_DIST,tpl\nproto-schemas=a.proto\ntasks=\n',
  'containers/default/caches/a b/a b.xml': '<a/>',
  'containers/default/caches/a b/a b.dat': Buffer.concat(ENTRIES),
  'containers/default/caches/c:d/c:d.xml': '<c/>',
  'containers/default/caches/c:d/c:d.dat': '',
  'containers/default/counters/counters.dat': counter('hits', 7),
  'containers/default/templates/tpl.xml': '<t/>',
  'containers/default/proto-schemas/a.proto': 'package p;',
};

describe('an archive of a cluster', () => {
  const folder = temporaryFolder('archive');
  after(() => folder.remove());

  async function archive(files: Readonly<Record<string, string | Buffer>>): Promise<string> {
    const path = join(folder.path, `${crypto.randomUUID()}.zip`);
    const zip = new ZipFile();
    for (const [name, content] of Object.entries(files)) zip.addBuffer(Buffer.from(content), name);
    zip.end();
    await pipeline(zip.outputStream, createWriteStream(path));
    return path;
  }

  const read = (path: string) => readArchive(path, AbortSignal.timeout(10_000));
  const refusal = async (path: string): Promise<string> => {
    try {
      await read(path);
    } catch (error) {
      const { code, message: words } = failureOf(error, { code: 'internal', hint: '' });
      expect(code).to.equal('infinispan-archive');
      return words;
    }
    return expect.fail('it was believed');
  };

  it('is counted and digested cache by cache, in any order, with all that is in it besides', async () => {
    const content = await read(await archive(WHOLE));
    expect(content).to.deep.include({ version: '16.0.5', container: 'default', tasks: [] });
    expect(content.caches.map(({ name, entries }) => [name, entries])).to.deep.equal([
      ['a b', 3],
      ['c:d', 0],
    ]);
    expect(content.counters.map(({ name, value }) => [name, value])).to.deep.equal([['hits', '7']]);
    expect(content.templates.map(({ name }) => name)).to.deep.equal(['tpl']);
    expect(content.protoSchemas.map(({ name }) => name)).to.deep.equal(['a.proto']);

    const other = { ...WHOLE, 'containers/default/caches/a b/a b.dat': Buffer.concat(ENTRIES.toReversed()) };
    expect((await read(await archive(other))).caches).to.deep.equal(content.caches);
  });

  it('has another digest where an entry differs, is missing, or is there twice', async () => {
    const digests = [
      ENTRIES,
      [...ENTRIES.slice(1), entry('k1', 'v2')],
      ENTRIES.slice(1),
      [...ENTRIES, entry('k1', 'v1')],
      [...ENTRIES.slice(1), entry('k2', 'v1')],
    ].map(async (entries) => {
      const content = await read(
        await archive({ ...WHOLE, 'containers/default/caches/a b/a b.dat': Buffer.concat(entries) }),
      );
      return content.caches[0]?.contentSha256;
    });
    expect(new Set(await Promise.all(digests)).size).to.equal(digests.length);
  });

  it('has the same digest of its content where an entry was only created at another time', async () => {
    const later = [entry('k1', 'v1', 9), ...ENTRIES.slice(1)];
    const [before] = (await read(await archive(WHOLE))).caches;
    const [after] = (
      await read(await archive({ ...WHOLE, 'containers/default/caches/a b/a b.dat': Buffer.concat(later) }))
    ).caches;
    expect(after?.contentSha256).to.equal(before?.contentSha256);
    expect(after?.sha256).to.not.equal(before?.sha256);
  });

  it('is not believed with any one bit of its entries flipped', async () => {
    const path = await archive(WHOLE);
    const bytes = readFileSync(path);
    const from = bytes.indexOf('a b.dat') + 'a b.dat'.length;
    for (let at = from; at < from + 40; at += 1) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
      writeFileSync(path, damaged);
      expect(await refusal(path)).to.match(/a b\.dat: |End of|is no archive/);
    }
  });

  it('is not believed when it is cut short, is no zip, or is not there', async () => {
    const path = await archive(WHOLE);
    const bytes = readFileSync(path);
    for (const length of [bytes.byteLength - 1, bytes.byteLength - 60, bytes.byteLength / 2, 10, 0]) {
      writeFileSync(path, bytes.subarray(0, length));
      await refusal(path);
    }
    expect(await refusal(join(folder.path, 'none.zip'))).to.contain('ENOENT');
  });

  it('is not believed when what it lists is not in it, or entries end within one', async () => {
    const without = (...names: string[]) =>
      Object.fromEntries(Object.entries(WHOLE).filter(([name]) => !names.includes(name)));
    const c = (end: string): string => `containers/default/caches/c:d/c:d.${end}`;
    expect(await refusal(await archive(without(c('xml'), c('dat'))))).to.contain(
      'it lists caches a b, c:d, and has a b',
    );
    expect(await refusal(await archive(without(c('dat'))))).to.contain('no entries of cache c:d');
    expect(await refusal(await archive(without(c('xml'))))).to.contain('no configuration of cache c:d');
    expect(await refusal(await archive(without('containers/default/counters/counters.dat')))).to.contain(
      'lists counters hits',
    );
    expect(await refusal(await archive(without('manifest.properties')))).to.contain('no manifest.properties');
    const cut = { ...WHOLE, [c('dat')]: Buffer.concat(ENTRIES).subarray(0, -3) };
    expect(await refusal(await archive(cut))).to.contain('ends within an entry, 3 bytes early');
    const long = { ...WHOLE, [c('dat')]: Buffer.from([0x7f, 0xff, 0xff, 0xff, 0]) };
    expect(await refusal(await archive(long))).to.contain('an entry of 2147483647 bytes');
  });
});

import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { readBrought, type Brought } from '../../../agent/engines/infinispan/archive/brought.ts';
import { ClusterArchives } from '../../../agent/engines/infinispan/copy/cluster-archives.ts';
import { clusterFactsSchema } from '../../../agent/engines/infinispan/copy/facts.ts';
import { infinispanMemberSchema } from '../../../agent/engines/infinispan/settings.ts';
import type { StillpointError } from '../../../shared/domain/errors.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { recordOf, storedZip } from './loaded.ts';

// Goal: an archive that anybody brings is believed only where a cluster could be restored from it, and costs no more than
// it is worth to be found out. Method: archives made by hand, as servers of version 16 write them, and as nobody does.

type Files = Readonly<Record<string, string | Buffer>>;

const WRITTEN = '#Backup Manifest\n#Mon Nov 30 09:51:06 UTC 2026\ncontainers=default\nversion=16.0.5\n';
const AT = 'containers/default';
const WHOLE: Files = {
  'manifest.properties': WRITTEN,
  [`${AT}/global.xml`]: '<infinispan/>',
  [`${AT}/container.properties`]:
    'counters=\ncaches=c\ntemplates=org.infinispan.RESP_DIST\nproto-schemas=\ntasks=\n',
  [`${AT}/caches/c/c.xml`]: '<c/>',
  [`${AT}/caches/c/c.dat`]: Buffer.concat([recordOf('1', 'a'), recordOf('2', 'b')]),
};

describe('an archive of a cluster that somebody brings', () => {
  const folder = temporaryFolder('brought');
  const file = join(folder.path, 'backup.zip');
  after(() => folder.remove());

  const zipOf = (files: Files): Buffer =>
    storedZip(Object.entries(files).map(([name, content]) => ({ name, bytes: Buffer.from(content) })));

  function read(bytes: Buffer, signal = AbortSignal.timeout(20_000)): Promise<Brought> {
    writeFileSync(file, bytes);
    return readBrought(file, signal, () => undefined);
  }

  async function refusal(bytes: Buffer): Promise<string> {
    try {
      await read(bytes);
    } catch (error) {
      const { failure, exitCode } = error as StillpointError;
      expect(failure.code, failure.message).to.equal('infinispan-archive');
      expect(exitCode).to.equal(6);
      // Where it lies on the agent's host is nothing to whoever brings it.
      expect(failure.message).to.not.contain(folder.path);
      return failure.message;
    }
    return expect.fail('it was believed');
  }

  it('is known as those that checkpoints store, with when it was written', async () => {
    const { content, writtenAt, leftOut } = await read(zipOf(WHOLE));
    expect(content).to.deep.include({ version: '16.0.5', container: 'default' });
    expect(content.caches.map(({ name, entries }) => [name, entries])).to.deep.equal([['c', 2]]);
    expect(writtenAt).to.equal('2026-11-30T09:51:06.000Z');
    expect(leftOut).to.deep.equal([]);
  });

  it('says nothing of a time whose zone is not known', async () => {
    for (const said of ['#Mon Nov 30 09:51:06 CST 2026', '#Mon Nov 99 09:51:06 UTC 2026', '#yesterday']) {
      const text = WRITTEN.replace('#Mon Nov 30 09:51:06 UTC 2026', said);
      expect((await read(zipOf({ ...WHOLE, 'manifest.properties': text }))).writtenAt, said).to.equal(null);
    }
  });

  it('tells which kinds it was made without', async () => {
    const list = { [`${AT}/container.properties`]: 'caches=c\ntasks=\n' };
    expect((await read(zipOf({ ...WHOLE, ...list }))).leftOut).to.deep.equal([
      'counters',
      'templates',
      'schemas',
    ]);
  });

  it('is refused where it is nothing that a server writes', async () => {
    expect(await refusal(Buffer.from('PK or something'))).to.contain('no archive that could be restored');
    expect(await refusal(zipOf({ 'readme.txt': 'hello' }))).to.contain('no manifest.properties');
    expect(await refusal(zipOf({}))).to.contain('no manifest.properties');
    const other = 'containers=default\nversion=unknown\n';
    expect(await refusal(zipOf({ ...WHOLE, 'manifest.properties': other }))).to.contain(
      "version it is: 'unknown'",
    );
  });

  it('is refused with several containers, whether its manifest tells of them or hides one', async () => {
    const second = { 'containers/second/container.properties': 'caches=\n' };
    const told = WRITTEN.replace('containers=default', 'containers=default,second');
    for (const manifest of [WRITTEN, told]) {
      const said = await refusal(zipOf({ ...WHOLE, ...second, 'manifest.properties': manifest }));
      expect(said).to.contain('more than one container: default, second');
    }
  });

  it('is refused where nothing is in it', async () => {
    const list = 'counters=\ncaches=\ntemplates=org.infinispan.RESP_DIST\nproto-schemas=\ntasks=\n';
    const empty = { 'manifest.properties': WRITTEN, [`${AT}/container.properties`]: list };
    expect(await refusal(zipOf(empty))).to.contain('it holds nothing');
  });

  it('is refused with a name that leads outside, or that no server gives', async () => {
    for (const name of ['../../etc/cron.d/x', '/etc/passwd', 'containers\\default\\x', `${AT}/../../../x`])
      expect(await refusal(zipOf({ ...WHOLE, [name]: 'x' })), name).to.match(/invalid|absolute|relative/);
  });

  it('is refused where it is encrypted', async () => {
    const bytes = zipOf(WHOLE);
    // The flag, and that it is compressed: what is only stored would have another length.
    for (const [head, flags] of [
      ['PK\x03\x04', 6],
      ['PK\x01\x02', 8],
    ] as const)
      for (let at = bytes.indexOf(head, 0, 'latin1'); at >= 0; at = bytes.indexOf(head, at + 1, 'latin1'))
        bytes.set([1, 8, 8, 0], at + flags);
    expect(await refusal(bytes)).to.contain('manifest.properties is encrypted');
  });

  it('is refused with entries of no bytes, which cost nothing to write and much to count', async () => {
    const zeros = { ...WHOLE, [`${AT}/caches/c/c.dat`]: Buffer.alloc(64) };
    expect(await refusal(zipOf(zeros))).to.contain('an entry of 0 bytes');
  });

  it('is refused unread where it would unpack to far more than it is', async () => {
    // What it says of its size is never had: it is a few bytes, which claim to be two GiB.
    const bytes = deflated(WHOLE, `${AT}/caches/c/c.dat`, 2 * 1024 ** 3);
    const begun = performance.now();
    expect(await refusal(bytes)).to.match(/would unpack from \d+ bytes to 2147\d+/);
    expect(performance.now() - begun).to.be.lessThan(5000);
  });

  it('is refused where its files lie over one another', async () => {
    const data = `${AT}/caches/c/c.dat`;
    const bytes = zipOf(WHOLE);
    // Its directory names more bytes of the file than there are.
    const directory = bytes.indexOf('PK\x01\x02', 0, 'latin1');
    const entry = bytes.lastIndexOf('PK\x01\x02', bytes.indexOf(data, directory), 'latin1');
    for (const offset of [20, 24]) bytes.writeUInt32LE(bytes.length + 1, entry + offset);
    expect(await refusal(bytes)).to.match(/lie over one another/);
  });

  it('is given up with the reason of the signal', async () => {
    const ended = AbortSignal.abort(new Error('enough'));
    const error = await read(zipOf(WHOLE), ended).catch((thrown: unknown) => thrown);
    expect(error).to.have.property('message', 'enough');
  });

  describe('as the state of a member', () => {
    const member = (url: string, container = 'default') =>
      new ClusterArchives(
        infinispanMemberSchema.parse({
          name: 'ispn-1',
          role: 'node',
          copyset: 'cache',
          engine: 'infinispan',
          address: 'alpha.example:11222',
          root: '/nowhere',
          url,
          container,
        }),
      );
    const taken = (archives: ClusterArchives, files: Files = WHOLE) => {
      const bytes = zipOf(files);
      writeFileSync(file, bytes);
      const archive = { file, sizeBytes: bytes.length, sha256: 'a'.repeat(64) };
      return archives.read(archive, AbortSignal.timeout(20_000), () => undefined);
    };

    it('has the facts that a restore goes by, and is told in words', async () => {
      const known = await taken(member('http://127.0.0.1:1'));
      const facts = clusterFactsSchema.parse(known.engineFacts);
      expect(facts).to.deep.include({ version: '16.0.5', container: 'default', servers: [], heldMs: null });
      expect(facts.archive).to.deep.include({ path: 'backup.zip', sha256: 'a'.repeat(64) });
      expect(known).to.deep.include({ version: '16.0.5', leftOut: null, warnings: [] });
      expect(known.content).to.deep.equal([
        'caches: 1, 2 entries',
        'counters: 0',
        'schemas: 0',
        'templates: 0',
        'tasks: 0',
      ]);
    });

    it('is taken with a warning where a replicated cache is empty in it: who made it may have had none to tell', async () => {
      const empty = { ...WHOLE, [`${AT}/caches/c/c.dat`]: '' };
      const replicated = { [`${AT}/caches/c/c.xml`]: '<caches><replicated-cache/></caches>' };
      expect((await taken(member('http://127.0.0.1:1'), empty)).warnings).to.deep.equal([]);
      const { warnings } = await taken(member('http://127.0.0.1:1'), { ...empty, ...replicated });
      expect(warnings.map(({ code }) => code)).to.deep.equal(['infinispan-replicated-empty']);
      const filled = { ...WHOLE, ...replicated };
      expect((await taken(member('http://127.0.0.1:1'), filled)).warnings).to.deep.equal([]);
    });

    it('is taken with a warning where the servers that run now are of an earlier release', async () => {
      const server = createServer((_, answer) => {
        answer.writeHead(200, { 'content-type': 'application/json' });
        answer.end(
          JSON.stringify({
            version: '15.2.1',
            name: 'default',
            cluster_name: 'lab',
            cache_manager_status: 'RUNNING',
            node_address: 'n1',
            coordinator_address: 'n1',
            cluster_members: ['n1'],
            cluster_members_physical_addresses: ['127.0.0.1:7800'],
          }),
        );
      });
      await new Promise<void>((resolve) => {
        server.listen(0, '127.0.0.1', resolve);
      });
      try {
        const { port } = server.address() as AddressInfo;
        const { warnings } = await taken(member(`http://127.0.0.1:${port}`));
        expect(warnings.map(({ code }) => code)).to.deep.equal(['infinispan-older']);
        expect(warnings[0]?.text).to.contain('of version 15.2.1, and read no archive of version 16.0.5');
      } finally {
        server.close();
        server.closeAllConnections();
      }
    });

    it('is refused where its container is called otherwise', async () => {
      const error = await taken(member('http://127.0.0.1:1', 'other')).catch((thrown: unknown) => thrown);
      const { failure } = error as StillpointError;
      expect(failure.code).to.equal('infinispan-container');
      expect(failure.message).to.contain('cache container default, and the server has other');
    });
  });
});

/** One of its files compressed, and said to be of another size than it is. */
function deflated(files: Files, of: string, size: number): Buffer {
  const all = Object.entries(files).map(([name, content]) => {
    const bytes = Buffer.from(content);
    return { name, bytes: name === of ? deflateRawSync(bytes) : bytes };
  });
  const zip = storedZip(all);
  const directory = zip.indexOf('PK\x01\x02', 0, 'latin1');
  const entry = zip.lastIndexOf('PK\x01\x02', zip.indexOf(of, directory), 'latin1');
  zip.writeUInt16LE(8, entry + 10);
  zip.writeUInt32LE(size, entry + 24);
  return zip;
}

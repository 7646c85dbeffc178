import { expect } from 'chai';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readArchive } from '../../../agent/engines/infinispan/archive/archive.ts';
import { mustBeEqual, type Compared, type Equal } from '../../../agent/engines/infinispan/restore/compare.ts';
import { keptCaches } from '../../../agent/engines/infinispan/restore/kept-caches.ts';
import { failureOf } from '../../../shared/domain/errors.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { recordOf, storedZip } from './loaded.ts';

// Goal: what is restored is said to be the checkpoint's only where it is, entry by entry; what is missing by right is
// told apart from what is lost. Method: archives made by hand, their entries as a server of version 16 writes them.

/** Metadata and times of entries that a server wrote, and when they end: after 20 s; idle for an hour; idle for 50 s. */
const ENDINGS = [
  ['1a0a9801068a010418a09c0128f7ff8dd9a23430ffffffffffffffffff01', 1_796_020_076_535 + 20_000],
  ['1a0b9801078a01051880dddb0128ffffffffffffffffff0130f5ff8dd9a234', 1_796_020_076_533 + 3_600_000],
  ['1a0e9801058a010818a08d0620d08603289ce8a3d9a234309ce8a3d9a234', 1_796_020_433_948 + 50_000],
] as const;

describe('a cluster that was restored', () => {
  const folder = temporaryFolder('infinispan-compare');
  const signal = new AbortController().signal;
  let files = 0;

  after(() => folder.remove());

  async function archive(caches: Readonly<Record<string, readonly Buffer[]>>): Promise<Compared['found']> {
    files += 1;
    const file = join(folder.path, `${files}.zip`);
    const at = 'containers/default';
    const names = Object.keys(caches).join(',');
    const list = { name: `${at}/container.properties`, bytes: Buffer.from(`caches=${names}\n`) };
    const manifest = Buffer.from('containers=default\nversion=16.0.5\n');
    const ofCaches = Object.entries(caches).flatMap(([name, records]) => [
      { name: `${at}/caches/${name}/${name}.xml`, bytes: Buffer.from('<x/>') },
      { name: `${at}/caches/${name}/${name}.dat`, bytes: Buffer.concat(records) },
    ]);
    writeFileSync(file, storedZip([{ name: 'manifest.properties', bytes: manifest }, list, ...ofCaches]));
    return { file, content: await readArchive(file, signal) };
  }

  async function compare(
    expected: Readonly<Record<string, readonly Buffer[]>>,
    found: Readonly<Record<string, readonly Buffer[]>>,
    more: Partial<Compared> = {},
  ): Promise<Equal | string> {
    const none = new Set<string>();
    const compared = { emptied: none, apart: none, bounded: none, now: Date.now, ...more };
    return mustBeEqual(
      { expected: await archive(expected), found: await archive(found), ...compared },
      signal,
    ).catch((error: unknown) => failureOf(error, { code: '', hint: '' }).message);
  }

  const [one, two] = [recordOf('1', 'a'), recordOf('2', 'b')];

  it('has every entry, in any order, and no other', async () => {
    expect(await compare({ c: [one, two] }, { c: [two, one] })).to.include({ ended: 0, thrownOut: 0 });
    for (const found of [[one], [one, two, recordOf('3', 'c')], [one, recordOf('2', 'c')], [one, one, two]])
      expect(await compare({ c: [one, two] }, { c: found })).to.match(
        /cache c lacks \d entries of 2, and has \d others/,
      );
    expect(await compare({ c: [one] }, {})).to.match(/cache c is missing/);
    expect(await compare({}, { c: [one] })).to.match(/cache c was made meanwhile/);
  });

  it('may have caches that stay, where they are empty, and those that are apart as they are', async () => {
    const emptied = new Set(['c']);
    expect(await compare({}, { c: [] }, { emptied })).to.include({ ended: 0 });
    expect(await compare({}, { c: [one] }, { emptied })).to.match(
      /cache c, which was emptied, has 1 entries/,
    );
    expect(await compare({ c: [one] }, { c: [two] }, { apart: new Set(['c']) })).to.include({ ended: 0 });
  });

  it('may lack what has come to its end since, and no entry before its time', async () => {
    for (const [ending, endsAt] of ENDINGS) {
      const mortal = recordOf('m', 'x', ending);
      const at = (time: number): Promise<Equal | string> =>
        compare({ c: [one, mortal] }, { c: [one] }, { now: () => time });
      expect(await at(endsAt), ending).to.include({ ended: 1 });
      expect(await at(endsAt - 1), ending).to.match(/lacks 1 entries/);
    }
    const never = await compare({ c: [one, two] }, { c: [one] }, { now: () => Number.MAX_SAFE_INTEGER });
    expect(never).to.match(/lacks 1 entries/);
  });

  it('may lack what a full cache threw out, and have nothing in its place', async () => {
    const bounded = new Set(['c']);
    expect(await compare({ c: [one, two] }, { c: [one] }, { bounded })).to.include({ thrownOut: 1 });
    expect(await compare({ c: [one] }, { c: [two] }, { bounded })).to.match(/has 1 others/);
  });
});

describe('the caches that a server keeps', () => {
  const folder = temporaryFolder('infinispan-kept');
  after(() => folder.remove());

  it('are those of its state, whatever they are called; none before it has made any', async () => {
    expect([...(await keptCaches(folder.path))]).to.deep.equal([]);
    mkdirSync(folder.path, { recursive: true });
    writeFileSync(
      join(folder.path, 'caches.xml'),
      `<infinispan><cache-container><caches>
        <distributed-cache name="plain" mode="SYNC"><encoding media-type="text/plain"/></distributed-cache>
        <replicated-cache mode="SYNC" name="a &lt;b&gt; &amp; &#252;"/>
        <local-cache name='other'/>
      </caches></cache-container></infinispan>`,
    );
    expect([...(await keptCaches(folder.path))]).to.deep.equal(['plain', 'a <b> & ü', 'other']);
  });
});

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import type { RealmCalls } from './calls.ts';
import { contractOf } from './contract-client.ts';
import type { GridProcess } from './grid-process.ts';
import { launchReferenceGrid, layOutReferenceGrid, type ReferenceGrid } from './launch.ts';
import { Remote } from './rpc.ts';

const SMALL = { copysets: { a: 1 }, keepers: 1, proxies: 1, satellites: 1 };

describe('the realm of a reference grid', () => {
  let grid: ReferenceGrid | undefined;
  let folder: ReturnType<typeof temporaryFolder>;
  const remotes: Remote<RealmCalls>[] = [];

  beforeEach(() => (folder = temporaryFolder('rg')));
  afterEach(async () => {
    for (const remote of remotes.splice(0)) remote.close();
    await grid?.close();
    folder.remove();
  });

  const realmAt = ({ address }: GridProcess): Remote<RealmCalls> => {
    const remote = new Remote<RealmCalls>(address);
    remotes.push(remote);
    return remote;
  };

  async function versionAt(realm: Remote<RealmCalls>): Promise<number | undefined> {
    return (await realm.call('status', {})).definition?.version;
  }

  it('is changed at its primary only, which deploys it to satellites, and shows all there is [S17] [S18] [S44]', async () => {
    grid = await launchReferenceGrid({ ...SMALL, folder: folder.path, hosts: ['127.0.52.1', '127.0.52.2'] });
    const { definition } = grid;
    const primary = realmAt(grid.process('realm'));
    const satellite = realmAt(grid.process('satellite'));

    const refused = await satellite.call('define', definition).catch((error: unknown) => error as Error);
    expect(refused).to.include({ code: 'satellite' });
    expect((refused as Error).message).to.include(`hint: ask its primary ${grid.process('realm').address}`);
    await primary.call('define', { ...definition, foreign: ['billing'] });
    await until('the satellite to have it', async () => (await versionAt(satellite)) === 2);
    expect((await satellite.call('status', {})).definition?.foreign).to.deep.equal(['billing']);

    const names = grid.processes.map(({ name }) => name).sort();
    await until(
      'all to be heard of',
      async () => (await primary.call('status', {})).running.length === names.length,
    );
    const { running } = await primary.call('status', {});
    expect(running.map(({ name }) => name).sort()).to.deep.equal(names);
    const contract = contractOf(grid.process('satellite'));
    const described = await contract.describe({});
    expect(described.primary).to.equal(false);
    expect(described.definition?.foreign).to.deep.equal(['billing']);
    contract.close();
  });

  it('reads its definition from its own files when it is started again [S16]', async () => {
    grid = await layOutReferenceGrid({ ...SMALL, folder: folder.path, hosts: ['127.0.52.1', '127.0.52.2'] });
    const realm = grid.process('realm');
    await realm.start();
    await grid.define();
    await realm.kill('SIGKILL');
    await realm.start();

    expect(await versionAt(realmAt(realm))).to.equal(1);
    expect(existsSync(join(realm.dataDirectory, 'live', 'realm.json'))).to.equal(true);
  });

  it('is where a keeper gets its first state from; later it has its own [S25]', async () => {
    grid = await launchReferenceGrid({ ...SMALL, folder: folder.path, hosts: ['127.0.52.1', '127.0.52.2'] });
    const keeper = grid.process('k1');
    const contract = contractOf(keeper);
    const identity = (await contract.describe({})).dataIdentity;
    expect(identity).not.to.equal('');
    const client = grid.client();
    await client.put('orders', 'k', 'v');

    await Promise.all(
      [keeper, grid.process('realm'), grid.process('satellite')].map((process) => process.stop()),
    );
    await keeper.start();
    await grid.healthy();

    expect((await contract.describe({})).dataIdentity).to.equal(identity);
    expect(await client.get('orders', 'k')).to.equal('v');
    client.close();
    contract.close();
  });

  it('refuses a fourth node of a copyset, and keeps what it had [S52]', async () => {
    grid = await layOutReferenceGrid({
      ...SMALL,
      copysets: { a: 4 },
      folder: folder.path,
      hosts: ['127.0.52.1'],
    });
    await grid.process('realm').start();

    const refused = await grid.define().catch((error: unknown) => error as Error);

    expect(refused).to.include({ message: 'copyset a has 4 nodes; hint: one to 3' });
    expect((await grid.status()).definition).to.equal(undefined);
  });

  it('takes updates at any realm service of a cluster while a quorum of them runs [S19] [S45] [S46]', async () => {
    const hosts = ['127.0.52.1', '127.0.52.2', '127.0.52.3'];
    grid = await launchReferenceGrid({ ...SMALL, satellites: 0, cluster: 3, folder: folder.path, hosts });
    const { definition } = grid;
    const [first, second, third] = ['realm', 'realm2', 'realm3'].map(
      (name) => grid?.process(name) as GridProcess,
    );

    await realmAt(third as GridProcess).call('define', { ...definition, foreign: ['one'] });
    await Promise.all(
      ['two', 'three'].map((name) =>
        realmAt(second as GridProcess).call('define', { ...definition, foreign: [name] }),
      ),
    );
    await until('all to have it', async () => (await versionAt(realmAt(first as GridProcess))) === 4);

    await first?.kill('SIGKILL');
    await realmAt(second as GridProcess).call('define', { ...definition, foreign: ['four'] });
    const client = grid.client();
    await client.put('orders', 'k', 'v');
    client.close();

    await second?.kill('SIGKILL');
    const refused = await realmAt(third as GridProcess)
      .call('define', { ...definition, foreign: ['five'] })
      .catch((error: unknown) => error);
    expect(refused).to.include({ code: 'no-quorum' });
    await first?.start();
    await until(
      'what was missed to be taken',
      async () => (await versionAt(realmAt(first as GridProcess))) === 5,
    );
  });
});

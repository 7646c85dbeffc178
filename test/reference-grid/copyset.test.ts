import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import type { KeeperState, Row } from './calls.ts';
import type { Client } from './client.ts';
import { contractOf } from './contract-client.ts';
import type { GridProcess } from './grid-process.ts';
import { launchReferenceGrid, type ReferenceGrid } from './launch.ts';
import { NodeLog } from './node-log.ts';
import { GridError } from './rpc.ts';

const HOSTS = ['127.0.50.1', '127.0.50.2', '127.0.50.3'];

/** Writes rows one after the other until it is told to end; answers which were acknowledged. */
function writing(client: Client, copyset: string): { acknowledged: string[]; end(): Promise<string[]> } {
  const acknowledged: string[] = [];
  let ended = false;
  const written = (async () => {
    for (let row = 0; !ended; row += 1) {
      const key = `${copyset}-${String(row).padStart(6, '0')}`;
      await client.put('orders', key, `value of ${key}`, copyset);
      acknowledged.push(key);
    }
  })();
  written.catch(() => undefined);
  return {
    acknowledged,
    async end() {
      ended = true;
      await written;
      return acknowledged;
    },
  };
}

async function describeOf(process: GridProcess) {
  const contract = contractOf(process);
  try {
    return await contract.describe({});
  } finally {
    contract.close();
  }
}

async function stateOf(keeper: GridProcess): Promise<KeeperState> {
  const contract = contractOf(keeper);
  try {
    const { state } = await contract.saveKeeperState({ operation: 'look' });
    return JSON.parse(Buffer.from(state).toString()) as KeeperState;
  } finally {
    contract.close();
  }
}

/** In the journal of a node that took all that its primary has, in the place of what it had. */
const BEGUN_ANEW = '"clear"';

describe('the copysets of a reference grid', () => {
  let grid: ReferenceGrid;
  let client: Client;
  let folder: ReturnType<typeof temporaryFolder>;

  before(async () => {
    folder = temporaryFolder('rg');
    grid = await launchReferenceGrid({
      folder: folder.path,
      hosts: HOSTS,
      copysets: { a: 2, b: 2 },
      keepers: 3,
      proxies: 2,
      satellites: 0,
      options: [
        '--journal-bytes',
        '20000',
        '--write-ms',
        '200',
        '--timeout-ms',
        '1000',
        '--grace-ms',
        '2500',
      ],
    });
    client = grid.client();
  });

  after(async () => {
    client?.close();
    await grid?.close();
    folder.remove();
  });

  const keysOf = async (copyset: string) => (await client.scan('orders', copyset)).map(([, key]) => key);

  async function primaryOf(copyset: string): Promise<GridProcess> {
    const { primary } = (await stateOf(await leadOf())).copysets[copyset] ?? { primary: '' };
    return grid.process(primary);
  }

  async function leadOf(): Promise<GridProcess> {
    const leads: GridProcess[] = [];
    await until('one lead', async () => {
      const keepers = grid.processes.filter(({ role, running }) => role === 'keeper' && running);
      const said = await Promise.all(
        keepers.map(async (keeper) => ({ keeper, ...(await describeOf(keeper)) })),
      );
      leads.splice(0, Infinity, ...said.filter(({ primary }) => primary).map(({ keeper }) => keeper));
      return leads.length === 1;
    });
    return leads[0] as GridProcess;
  }

  it('lose no acknowledged write when a primary is killed, and go on with another [S40] [S47]', async () => {
    const load = writing(client, 'a');
    await until('some writes', () => load.acknowledged.length > 100);
    const killed = await primaryOf('a');

    await killed.kill('SIGKILL');
    const before = load.acknowledged.length;
    await until('more writes', () => load.acknowledged.length > before + 100);

    const acknowledged = await load.end();
    expect(await keysOf('a')).to.include.members(acknowledged);
    expect((await primaryOf('a')).name).not.to.equal(killed.name);
  });

  it('bring a node that was down up to date, and lose nothing when the other one goes [S40]', async () => {
    const keys = await keysOf('a');
    for (const node of grid.processes.filter(({ role, running }) => role === 'node' && !running))
      await node.start();
    await grid.healthy();

    await (await primaryOf('a')).kill('SIGKILL');

    expect(await keysOf('a')).to.deep.equal(keys);
    for (const node of grid.processes.filter(({ role, running }) => role === 'node' && !running))
      await node.start();
    await grid.healthy();
  });

  it('make a node that lacks updates, or has some that its primary lacks, equal to the primary [S40]', async () => {
    const [primary, secondary] = [await primaryOf('a'), await nodeInSync('a', await leadOf())];
    await client.put('equal', 'k0', 'v0', 'a');
    await secondary.stop();
    for (let row = 1; row < 20; row += 1) await client.put('equal', `k${row}`, `v${row}`, 'a');
    await secondary.start();
    await grid.healthy();
    // It has what it lacked, and did not begin anew for it.
    const caughtUp = logged(secondary);
    expect(caughtUp).to.include('k19');
    expect(caughtUp.slice(caughtUp.indexOf('k1'))).not.to.include(BEGUN_ANEW);

    await secondary.stop();
    const log = new NodeLog(secondary.dataDirectory, 1e6);
    await log.begin();
    const { sequence, term } = log.position;
    const row = { table: 'equal', key: 'stray', value: 'of another time' };
    await log.log([{ kind: 'update', sequence: sequence + 1, term: term + 1, ...row }]);
    await log.close();
    await secondary.start();
    await grid.healthy();
    // That it began anew need not be in its journal any more: its files go when no start needs them.
    await Promise.all([primary.stop(), secondary.stop()]);
    const [ours, theirs] = [await rowsOf(primary), await rowsOf(secondary)];
    expect(theirs).to.deep.equal(ours);
    expect(ours.filter(([table]) => table === 'equal')).to.have.length(20);
    await Promise.all([primary.start(), secondary.start()]);
    await grid.healthy();
  });

  it('keep their rows in a journal that is rotated, and whose files go when no start needs them', async () => {
    const rows = Array.from({ length: 600 }, (_, row) => `r${row}`);
    for (let row = 0; row < rows.length; row += 50) {
      await Promise.all(
        rows.slice(row, row + 50).map((key) => client.put('rotated', key, 'x'.repeat(200), 'b')),
      );
    }
    await until('old journal files to be gone', async () => {
      const { sizeBytes, dataDirectory, journalDirectory } = await describeOf(await primaryOf('b'));
      const files = readdirSync(join(dataDirectory, 'live', journalDirectory));
      return sizeBytes > 0n && files.length <= 2 && (files[0] ?? '') > '000000000004';
    });
    expect((await client.scan('rotated', 'b')).map(([, key]) => key)).to.deep.equal([...rows].sort());
  });

  it('survive that their nodes are all killed with rows in memory only [S3]', async () => {
    const nodes = grid.processes.filter(({ role }) => role === 'node');
    await Promise.all(
      Array.from({ length: 50 }, (_, row) => client.put('memory', `m${row}`, 'in memory', 'b')),
    );

    await Promise.all(nodes.map((node) => node.kill('SIGKILL')));
    await Promise.all(nodes.map((node) => node.start()));

    expect(await client.scan('memory', 'b')).to.have.length(50);
    await grid.healthy();
  });

  it('go on when the lead keeper is killed: another takes over [S26] [S48]', async () => {
    const lead = await leadOf();
    const load = writing(client, 'b');
    await lead.kill('SIGKILL');
    await until('the others to see it', async () => (await describeOf(await leadOf())).quorum?.running === 2);

    expect((await leadOf()).name).not.to.equal(lead.name);
    const before = load.acknowledged.length;
    await until('more writes', () => load.acknowledged.length > before + 20);
    const acknowledged = await load.end();
    expect(await keysOf('b')).to.include.members(acknowledged);
    await lead.start();
    await grid.healthy();
  });

  it('have keepers that update one which was restarted with nothing [S28]', async () => {
    const lead = await leadOf();
    const restarted = grid.processes.find(({ role, name }) => role === 'keeper' && name !== lead.name);
    await restarted?.stop();
    rmSync(join(restarted?.dataDirectory ?? '', 'live'), { recursive: true });

    await restarted?.start();
    await grid.healthy();

    expect(await stateOf(restarted as GridProcess)).to.deep.equal(await stateOf(await leadOf()));
  });

  it('are undecided when one changes below the quorum, until all keepers were stopped [S50] [S51]', async () => {
    const survivor = await leadOf();
    const dead = grid.processes.filter(({ role, name }) => role === 'keeper' && name !== survivor.name);
    await Promise.all(dead.map((keeper) => keeper.kill('SIGKILL')));
    await client.put('orders', 'below the quorum', 'nothing changed yet', 'a');

    const node = await nodeInSync('a', survivor);
    await node.kill('SIGKILL');
    await until('the keeper to say so', async () => (await describeOf(survivor)).problems.length > 0);
    const { problems, quorum } = await describeOf(survivor);
    expect(problems[0]).to.deep.include({ code: 'copyset-undecided' });
    expect(problems[0]?.hint).to.equal('stop the remaining keepers, then start all of them');
    expect(quorum).to.deep.equal({ running: 1, configured: 3 });
    await until(
      'operations to fail',
      async () => (await failureOf(client.get('orders', 'x', 'b'))) !== undefined,
    );
    expect(await failureOf(client.get('orders', 'x', 'b'))).to.equal('copyset-undecided');
    await until('the status to show it', async () =>
      (await grid.status()).running.some(({ problems: [problem = ''] }) => problem.includes('undecided')),
    );

    await node.start();
    await Promise.all(dead.map((keeper) => keeper.start()));
    await until('three keepers', async () => (await describeOf(survivor)).quorum?.running === 3);
    expect(await failureOf(client.get('orders', 'x', 'b'))).to.equal('copyset-undecided');

    const keepers = [survivor, ...dead];
    await Promise.all(keepers.map((keeper) => keeper.stop()));
    await Promise.all(keepers.map((keeper) => keeper.start()));
    await grid.healthy();
    expect(await client.get('orders', 'below the quorum', 'a')).to.equal('nothing changed yet');
  });

  async function nodeInSync(copyset: string, keeper: GridProcess): Promise<GridProcess> {
    const { primary = '', inSync = [] } = (await stateOf(keeper)).copysets[copyset] ?? {};
    return grid.process(inSync.find((name) => name !== primary) ?? '');
  }
});

/** All that its journal has, oldest first. */
function logged({ dataDirectory }: GridProcess): string {
  const folder = join(dataDirectory, 'live', 'journal');
  const files = readdirSync(folder).sort();
  return files.map((file) => readFileSync(join(folder, file), 'utf8')).join('');
}

async function rowsOf({ dataDirectory }: GridProcess): Promise<Row[]> {
  const log = new NodeLog(dataDirectory, 1e6);
  await log.begin();
  const rows = log.database.scan(undefined, undefined, 1e6);
  await log.close();
  return rows;
}

async function failureOf(call: Promise<unknown>): Promise<string | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    return error instanceof GridError ? error.code : String(error);
  }
}

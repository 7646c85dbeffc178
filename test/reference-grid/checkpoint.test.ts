import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import type { RealmRecord } from './calls.ts';
import type { Client } from './client.ts';
import { contractOf, type Contract } from './contract-client.ts';
import type { GridProcess } from './grid-process.ts';
import { launchReferenceGrid, layOutReferenceGrid, type ReferenceGrid } from './launch.ts';
import { NodeLog } from './node-log.ts';

const OPTIONS = {
  copysets: { a: 2, b: 2 },
  keepers: 3,
  proxies: 1,
  satellites: 1,
  options: ['--journal-bytes', '30000', '--write-ms', '150', '--timeout-ms', '1000', '--grace-ms', '3000'],
};

let attempts = 0;
const newToken = () => ({ epoch: 0, counter: 1, attempt: (attempts += 1) });

describe('a reference grid of which a checkpoint is taken by the contract', () => {
  let grid: ReferenceGrid;
  let client: Client;
  let folder: ReturnType<typeof temporaryFolder>;
  const contracts = new Map<string, Contract>();
  const by = (name: string): Contract => contracts.get(name) as Contract;
  const resting = () => grid.processes.filter(({ role }) => role !== 'proxy');
  const nodes = () => grid.processes.filter(({ role }) => role === 'node');

  before(async () => {
    folder = temporaryFolder('rg');
    grid = await launchReferenceGrid({
      ...OPTIONS,
      folder: folder.path,
      hosts: ['127.0.51.1', '127.0.51.2'],
    });
    for (const process of grid.processes) contracts.set(process.name, contractOf(process));
    client = grid.client();
  });

  after(async () => {
    for (const contract of contracts.values()) contract.close();
    client?.close();
    await grid?.close();
    folder.remove();
  });

  it('makes nothing visible and acknowledges nothing while it is quiesced, and goes on then', async () => {
    const operation = 'still';
    const token = newToken();
    await client.put('still', 'before', '1', 'a');
    for (const { name } of nodes()) {
      const { quiesced } = await by(name).quiesce({
        operation,
        token,
        allowReads: true,
        timeoutMs: 2000,
        leaseMs: 10_000,
      });
      expect(quiesced).to.equal(true);
    }
    const sizes = () => nodes().map(journalBytes);
    const before = sizes();

    let acknowledged = false;
    const put = client.put('still', 'during', '2', 'a').then(() => (acknowledged = true));
    await Promise.all(Array.from({ length: 20 }, () => client.get('still', 'before', 'a')));
    expect(await client.get('still', 'during', 'a')).to.equal(null);
    expect(await client.get('still', 'before', 'a')).to.equal('1');
    expect(acknowledged).to.equal(false);
    expect(sizes()).to.deep.equal(before);

    for (const { name } of nodes()) {
      expect(await by(name).resume({ operation, token })).to.deep.include({ held: true, cause: '' });
    }
    await put;
    expect(await client.get('still', 'during', 'a')).to.equal('2');
  });

  it('names no other primary for being still, longer than a process may be unheard of', async () => {
    const operation = 'long';
    const token = newToken();
    const ask = (name: string) => by(name).quiesce({ operation, token, leaseMs: 10_000 });
    const before = (await by('k1').saveKeeperState({ operation })).state;
    await Promise.all(resting().map(({ name }) => ask(name)));
    const put = client.put('still', 'long', '1', 'b');
    const began = performance.now();

    await until('longer than the timeout', async () => {
      expect((await by('a2').describe({})).held?.quiesced).to.equal(true);
      return performance.now() - began > 1500;
    });

    for (const { name } of resting())
      expect((await by(name).resume({ operation, token })).held).to.equal(true);
    await put;
    expect((await by('k1').saveKeeperState({ operation })).state).to.deep.equal(before);
    await grid.healthy();
  });

  it('lets readers wait where reads are not allowed, and ends a hold whose lease runs out', async () => {
    const operation = 'lease';
    const token = newToken();
    const { quiesced } = await by('a1').quiesce({ operation, token, timeoutMs: 1000, leaseMs: 300 });
    const began = performance.now();

    await client.get('still', 'before', 'a');

    expect(quiesced).to.equal(true);
    expect(performance.now() - began).to.be.greaterThan(150);
    const { held, cause } = await by('a1').resume({ operation, token });
    expect(held).to.equal(false);
    expect(cause).to.equal('the lease of 300 ms ran out');
    await grid.healthy();
  });

  it('keeps a secondary at rest from logging what its primary logs, without losing its connection', async () => {
    const operation = 'secondary';
    const token = newToken();
    await by('b2').quiesce({ operation, token });
    const before = journalBytes(grid.process('b2'));

    const put = client.put('still', 'held back', '3', 'b');
    await until('the primary to have logged it', () => readJournal(grid.process('b1')).includes('held back'));
    expect(journalBytes(grid.process('b2'))).to.equal(before);
    expect(await client.get('still', 'held back', 'b')).to.equal(null);

    await by('b2').resume({ operation, token });
    await put;
    expect(readJournal(grid.process('b2'))).to.include('held back');
  });

  it('leaves its database files alone while writing is suspended, and its rows stay readable', async () => {
    const operation = 'suspend';
    const { firstJournalFile } = await by('a1').suspendWriting({ operation });
    const before = filesOf(grid.process('a1'));

    for (let row = 0; row < 400; row += 50) {
      const keys = Array.from({ length: 50 }, (_, index) => `s${row + index}`);
      await Promise.all(keys.map((key) => client.put('suspended', key, 'x'.repeat(300), 'a')));
    }
    await Promise.all(Array.from({ length: 30 }, (_, row) => client.get('suspended', `s${row}`, 'a')));

    expect(filesOf(grid.process('a1'))).to.deep.equal(before);
    expect(journalFiles(grid.process('a1'))[0]).to.equal(firstJournalFile);
    expect((await by('a1').resumeWriting({ operation, retainJournal: true, leaseMs: 10_000 })).held).to.equal(
      true,
    );
    await until(
      'the write daemon',
      () => JSON.stringify(filesOf(grid.process('a1'))) !== JSON.stringify(before),
    );
    expect(journalFiles(grid.process('a1'))[0]).to.equal(firstJournalFile);
    expect((await by('a1').releaseJournal({ operation })).held).to.equal(true);
    await until('old files to go', () => (journalFiles(grid.process('a1'))[0] ?? '') > firstJournalFile);
    expect(await client.scan('suspended', 'a')).to.have.length(400);
  });

  it('refuses writes in maintenance, with an error that says so, and only then [S14]', async () => {
    const operation = 'maintenance';
    for (const { name } of nodes()) await by(name).enterMaintenance({ operation });
    const refused = await client.put('still', 'x', '1', 'a').catch((error: unknown) => error as Error);
    expect(refused).to.include({ code: 'maintenance' });
    expect(await client.get('still', 'before', 'a')).to.equal('1');
    for (const { name } of nodes())
      expect((await by(name).leaveMaintenance({ operation })).held).to.equal(true);
    await client.put('still', 'x', '1', 'a');
  });

  it('is held still, copied, and brought up elsewhere as it was at one moment [S1] [S3] [S5] [S29]', async () => {
    const operation = 'checkpoint';
    const token = newToken();
    const chain = causalWrites(client);
    await until('some writes', () => chain.acknowledged() > 100);

    const image = join(folder.path, 'image');
    const first = new Map<string, string>();
    for (const node of nodes()) {
      first.set(node.name, (await by(node.name).suspendWriting({ operation })).firstJournalFile);
      cpSync(join(node.dataDirectory, 'live/database'), join(image, node.name, 'live/database'), {
        recursive: true,
      });
      await by(node.name).resumeWriting({ operation, retainJournal: true });
    }
    const more = chain.acknowledged();
    await until('more writes, in journal and memory', () => chain.acknowledged() > more + 100);

    const backup = await by('realm').backUpDatabase({
      operation,
      checkpoint: 'nightly',
      epoch: 0,
      counter: 7,
    });
    const quiesced = await Promise.all(resting().map(({ name }) => by(name).quiesce({ operation, token })));
    expect(quiesced.map((answer) => answer.quiesced)).to.deep.equal(resting().map(() => true));
    const acknowledged = chain.acknowledged();
    const marks = new Map<string, { journalFile: string; length: bigint }>();
    for (const { name } of resting()) marks.set(name, await by(name).switchJournal({ operation, token }));
    const { state, version } = await by('k1').saveKeeperState({ operation });
    expect(marks.get('k2')).to.deep.include({ journalFile: String(version), length: 0n });
    for (const { name } of resting())
      expect((await by(name).resume({ operation, token })).held).to.equal(true);

    for (const node of nodes()) {
      const { journalFile, length } = marks.get(node.name) ?? { journalFile: '', length: 0n };
      const to = join(image, node.name, 'live/journal');
      mkdirSync(to, { recursive: true });
      for (const file of journalFiles(node)) {
        if (file < (first.get(node.name) ?? '') || file > journalFile) continue;
        copyFileSync(join(node.dataDirectory, 'live/journal', file), join(to, file));
        if (file === journalFile) truncateSync(join(to, file), Number(length));
      }
      expect((await by(node.name).releaseJournal({ operation })).held).to.equal(true);
    }
    const after = chain.acknowledged();
    await until('writes after the checkpoint', () => chain.acknowledged() > after + 50);
    await chain.end();

    for (const { name } of nodes()) {
      const alone = join(folder.path, 'alone', name);
      cpSync(join(image, name), alone, { recursive: true });
      const log = new NodeLog(alone, 1e6);
      await log.begin();
      const rows = log.database.scan('causal', undefined, 1e6).length;
      const lower = name.startsWith('a') ? Math.ceil(acknowledged / 2) : Math.floor(acknowledged / 2);
      expect(rows, name).to.be.within(lower, lower + 1);
      await log.close();
    }

    const moved = await layOutReferenceGrid({
      ...OPTIONS,
      folder: join(folder.path, 'm'),
      hosts: ['127.0.51.3', '127.0.51.4'],
    });
    const realm = contractOf(moved.process('realm'));
    const elsewhere = moved.client();
    try {
      for (const { name } of nodes())
        cpSync(join(image, name), moved.process(name).dataDirectory, { recursive: true });
      for (const name of ['k1', 'k2', 'k3']) place(moved.process(name), Buffer.from(state));
      place(moved.process('realm'), readFileSync(join(grid.process('realm').dataDirectory, backup.file)));
      await moved.process('realm').start();
      const before = await realm.describe({});
      expect(before).to.deep.include({ highestEpoch: 0, highestCounter: 7 });
      const processes = moved.processes.map(({ name, address, dataDirectory }) => ({
        name,
        address,
        dataDirectory,
      }));
      const relocated = await realm.relocate({
        processes: processes.map((it) => ({ ...it, running: false })),
      });
      expect(relocated.version).to.equal((before.definition?.version ?? 0n) + 1n);
      expect(readdirSync(join(moved.process('realm').dataDirectory, 'live'))).to.deep.equal(['realm.json']);
      await moved.start();
      await moved.healthy();

      const rows = [...(await elsewhere.scan('causal', 'a')), ...(await elsewhere.scan('causal', 'b'))];
      const numbers = rows.map(([, key]) => Number(key)).sort((one, other) => one - other);
      expect(numbers).to.deep.equal(numbers.map((_, index) => index));
      expect(numbers.length).to.be.within(acknowledged, acknowledged + 1);
      expect(await elsewhere.scan('still', 'a')).to.deep.equal(await client.scan('still', 'a'));
      await elsewhere.put('causal', 'again', 'written', 'a');
      await equalNodes(moved, 'a');
      await equalNodes(moved, 'b');
    } finally {
      realm.close();
      elsewhere.close();
      await moved.close();
    }
  });

  it('backs up the realm into a file named with the time, and refuses older tokens [S21]', async () => {
    const began = new Date().toISOString().replaceAll(/[-:.]/g, '');
    const { file, definition } = await by('realm').backUpDatabase({
      operation: 'b',
      checkpoint: 'c',
      counter: 3,
    });
    expect(file >= `backups/${began}` && file < 'backups/3').to.equal(true);
    expect(JSON.parse(Buffer.from(definition).toString())).to.deep.include({ grid: 'reference' });
    const saved = readFileSync(join(grid.process('realm').dataDirectory, file), 'utf8');
    expect((JSON.parse(saved) as RealmRecord).highestCounter).to.equal(7);

    const old = { epoch: 0, counter: 0, attempt: 1 };
    const refused = await by('a1')
      .quiesce({ operation: 'old', token: old })
      .catch((error: unknown) => error);
    expect(refused).to.include({ code: status.ABORTED });
    const satellite = await by('satellite')
      .backUpDatabase({ operation: 's' })
      .catch((error: unknown) => error);
    expect(satellite).to.include({ code: status.FAILED_PRECONDITION });
    expect((satellite as Error).message).to.include(grid.process('realm').address);
  });
});

/** Row n goes to copyset a or b, each written when the one before was acknowledged. */
function causalWrites(client: Client): { acknowledged(): number; end(): Promise<void> } {
  let next = 0;
  let ended = false;
  const written = (async () => {
    for (; !ended; next += 1) {
      await client.put('causal', String(next), 'x'.repeat(100), next % 2 === 0 ? 'a' : 'b');
    }
  })();
  written.catch(() => undefined);
  return {
    acknowledged: () => next,
    async end() {
      ended = true;
      await written;
    },
  };
}

function place({ dataDirectory }: GridProcess, bytes: Buffer): void {
  mkdirSync(join(dataDirectory, 'live'), { recursive: true });
  writeFileSync(join(dataDirectory, 'live', 'recovery'), bytes);
}

/** The grid is stopped for it: the rows of all nodes of a copyset are the same. */
async function equalNodes(grid: ReferenceGrid, copyset: string): Promise<void> {
  const rows: unknown[] = [];
  for (const node of grid.processes.filter(({ role, name }) => role === 'node' && name.startsWith(copyset))) {
    await node.stop();
    const log = new NodeLog(node.dataDirectory, 1e6);
    await log.begin();
    rows.push(log.database.scan(undefined, undefined, 1e6));
    await log.close();
  }
  expect(rows[0]).to.have.length.greaterThan(0);
  expect(rows[1]).to.deep.equal(rows[0]);
}

function journalFiles({ dataDirectory }: GridProcess): string[] {
  return readdirSync(join(dataDirectory, 'live', 'journal')).sort();
}

function readJournal(node: GridProcess): string {
  return journalFiles(node)
    .map((file) => readFileSync(join(node.dataDirectory, 'live/journal', file), 'latin1'))
    .join('');
}

function journalBytes(node: GridProcess): number {
  return readJournal(node).length;
}

/** Every file below `live/` that is not the journal's, with what is in it. */
function filesOf({ dataDirectory }: GridProcess): Record<string, string> {
  const live = join(dataDirectory, 'live');
  const files = readdirSync(live, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((path) => !path.includes('/journal/'));
  return Object.fromEntries(
    paths.map((path) => [
      path.slice(live.length),
      createHash('sha256').update(readFileSync(path)).digest('hex'),
    ]),
  );
}

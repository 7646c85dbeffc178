import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { until } from '../../lab/processes.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import type { Client } from '../../reference-grid/client.ts';
import { contractOf } from '../../reference-grid/contract-client.ts';
import { launchReferenceGrid, type ReferenceGrid } from '../../reference-grid/launch.ts';
import {
  FREEZE,
  HeldNodes,
  heldNode,
  JOURNAL_CHECKPOINT,
  optionsOf,
  QUIESCE,
  rowsAt,
  type HeldNode,
} from './held-node.ts';

// Goal: what clients, files and journals of real nodes do while these are held. Method: a grid of two copysets, whose nodes
// the engine holds as an agent would.

const BUFFERS = 500;

describe('nodes of a grid that are held', function () {
  const folder = temporaryFolder('held');
  const slow = join(folder.path, 'slow-disk');
  let grid: ReferenceGrid;
  let client: Client;
  let a1: HeldNode;
  let b1: HeldNode;
  const operations: HeldNodes[] = [];

  before(async () => {
    grid = await launchReferenceGrid({
      folder: folder.path,
      hosts: ['127.0.53.1', '127.0.53.2'],
      copysets: { a: 1, b: 1 },
      keepers: 1,
      proxies: 1,
      satellites: 0,
      options: optionsOf({
        'write-ms': '100',
        'timeout-ms': '1000',
        'grace-ms': '3000',
        buffers: String(BUFFERS),
        unjournaled: 'scratch',
        'recovery-waits': slow,
      }),
    });
    client = grid.client();
    a1 = heldNode(grid.process('a1'), folder.path);
    b1 = heldNode(grid.process('b1'), folder.path);
  });

  afterEach(async () => {
    for (const operation of operations.splice(0)) await operation.abort();
  });

  after(async () => {
    client?.close();
    await grid?.close();
    folder.remove();
  });

  async function held(
    purpose: ConstructorParameters<typeof HeldNodes>[1],
    nodes = [a1, b1],
  ): Promise<HeldNodes> {
    const operation = new HeldNodes(nodes, purpose, folder.path);
    operations.push(operation);
    await operation.hold();
    return operation;
  }

  it('let readers and writers wait in a quiesce, lose none of them, and let all go on after it [S67] [S125]', async () => {
    await client.put('t67', 'before', '1', 'a');
    const operation = await held(QUIESCE);
    let read = 'waits';
    let written = 'waits';
    const reading = client.get('t67', 'before', 'a').then((value) => (read = value ?? 'nothing'));
    const writing = client.put('t67', 'during', '2', 'a').then(() => (written = 'acknowledged'));
    await stays(() => read === 'waits' && written === 'waits');
    for (const proof of await operation.thaw()) expect(proof.type).to.equal('held');
    await Promise.all([reading, writing]);
    expect([read, written]).to.deep.equal(['1', 'acknowledged']);
  });

  it('answer readers in a quiesce that allows it, with what was there, while writers wait [S68]', async () => {
    await client.put('t68', 'before', '1', 'a');
    const operation = await held({ ...QUIESCE, allowReads: true });
    let written = false;
    const writing = client.put('t68', 'during', '2', 'a').then(() => (written = true));
    expect(await client.get('t68', 'before', 'a')).to.equal('1');
    expect(await client.get('t68', 'during', 'a')).to.equal(null);
    await stays(() => !written);
    for (const proof of await operation.thaw()) expect(proof.type).to.equal('held');
    await writing;
  });

  it('have all that was acknowledged on disk in a quiesce, in files that do not change [S69] [S73]', async () => {
    const keys = Array.from({ length: 200 }, (_, index) => `k${String(index).padStart(3, '0')}`);
    await Promise.all(keys.map((key) => client.put('t69', key, 'x', 'a')));
    const operation = await held(QUIESCE, [a1]);
    const before = digests(a1);
    const copy = join(folder.path, 't69');
    cpSync(join(a1.settings.data, 'live'), join(copy, 'live'), { recursive: true });
    void client.put('t69', 'later', 'x', 'a').catch(() => undefined);
    await stays(() => JSON.stringify(digests(a1)) === JSON.stringify(before));
    expect(await rowsAt(copy, 't69')).to.deep.equal(keys);
    expect((await operation.thaw())[0]?.type).to.equal('held');
  });

  it('go on in a freeze, in memory and journal, while no database file changes, and write it all after the thaw [S82] [S83]', async () => {
    const operation = await held(FREEZE);
    const before = databases(a1);
    for (let row = 0; row < 100; row += 1) await client.put('t83', String(row), 'x'.repeat(100), 'a');
    expect(await client.scan('t83', 'a')).to.have.length(100);
    await stays(() => JSON.stringify(databases(a1)) === JSON.stringify(before));
    const { suspension } = (await operation.captures.get('a1')?.collect()) ?? {};
    expect(suspension).to.deep.equal({ held: true });
    await until(
      'what was held back to be written',
      () => JSON.stringify(databases(a1)) !== JSON.stringify(before),
    );
  });

  it('let updates wait in a freeze when memory is full, and say so; none is lost, and the freeze goes on [S84]', async () => {
    const operation = await held(FREEZE);
    const before = databases(a1);
    let written = 0;
    const writing = (async () => {
      for (; written < BUFFERS + 50; written += 1) await client.put('t84', String(written), 'x', 'a');
    })();
    await until('memory to be full', async () => (await warningsOf(a1)).includes('updates-wait'));
    const stood = written;
    expect(stood).to.be.within(BUFFERS / 2, BUFFERS + 1);
    await stays(() => written === stood);
    expect(databases(a1)).to.deep.equal(before);
    expect((await operation.captures.get('a1')?.collect())?.suspension).to.deep.equal({ held: true });
    await writing;
    expect(await client.scan('t84', 'a')).to.have.length(BUFFERS + 50);
  });

  it('say before a freeze for how long updates would go on: less, the faster they come [S130]', async () => {
    const room = async (): Promise<number> => {
      const { updatesHaveRoomMs } = await a1.engine.describe(AbortSignal.timeout(5000));
      if (updatesHaveRoomMs === null) throw new Error('it does not say');
      return updatesHaveRoomMs;
    };
    await client.put('t130', 'one', 'x', 'a');
    expect(await room()).to.be.greaterThan(0);
    await until('a burst of updates to leave less', async () => {
      const before = await room();
      for (let row = 0; row < 50; row += 1) await client.put('t130', String(row), 'x', 'a');
      return (await room()) < before;
    });
  });

  it('let updates wait in a freeze after its time, not before, and stay frozen [S84] [S85]', async () => {
    const timeOutMs = 1500;
    const from = performance.now();
    const operation = await held({ type: 'freeze', timeOutMs });
    const before = databases(a1);
    let written = 0;
    let ended = false;
    const writing = (async () => {
      for (; !ended; written += 1) await client.put('t85', 'one', String(written), 'a');
    })();
    await until('updates to go on', () => written > 10);
    expect(performance.now() - from).to.be.lessThan(timeOutMs);
    await until('updates to wait', async () => (await warningsOf(a1)).includes('updates-wait'));
    expect(performance.now() - from).to.be.greaterThan(timeOutMs);
    const stood = written;
    await stays(() => written === stood);
    expect(databases(a1)).to.deep.equal(before);
    ended = true;
    expect((await operation.captures.get('a1')?.collect())?.suspension).to.deep.equal({ held: true });
    await writing;
  });

  it('end their files at one moment in a journal checkpoint: what came after on one is after it on the other [S56] [S79]', async () => {
    let next = 0;
    let ended = false;
    const writing = (async () => {
      for (; !ended; next += 1)
        await client.put('t79', String(next).padStart(6, '0'), 'x', next % 2 === 0 ? 'a' : 'b');
    })();
    for (let round = 0; round < 5; round += 1) {
      const from = next;
      await until('some writes', () => next > from + 20);
      const copies = [a1, b1].map(({ name }) => join(folder.path, `t79-${round}`, name));
      // So that it can be looked at: a freeze keeps the journal.
      const operation = await held(FREEZE);
      for (const [index, { settings }] of [a1, b1].entries())
        cpSync(join(settings.data, 'live'), join(copies[index] ?? '', 'live'), { recursive: true });
      const marks = await operation.end();
      const numbers: number[] = [];
      for (const [index, { name }] of [a1, b1].entries()) {
        cut(join(copies[index] ?? '', 'live/journal'), marks.get(name)?.mark?.position ?? '');
        numbers.push(...(await rowsAt(copies[index] ?? '', 't79')).map(Number));
      }
      expect(numbers.toSorted((one, other) => one - other)).to.deep.equal(numbers.map((_, index) => index));
    }
    ended = true;
    await writing;
  });

  it('answer readers in a journal checkpoint, and let writers alone wait [S80]', async () => {
    await client.put('t80', 'x', '1', 'a');
    const operation = new HeldNodes([a1, b1], JOURNAL_CHECKPOINT, folder.path);
    operations.push(operation);
    await operation.mark();
    let written = false;
    const writing = client.put('t80', 'x', '2', 'a').then(() => (written = true));
    expect(await client.get('t80', 'x', 'a')).to.equal('1');
    await stays(() => !written);
    for (const proof of await operation.thaw()) expect(proof.type).to.equal('held');
    await writing;
    const marks = await operation.end();
    for (const { mark } of marks.values()) expect(mark?.journalFile).to.match(/^\d{12}\.journal$/);
  });

  it('that crash while frozen are told as recovering, not as failed, and lose nothing but what was not journaled [S86] [S87]', async () => {
    expect(await warningsOf(a1)).to.include('database-not-journaled');
    const operation = await held(FREEZE, [a1]);
    await client.put('t87', 'kept', '1', 'a');
    await client.put('scratch', 'lost', '1', 'a');
    writeFileSync(slow, '');
    await a1.process.kill('SIGKILL');
    const starting = a1.process.start();
    await until('it to say what it does', async () => (await problemsOf(a1)).includes('member-recovering'));
    expect((await a1.engine.describe(AbortSignal.timeout(5000))).running).to.equal(true);
    const contract = contractOf(a1.process);
    expect((await contract.health({})).cause).to.match(/recovering: reading the journal, file 1 of \d/);
    contract.close();
    const { suspension } = (await operation.captures.get('a1')?.collect()) ?? {};
    expect(suspension)
      .to.have.property('cause')
      .that.matches(/restarted meanwhile, and is recovering/);
    rmSync(slow);
    await starting;
    await grid.healthy();
    expect(await problemsOf(a1)).to.deep.equal([]);
    expect(await client.get('t87', 'kept', 'a')).to.equal('1');
    expect(await client.get('scratch', 'lost', 'a')).to.equal(null);
  });
});

/** So it is, and for some time. */
async function stays(isSo: () => boolean): Promise<void> {
  const from = performance.now();
  await until('some time to pass', () => {
    if (!isSo()) throw new Error('it did not stay so');
    return performance.now() - from > 400;
  });
}

async function warningsOf({ engine }: HeldNode): Promise<string[]> {
  return (await engine.describe(AbortSignal.timeout(5000))).warnings.map(({ code }) => code);
}

async function problemsOf({ engine }: HeldNode): Promise<string[]> {
  return (await engine.describe(AbortSignal.timeout(5000))).problems.map(({ code }) => code);
}

/** Every file below `live/`, with what is in it. */
function digests({ settings }: HeldNode): Record<string, string> {
  const live = join(settings.data, 'live');
  const files = readdirSync(live, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map(({ parentPath, name }) => join(parentPath, name)).toSorted();
  return Object.fromEntries(
    paths.map((path) => [
      path.slice(live.length),
      createHash('sha256').update(readFileSync(path)).digest('hex'),
    ]),
  );
}

function databases(node: HeldNode): Record<string, string> {
  return Object.fromEntries(Object.entries(digests(node)).filter(([path]) => !path.startsWith('/journal/')));
}

/** What is behind the mark is taken away. */
function cut(journal: string, position: string): void {
  const [file = '', length] = position.split(':');
  for (const name of readdirSync(journal)) if (name > file) rmSync(join(journal, name));
  writeFileSync(join(journal, file), readFileSync(join(journal, file)).subarray(0, Number(length)));
}

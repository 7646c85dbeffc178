import { appendFileSync, cpSync, readdirSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { temporaryFolder } from '../lab/temporary.ts';
import type { LogEntry } from './calls.ts';
import { NodeLog } from './node-log.ts';

function updates(from: number, to: number, term = 1): LogEntry[] {
  return Array.from({ length: to - from + 1 }, (_, index) => {
    const sequence = from + index;
    return { kind: 'update', sequence, term, table: 't', key: `k${sequence}`, value: `v${sequence}` };
  });
}

describe('the log of a node', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let log: NodeLog | undefined;

  beforeEach(() => (folder = temporaryFolder('rg')));
  afterEach(async () => {
    await log?.close();
    folder.remove();
  });

  async function opened(name = 'node'): Promise<NodeLog> {
    await log?.close();
    const opening = new NodeLog(join(folder.path, name), 500);
    log = opening;
    await opening.begin();
    return opening;
  }

  const journal = (name = 'node') => join(folder.path, name, 'live', 'journal');
  const files = () => readdirSync(journal()).sort();
  const keys = (of: NodeLog) => of.database.scan('t', undefined, 1000).map(([, key]) => key);

  it('comes up with all that was logged, whatever of it the write daemon has written', async () => {
    const first = await opened();
    await first.log(updates(1, 3));
    first.apply(2);
    expect(keys(first)).to.deep.equal(['k1', 'k2']);
    await first.write();
    await first.log(updates(4, 5));

    const again = await opened();

    expect(keys(again)).to.deep.equal(['k1', 'k2', 'k3', 'k4', 'k5']);
    expect(again.position).to.deep.equal({ identity: '', sequence: 5, term: 1 });
  });

  it('shows rows in pages, with what is in memory over what is on disk', async () => {
    const first = await opened();
    await first.log(updates(1, 6));
    first.apply();
    await first.write();
    const row = { kind: 'update', term: 1, table: 't' } as const;
    await first.log([
      { ...row, sequence: 7, key: 'k2', value: null },
      { ...row, sequence: 8, key: 'k25', value: 'new' },
      { ...row, sequence: 9, key: 'k4', value: 'changed' },
    ]);
    first.apply();

    expect(first.database.scan('t', undefined, 3).map(([, key]) => key)).to.deep.equal(['k1', 'k25', 'k3']);
    expect(first.database.scan('t', 'k3', 2)).to.deep.equal([
      ['t', 'k4', 'changed'],
      ['t', 'k5', 'v5'],
    ]);
    expect([first.database.get('t', 'k2'), first.database.get('t', 'k6')]).to.deep.equal([null, 'v6']);
    await first.log([{ kind: 'clear', identity: 'x' }]);
    first.apply();
    expect([first.database.get('t', 'k6'), keys(first)]).to.deep.equal([null, []]);
  });

  it('passes over a torn end, and goes on behind it', async () => {
    await (await opened()).log(updates(1, 2));
    const torn = join(journal(), files().at(-1) ?? '');
    appendFileSync(torn, Buffer.from([0, 0, 0, 200, 1, 2, 3, 4, 5]));

    const second = await opened();
    await second.log(updates(3, 3));

    expect(keys(await opened())).to.deep.equal(['k1', 'k2', 'k3']);
  });

  it('comes up with what was logged at a mark when its last file is cut there', async () => {
    const first = await opened();
    await first.log(updates(1, 2));
    const mark = await first.switchJournal();
    await first.log(updates(3, 4));
    first.apply();
    cpSync(join(folder.path, 'node'), join(folder.path, 'copy'), { recursive: true });
    for (const file of readdirSync(journal('copy')))
      if (file > mark.file) rmSync(join(journal('copy'), file));
    truncateSync(join(journal('copy'), mark.file), mark.length);

    expect(keys(await opened('copy'))).to.deep.equal(['k1', 'k2']);
  });

  it('refuses to come up without a journal file that it needs', async () => {
    const first = await opened();
    for (let row = 1; row < 40; row += 10) {
      await first.log(updates(row, row + 9));
    }
    const [, second = ''] = files();
    await first.close();
    log = undefined;
    rmSync(join(journal(), second));

    const failed = await opened().catch((error: unknown) => error as Error);

    expect(failed).to.include({ message: `journal file ${second} is missing; hint: restore all of them` });
  });

  it('keeps journal files that are retained, and lets others go', async () => {
    const first = await opened();
    const retained = await first.suspend();
    for (let row = 1; row < 40; row += 10) await first.log(updates(row, row + 9));
    first.apply();
    await first.write();
    first.retain(true);
    first.resume();
    await first.write();
    expect(files()[0]).to.equal(retained);

    first.retain(false);
    await first.write();

    expect(files()).to.have.length(1);
    expect(keys(await opened())).to.have.length(40);
  });

  it('gives what followers lack from its files, and nothing where they are gone', async () => {
    const first = await opened();
    for (let row = 1; row < 40; row += 10) await first.log(updates(row, row + 9));
    first.apply();
    const again = await opened();

    expect((await again.after(12, 5))?.map(({ sequence }) => sequence)).to.deep.equal([13, 14, 15, 16, 17]);
    await again.write();
    expect(await again.after(12, 5)).to.equal(undefined);
  });
});

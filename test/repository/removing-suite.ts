import { expect } from 'chai';
import type { Repository } from '../../shared/repository/repository.ts';
import {
  checkpointId,
  failureOf,
  GRID,
  gridManifest,
  noise,
  rows,
  storeCheckpoint,
  storeMember,
  verified,
} from './samples.ts';

/** What the contract says of what goes (checkpoints, garbage), and of what is decided once. */
export function itRemovesAndDecides(given: {
  readonly repository: Repository;
  open(): Promise<Repository>;
}): void {
  it('deletes a checkpoint, and of its chunks those that no other needs', async () => {
    const shared = noise(1000, 'shared');
    await storeCheckpoint(given.repository, checkpointId(1), {
      a: { 'base/1': shared, 'base/2': noise(700, '1') },
    });
    await storeCheckpoint(given.repository, checkpointId(2), { a: { 'base/1': shared } });

    const { removedBytes } = await given.repository.deleteCheckpoint(GRID, checkpointId(1));

    expect(removedBytes).to.equal(700);
    expect((await given.repository.list(GRID)).map(({ checkpoint }) => checkpoint)).to.deep.equal([
      checkpointId(2),
    ]);
    expect(await verified(given.repository, checkpointId(2))).to.deep.equal([]);
  });

  it('discards what was not committed, and nothing else', async () => {
    const manifest = await storeCheckpoint(given.repository, checkpointId(1), {
      a: { 'base/1': rows(9, 'a') },
    });
    const member = await storeMember(given.repository, checkpointId(2), 'a', { 'base/1': rows(9, 'b') });

    for (const counter of [1, 2, 3]) await given.repository.discard(GRID, checkpointId(counter));

    expect((await given.repository.list(GRID)).map(({ manifest: kept }) => kept)).to.deep.equal([manifest]);
    const late = (await given.open()).commit(gridManifest(checkpointId(2), [member]));
    expect(await failureOf(late)).to.include({ code: 'manifest-damaged' });
  });

  it('collects no garbage while an operation runs, and all of it after', async () => {
    const operation = await given.repository.beginOperation({ grid: GRID, id: 'one', holder: 'a test' });
    await storeMember(given.repository, checkpointId(1), 'a', { 'base/1': noise(800, 'garbage') });
    const other = await given.open();

    const during = await other.collectGarbage(GRID);
    expect(await operation.refresh()).to.equal(true);
    await operation.end();
    const after = await other.collectGarbage(GRID);

    expect(during).to.deep.equal({ removedBytes: 0, skipped: true });
    expect(after).to.deep.equal({ removedBytes: 800, skipped: false });
    expect(await operation.refresh()).to.equal(false);
  });

  it('stores anew what was garbage and was removed meanwhile', async () => {
    const files = { 'base/1': noise(800, 'gone') };
    await storeMember(given.repository, checkpointId(1), 'a', files);
    await (await given.open()).collectGarbage(GRID);

    await storeCheckpoint(given.repository, checkpointId(2), { a: files });

    expect(await verified(given.repository, checkpointId(2))).to.deep.equal([]);
  });

  it('lets the first decision of a restore stand', async () => {
    const other = await given.open();

    const outcomes = await Promise.all([
      given.repository.decideRestore(GRID, 'r1', 'restored'),
      other.decideRestore(GRID, 'r1', 'rolledBack'),
    ]);

    expect(outcomes[0]).to.equal(outcomes[1]);
    expect(await other.decideRestore(GRID, 'r2', 'rolledBack')).to.equal('rolledBack');
    expect(await given.repository.decideRestore(GRID, 'r2', 'restored')).to.equal('rolledBack');
  });

  it('has the epoch that a grid was raised to, beside what checkpoints had [S37]', async () => {
    const other = await given.open();
    expect(await given.repository.highestNumber(GRID)).to.deep.equal({ epoch: 0, counter: 0 });
    await storeCheckpoint(given.repository, checkpointId(7), { a: { 'base/1': rows(9, 'a') } });

    await Promise.all([given.repository.raiseEpoch(GRID, 2), other.raiseEpoch(GRID, 2)]);
    await given.repository.raiseEpoch(GRID, 1);

    expect(await other.highestNumber(GRID)).to.deep.equal({ epoch: 2, counter: 7 });
    expect(await other.highestNumber('payroll')).to.deep.equal({ epoch: 0, counter: 0 });
  });

  it('keeps the epoch when every checkpoint is gone', async () => {
    await storeCheckpoint(given.repository, checkpointId(7), { a: { 'base/1': rows(9, 'a') } });
    await given.repository.raiseEpoch(GRID, 1);

    await given.repository.deleteCheckpoint(GRID, checkpointId(7));
    await given.repository.collectGarbage(GRID);

    expect(await given.repository.highestNumber(GRID)).to.deep.equal({ epoch: 1, counter: 0 });
  });

  it('takes no epoch that has no eight digits', async () => {
    for (const epoch of [-1, 0.5, 1e8]) {
      expect(await failureOf(given.repository.raiseEpoch(GRID, epoch))).to.include({ code: 'bad-name' });
    }
  });
}

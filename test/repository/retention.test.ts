import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { type DirectoryLab, directoryLab } from './directory-lab.ts';
import { checkpointId, failureOf, GRID, noise, storeCheckpoint, verified } from './samples.ts';

// Goal: what is kept for good is deleted by nobody, and nothing is said to be kept that a deletion takes.
describe('a checkpoint that is kept for good', () => {
  const [kept, other] = [checkpointId(1), checkpointId(2)];
  const retention = { reason: 'audit 2026', by: 'doe@alpha', sinceMs: Date.UTC(2026, 0, 2) };
  let lab: DirectoryLab;

  beforeEach(async () => {
    lab = await directoryLab();
    for (const [index, checkpoint] of [kept, other].entries())
      await storeCheckpoint(lab.repository, checkpoint, { a: { 'base/1': noise(900, String(index)) } });
  });

  afterEach(() => lab.close());

  it('is not deleted, with nothing changed and the reason told, until it is released', async () => {
    await lab.repository.retain(GRID, kept, retention);
    const elsewhere = await lab.open();
    const before = lab.allFiles();

    const refused = await failureOf(elsewhere.deleteCheckpoint(GRID, kept));

    expect(refused).to.include({ code: 'checkpoint-held' });
    expect(refused.message).to.include('audit 2026').and.include('doe@alpha').and.include('2026-01-02');
    expect(refused.hint).to.include(`checkpoint release ${kept}`);
    expect(lab.allFiles()).to.deep.equal(before);
    expect(await verified(elsewhere, kept)).to.deep.equal([]);
    expect(await elsewhere.retained(GRID)).to.deep.equal([{ grid: GRID, checkpoint: kept, ...retention }]);
    await elsewhere.deleteCheckpoint(GRID, other);
    expect(await elsewhere.release(GRID, kept)).to.deep.equal(retention);
    expect(await lab.repository.retained(GRID)).to.deep.equal([]);
    await lab.repository.deleteCheckpoint(GRID, kept);
    expect(await lab.repository.list(GRID)).to.deep.equal([]);
  });

  it('is kept once, and released once', async () => {
    await lab.repository.retain(GRID, kept, retention);

    const again = await failureOf(lab.repository.retain(GRID, kept, { ...retention, reason: 'another' }));
    expect(again).to.include({ code: 'checkpoint-held' });
    expect(again.message).to.include('audit 2026');
    await lab.repository.release(GRID, kept);
    expect(await failureOf(lab.repository.release(GRID, kept))).to.include({ code: 'checkpoint-not-held' });
  });

  it('must be there: nothing is kept that was deleted, or is being deleted', async () => {
    const marker = `deletion-00000000-0000-4000-8000-000000000000~${kept}.json`;
    await lab.repository.deleteCheckpoint(GRID, other);
    writeFileSync(lab.file('operations', marker), '');

    expect(await failureOf(lab.repository.retain(GRID, kept, retention))).to.include({
      code: 'repository-busy',
    });
    expect(await failureOf(lab.repository.retain(GRID, other, retention))).to.include({
      code: 'checkpoint-missing',
    });
    expect(await lab.repository.retained(GRID)).to.deep.equal([]);
  });

  it('is kept although nobody can read why any more', async () => {
    await lab.repository.retain(GRID, kept, retention);
    writeFileSync(lab.file('retained', `${kept}.json`), '{"reason": 1');

    expect(await failureOf(lab.repository.deleteCheckpoint(GRID, kept))).to.include({
      code: 'checkpoint-held',
    });
    expect(await lab.repository.retained(GRID)).to.have.nested.property('[0].checkpoint', kept);
    await lab.repository.release(GRID, kept);
    await lab.repository.deleteCheckpoint(GRID, kept);
  });

  it('is either kept or deleted, whoever comes first', async () => {
    const elsewhere = await lab.open();
    for (let number = 3; number < 23; number += 1) {
      const checkpoint = checkpointId(number);
      await storeCheckpoint(lab.repository, checkpoint, { a: { 'base/1': noise(100, String(number)) } });
      const [keeping, deleting] = await Promise.allSettled([
        lab.repository.retain(GRID, checkpoint, retention),
        elsewhere.deleteCheckpoint(GRID, checkpoint),
      ]);

      const isKept = keeping.status === 'fulfilled';
      if (isKept) expect(deleting.status).to.equal('rejected');
      const entries = await lab.repository.list(GRID);
      const isThere = entries.some((entry) => entry.checkpoint === checkpoint && entry.state === 'valid');
      expect(isThere).to.equal(deleting.status === 'rejected');
      expect((await lab.repository.retained(GRID)).some((one) => one.checkpoint === checkpoint)).to.equal(
        isKept,
      );
    }
  });
});

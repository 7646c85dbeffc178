import { expect } from 'chai';
import { checkCopied, notValid, selectCheckpoint } from '../../coordinator/checkpoint-selector.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import { HOLD_PURPOSES } from '../../shared/domain/purpose.ts';
import type { CatalogueEntry, Repository } from '../../shared/repository/repository.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { madeRepository } from '../repository/made.ts';
import {
  checkpointId,
  GRID,
  LINEAGE,
  storeCheckpoint,
  storeHeld,
  storeImported,
} from '../repository/samples.ts';

// Goal: what copies nothing is never taken for a checkpoint by a name or by `latest`, is found by its full id, and is
// refused by what restores. Method: a real repository with one checkpoint and newer quiesces, freezes, journal checkpoints.

describe('an operation that copied nothing', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let repository: Repository;

  beforeEach(async () => {
    folder = temporaryFolder('selector');
    repository = await madeRepository(folder.path, { threads: 0 });
    for (const [index, purpose] of HOLD_PURPOSES.entries())
      await storeHeld(repository, checkpointId(index + 2), purpose);
  });

  afterEach(async () => {
    await repository.close();
    folder.remove();
  });

  const select = (selector: string): Promise<CatalogueEntry> =>
    selectCheckpoint(repository, GRID, selector, () => Promise.resolve(LINEAGE));

  it('is not the latest checkpoint, and not one of that name', async () => {
    await storeCheckpoint(repository, checkpointId(1), { a: {} });
    for (const selector of ['latest', 'nightly'])
      expect((await select(selector)).checkpoint).to.equal(checkpointId(1));
  });

  it('is none where there is no other', async () => {
    for (const selector of ['latest', 'nightly']) {
      const error = await select(selector).catch((thrown: unknown) => thrown);
      expect(error)
        .to.be.instanceOf(StillpointError)
        .with.nested.property('failure.code', 'checkpoint-missing');
    }
  });

  it('is found by its id, and refused by what restores, with what it can be used for', async () => {
    const words = ['journal checkpoint', 'quiesce', 'freeze'];
    for (const [index, purpose] of HOLD_PURPOSES.entries()) {
      const entry = await select(checkpointId(index + 2));
      expect(entry).to.include({ state: 'valid' }).with.nested.property('manifest.purpose', purpose);
      const { manifest } = entry;
      if (manifest === null) throw notValid(entry);
      expect(() => checkCopied(manifest))
        .to.throw(StillpointError, `is a ${words[index]}: the repository has its marks, and no copy`)
        .that.deep.includes({ exitCode: 3 })
        .with.nested.property('failure.hint')
        .that.includes(`stillpoint restore ${entry.checkpoint} --set SET`);
    }
  });
});

describe('a checkpoint that was imported', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let repository: Repository;

  beforeEach(async () => {
    folder = temporaryFolder('selector');
    repository = await madeRepository(folder.path, { threads: 0 });
    await storeImported(repository, checkpointId(2));
  });

  afterEach(async () => {
    await repository.close();
    folder.remove();
  });

  const select = (selector: string): Promise<CatalogueEntry> =>
    selectCheckpoint(repository, GRID, selector, () => Promise.resolve(LINEAGE));
  const refusal = async (selector: string): Promise<string> =>
    select(selector).then(
      () => 'selected',
      (error: unknown) => (error as StillpointError).failure.code,
    );

  it('is not the latest, however new it is, and is found by its name and its id', async () => {
    expect(await refusal('latest')).to.equal('checkpoint-missing');
    for (const selector of ['nightly', checkpointId(2)])
      expect((await select(selector)).checkpoint).to.equal(checkpointId(2));
    await storeCheckpoint(repository, checkpointId(1), { a: {} });
    expect((await select('latest')).checkpoint).to.equal(checkpointId(1));
  });

  it('is not taken for one of the living grid that has the same name', async () => {
    await storeCheckpoint(repository, checkpointId(1), { a: {} });
    expect(await refusal('nightly')).to.equal('checkpoint-ambiguous');
  });
});

import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { age, type DirectoryLab, directoryLab } from './directory-lab.ts';
import { checkpointId, failureOf, GRID, noise, storeCheckpoint, verified } from './samples.ts';

// Goal: what a running operation reads is deleted by nobody, and what is being deleted is read by nobody.
describe('a checkpoint that a running operation reads', () => {
  const [read, other] = [checkpointId(1), checkpointId(2)];
  const reader = { grid: GRID, id: 'restore-1', holder: 'restore of alpha', reads: read };
  let lab: DirectoryLab;

  beforeEach(async () => {
    lab = await directoryLab();
    for (const [index, checkpoint] of [read, other].entries())
      await storeCheckpoint(lab.repository, checkpoint, { a: { 'base/1': noise(900, String(index)) } });
  });

  afterEach(() => lab.close());

  it('is not deleted, with nothing changed and its reader named, until that has ended', async () => {
    const lease = await lab.repository.beginOperation(reader);
    const before = lab.allFiles();

    const refused = await failureOf((await lab.open()).deleteCheckpoint(GRID, read));

    expect(refused).to.include({ code: 'repository-busy' });
    expect(refused.message).to.include('restore of alpha').and.include(read);
    expect(lab.allFiles()).to.deep.equal(before);
    expect(await verified(lab.repository, read)).to.deep.equal([]);
    expect(await lab.repository.readers(GRID)).to.deep.equal([
      { checkpoint: read, holder: 'restore of alpha' },
    ]);
    await lab.repository.deleteCheckpoint(GRID, other);
    await lease.end();
    expect(await lab.repository.readers(GRID)).to.deep.equal([]);
    await lab.repository.deleteCheckpoint(GRID, read);
    expect(await lab.repository.list(GRID)).to.deep.equal([]);
  });

  it('is deleted when its reader has been dead for long', async () => {
    await lab.repository.beginOperation(reader);
    lab.ageOperations();

    await lab.repository.deleteCheckpoint(GRID, read);

    expect((await lab.repository.list(GRID)).map(({ checkpoint }) => checkpoint)).to.deep.equal([other]);
  });

  it('must be there: none is read that was deleted, or is being deleted', async () => {
    const marker = lab.file('operations', `deletion-00000000-0000-4000-8000-000000000000~${read}.json`);
    await (await lab.repository.beginOperation(reader)).end();
    writeFileSync(marker, '');
    const busy = await failureOf(lab.repository.beginOperation(reader));
    expect(busy).to.include({ code: 'repository-busy' });
    expect(busy.message).to.include(`a deletion of ${read}`);
    await (await lab.repository.beginOperation({ ...reader, reads: other })).end();

    age(marker, 3_600_000);
    await (await lab.repository.beginOperation(reader)).end();

    await lab.repository.deleteCheckpoint(GRID, read);
    expect(await failureOf(lab.repository.beginOperation(reader))).to.include({ code: 'checkpoint-missing' });
    expect(lab.allFiles().filter((name) => name.includes('operations/'))).to.deep.equal([]);
  });

  it('may be any that a damaged marker had named', async () => {
    await (await lab.repository.beginOperation(reader)).end();
    writeFileSync(lab.file('operations', 'unreadable.json'), '{"hol');

    expect(await failureOf(lab.repository.deleteCheckpoint(GRID, other))).to.include({
      code: 'repository-busy',
    });
  });
});

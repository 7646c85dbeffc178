import { expect } from 'chai';
import { utimesSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { madeRepository } from './made.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { checkpointId, GRID, inPieces, noise, storeCheckpoint, storeHeld } from './samples.ts';

// Goal: what an aborted run has stored waits for the next run, for a time, and then goes; a deleted checkpoint does not
// wait. Method: a real repository in a directory; the age of a marker is set by hand.

const DAY_MS = 24 * 60 * 60 * 1000;

describe('what an aborted run has stored', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let repository: Repository;

  beforeEach(async () => {
    folder = temporaryFolder('leftovers');
    repository = await madeRepository(folder.path, { threads: 0 });
  });

  afterEach(async () => {
    await repository.close();
    folder.remove();
  });

  const chunks = (): string[] => {
    const directory = join(folder.path, 'grids', GRID, 'chunks');
    return readdirSync(directory).flatMap((room) => readdirSync(join(directory, room)));
  };

  async function abortedRun(counter: number): Promise<void> {
    await repository.expectLeftovers(GRID, checkpointId(counter));
    const writer = repository.beginMember(GRID, checkpointId(counter));
    await writer.file({ path: 'base/1', mode: 0o600, mtimeMs: 0 }, inPieces(noise(5000, 'hours')));
    await repository.discard(GRID, checkpointId(counter));
  }

  it('stays when garbage is collected, is listed, and is not stored twice by the next', async () => {
    await abortedRun(1);
    expect(await repository.collectGarbage(GRID)).to.deep.equal({ removedBytes: 0, skipped: false });
    expect(chunks()).to.have.length(1);
    const [leftover] = await repository.leftovers(GRID);
    expect(leftover?.checkpoint).to.equal(checkpointId(1));
    expect((leftover?.untilMs ?? 0) - (leftover?.sinceMs ?? 0)).to.equal(7 * DAY_MS);

    const stored = await storeCheckpoint(repository, checkpointId(2), {
      a: { 'base/1': noise(5000, 'hours') },
    });
    expect(stored.members[0]?.storedBytes).to.equal(0);
    // With a commit it has served.
    expect(await repository.leftovers(GRID)).to.deep.equal([]);
  });

  it('stays when an operation that copies nothing is committed: it was of no use to that', async () => {
    await abortedRun(1);
    await storeHeld(repository, checkpointId(2), 'journalCheckpoint');
    expect((await repository.leftovers(GRID)).map(({ checkpoint }) => checkpoint)).to.deep.equal([
      checkpointId(1),
    ]);
  });

  it('goes when it is dropped, and after seven days by itself', async () => {
    await abortedRun(1);
    await repository.dropLeftovers(GRID);
    await repository.collectGarbage(GRID);
    expect(chunks()).to.deep.equal([]);

    await abortedRun(2);
    const old = (Date.now() - 7.1 * DAY_MS) / 1000;
    utimesSync(join(folder.path, 'grids', GRID, 'leftovers', `${checkpointId(2)}.json`), old, old);
    await repository.collectGarbage(GRID);
    expect(chunks()).to.deep.equal([]);
    expect(await repository.leftovers(GRID)).to.deep.equal([]);
  });

  it('keeps nothing that a deleted checkpoint had stored before it', async () => {
    await storeCheckpoint(repository, checkpointId(1), { a: { 'base/1': noise(5000, 'deleted') } });
    const directory = join(folder.path, 'grids', GRID, 'chunks');
    const before = (Date.now() - DAY_MS) / 1000;
    for (const room of readdirSync(directory))
      for (const name of readdirSync(join(directory, room)))
        utimesSync(join(directory, room, name), before, before);
    await abortedRun(2);
    await repository.deleteCheckpoint(GRID, checkpointId(1));
    expect(chunks()).to.have.length(1);
  });
});

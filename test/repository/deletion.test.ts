import { expect } from 'chai';
import { renameSync, rmSync } from 'node:fs';
import type { StillpointError } from '../../shared/domain/errors.ts';
import type { MemberManifest } from '../../shared/domain/manifest.ts';
import { type DirectoryLab, directoryLab } from './directory-lab.ts';
import { crashAfter } from './file-system-steps.ts';
import {
  checkpointId,
  failureOf,
  GRID,
  gridManifest,
  noise,
  sha256,
  storeCheckpoint,
  storeMember,
  verified,
} from './samples.ts';

describe('a deletion that is interrupted', () => {
  // Goal: at no step does a checkpoint look usable that is not, and no step needs more than to run it again.
  // Method: each deletion loses its disk after a number of steps, one more each time, until it ends.
  const shared = noise(1000, 'shared');
  const own = noise(700, 'own');
  let lab: DirectoryLab;

  beforeEach(async () => {
    lab = await directoryLab();
    await storeCheckpoint(lab.repository, checkpointId(1), { a: { 'base/1': shared } });
  });

  afterEach(() => lab.close());

  async function states(): Promise<Record<string, string>> {
    const entries = await lab.repository.list(GRID);
    return Object.fromEntries(entries.map(({ checkpoint, state }) => [checkpoint, state]));
  }

  async function deletionAt(steps: number, checkpoint: string): Promise<'crashed' | 'done'> {
    const outcome = await crashAfter(steps, () => lab.repository.deleteCheckpoint(GRID, checkpoint));
    // What follows is another process, that finds the marker of the dead one old.
    lab.ageOperations();
    return outcome;
  }

  it('leaves at every step a checkpoint that is valid or says that it is not, and ends when rerun', async () => {
    let wasValid = 0;
    let wasDeleting = 0;
    let steps = 0;
    for (; ; steps += 1) {
      const checkpoint = checkpointId(steps + 2);
      await storeCheckpoint(lab.repository, checkpoint, {
        a: { 'base/1': shared, 'base/2': own },
        b: { 'base/3': own },
      });
      const outcome = await deletionAt(steps, checkpoint);
      if (outcome === 'done') break;

      const state = (await states())[checkpoint];
      if (state === 'valid') {
        wasValid += 1;
        expect(await verified(lab.repository, checkpoint), `step ${steps}`).to.deep.equal([]);
      } else if (state !== undefined) {
        wasDeleting += 1;
        expect(['deleting', 'uncommitted'], `step ${steps}`).to.include(state);
        const read = lab.repository.readCheckpoint(GRID, checkpoint);
        expect(await failureOf(read)).to.include({ code: 'checkpoint-missing' });
      }
      expect(await verified(lab.repository, checkpointId(1)), `step ${steps}`).to.deep.equal([]);

      if (state === undefined) await lab.repository.collectGarbage(GRID);
      else await lab.repository.deleteCheckpoint(GRID, checkpoint);

      expect(await states(), `step ${steps}`).to.deep.equal({ [checkpointId(1)]: 'valid' });
      expect(lab.chunkFiles(), `step ${steps}`).to.deep.equal([sha256(shared)]);
    }
    expect(await states()).to.deep.equal({ [checkpointId(1)]: 'valid' });
    expect(lab.chunkFiles()).to.deep.equal([sha256(shared)]);
    expect(wasValid, 'steps before the first change').to.be.greaterThan(0);
    expect(wasDeleting, 'steps in the middle').to.be.greaterThan(3);
  });

  it('is ended by the next garbage collection, too', async () => {
    for (let steps = 0; ; steps += 1) {
      const checkpoint = checkpointId(steps + 2);
      await storeCheckpoint(lab.repository, checkpoint, { a: { 'base/2': own } });
      const outcome = await deletionAt(steps, checkpoint);
      if (outcome === 'done') break;
      const stillValid = (await states())[checkpoint] === 'valid';

      await lab.repository.collectGarbage(GRID);

      expect((await states())[checkpoint], `step ${steps}`).to.equal(stillValid ? 'valid' : undefined);
      if (stillValid) await lab.repository.deleteCheckpoint(GRID, checkpoint);
    }
    expect(lab.chunkFiles()).to.deep.equal([sha256(shared)]);
  });

  it('of an uncommitted checkpoint shuts out a late commit, or lets it stand whole', async () => {
    const outcomes: string[] = [];
    for (let steps = 0; ; steps += 1) {
      const checkpoint = checkpointId(steps + 2);
      const member = await storeMember(lab.repository, checkpoint, 'a', { 'base/2': own });
      const outcome = await crashAfter(steps, () => lab.repository.discard(GRID, checkpoint));
      const begun = (await states())[checkpoint] !== 'uncommitted';

      const late = await lab.repository.commit(gridManifest(checkpoint, [member])).then(
        () => 'committed',
        () => 'refused',
      );

      outcomes.push(late);
      if (late === 'committed') {
        expect(begun, `step ${steps}`).to.equal(false);
        expect((await states())[checkpoint], `step ${steps}`).to.equal('valid');
        await lab.repository.deleteCheckpoint(GRID, checkpoint);
      } else {
        await lab.repository.discard(GRID, checkpoint);
      }
      expect(await states(), `step ${steps}`).to.deep.equal({ [checkpointId(1)]: 'valid' });
      if (outcome === 'done') break;
    }
    expect(outcomes[0]).to.equal('committed');
    expect(outcomes.at(-1)).to.equal('refused');
  });

  it('goes on while an operation runs, and leaves the chunks to a later collection', async () => {
    await storeCheckpoint(lab.repository, checkpointId(2), { a: { 'base/2': own } });
    const operation = await lab.repository.beginOperation({ grid: GRID, id: 'one', holder: 'a test' });

    const { removedBytes } = await lab.repository.deleteCheckpoint(GRID, checkpointId(2));

    expect(removedBytes).to.equal(0);
    expect(await states()).to.deep.equal({ [checkpointId(1)]: 'valid' });
    expect(lab.chunkFiles()).to.have.length(2);
    await operation.end();
    expect(await lab.repository.collectGarbage(GRID)).to.deep.equal({ removedBytes: 700, skipped: false });
  });

  it('is never taken for damage by who looks at the same time', async () => {
    for (let round = 0; round < 20; round += 1) {
      const checkpoint = checkpointId(round + 2);
      await storeCheckpoint(lab.repository, checkpoint, { a: { 'base/1': own }, b: { 'base/1': own } });
      const other = await lab.open();

      const deleting = lab.repository.deleteCheckpoint(GRID, checkpoint);
      for (let turn = 0; turn < round; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      const looks = await Promise.allSettled([
        other.list(GRID).then((entries) => entries.map(({ state }) => state)),
        other.verify(GRID, checkpoint, () => undefined),
        other.collectGarbage(GRID),
      ]);
      await deleting;

      const [listed, damage] = looks;
      if (listed.status === 'fulfilled') expect(listed.value, `round ${round}`).not.to.include('damaged');
      if (damage.status === 'fulfilled') expect(damage.value, `round ${round}`).to.deep.equal([]);
      for (const look of looks)
        if (look.status === 'rejected')
          expect((look.reason as StillpointError).failure, `round ${round}`).to.include({
            code: 'checkpoint-missing',
          });
    }
  });

  it('is told to who reads meanwhile as what it is, whatever is gone, and damage beside it as damage', async () => {
    const [gone, stays] = [checkpointId(2), checkpointId(3)];
    const files = { a: { 'base/2': own }, b: { 'base/3': noise(600, 'another') } };
    for (const checkpoint of [gone, stays]) await storeCheckpoint(lab.repository, checkpoint, files);
    const { members } = await lab.repository.readCheckpoint(GRID, gone);
    const digestOf = (name: string): string => members.find((one) => one.name === name)?.manifestDigest ?? '';
    const read = (checkpoint: string, name: string): Promise<MemberManifest> =>
      lab.repository.readMember(GRID, checkpoint, name, digestOf(name));
    const readAll = async (manifest: MemberManifest, path: string): Promise<void> => {
      for await (const _ of lab.repository.readFile(manifest, path));
    };
    const known = await read(gone, 'a');
    const sound = (await lab.repository.readCheckpoint(GRID, stays)).members[0];
    const kept = await lab.repository.readMember(GRID, stays, 'a', sound?.manifestDigest ?? '');

    // Another process has come so far with it.
    renameSync(lab.checkpointFile(gone, 'grid.json'), lab.checkpointFile(gone, 'grid.json.deleting'));
    rmSync(lab.checkpointFile(gone, 'members', 'b.json'));
    rmSync(lab.chunkFile(sha256(own)));

    const missing = { code: 'checkpoint-missing' };
    expect(await failureOf(read(gone, 'b'))).to.include(missing);
    expect(await failureOf(readAll(known, 'base/2'))).to.include(missing);
    rmSync(lab.checkpointFile(gone), { recursive: true });
    expect(await failureOf(read(gone, 'a'))).to.include(missing);
    expect(await failureOf(readAll(known, 'base/2'))).to.include(missing);
    rmSync(lab.checkpointFile(stays, 'members', 'a.json'));
    expect(await failureOf(read(stays, 'a'))).to.include({ code: 'manifest-damaged' });
    expect(await failureOf(readAll(kept, 'base/2'))).to.include({ code: 'chunk-damaged' });
  });

  it('can be asked for by two at once, in any order of their steps', async () => {
    for (let round = 0; round < 20; round += 1) {
      const checkpoint = checkpointId(round + 2);
      await storeCheckpoint(lab.repository, checkpoint, { a: { 'base/1': shared, 'base/2': own } });
      const other = await lab.open();

      const one = lab.repository.deleteCheckpoint(GRID, checkpoint);
      for (let turn = 0; turn < round; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      const outcomes = await Promise.allSettled([one, other.deleteCheckpoint(GRID, checkpoint)]);

      const codes = outcomes.map((outcome) =>
        outcome.status === 'fulfilled' ? 'deleted' : (outcome.reason as StillpointError).failure.code,
      );
      expect(codes[0], `round ${round}`).to.equal('deleted');
      expect(codes[1], `round ${round}`).to.be.oneOf(['deleted', 'checkpoint-missing']);
      expect(await states(), `round ${round}`).to.deep.equal({ [checkpointId(1)]: 'valid' });
    }
  });
});

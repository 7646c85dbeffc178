import { expect } from 'chai';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { madeRepository } from './made.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { type SmallDisk, makeReadOnly, smallDisk } from './disks.ts';
import { systemError, watchSteps } from './file-system-steps.ts';
import {
  checkpointId,
  failureOf,
  GRID,
  gridManifest,
  noise,
  readBack,
  storeCheckpoint,
  storeMember,
  verified,
} from './samples.ts';

const MIB = 1024 * 1024;

function temporaries(location: string): string[] {
  return readdirSync(location, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.includes('.writing-'),
  );
}

describe('a repository on a full disk', () => {
  const files = { 'base/1': noise(3 * MIB, 'fits') };
  let disk: SmallDisk;
  let location: string;
  let repository: Repository;

  beforeEach(async () => {
    disk = smallDisk(12 * MIB);
    location = join(disk.path, 'repository');
    repository = await madeRepository(location);
    await storeCheckpoint(repository, checkpointId(1), { a: files });
  });

  afterEach(async () => {
    await repository.close();
    disk.remove();
  });

  it('says so, leaves nothing half-written, and hurts nothing that is stored', async () => {
    const tooMuch = storeMember(repository, checkpointId(2), 'a', { 'base/1': noise(32 * MIB, 'too much') });

    const failure = await failureOf(tooMuch);

    expect(failure).to.include({ code: 'repository-full' });
    expect(failure.message).to.match(/^the repository is full \(ENOSPC at /);
    expect(failure.hint).to.include('make room');
    expect(temporaries(location)).to.deep.equal([]);
    const sizes = readdirSync(join(location, 'grids', GRID, 'chunks'), { recursive: true, encoding: 'utf8' })
      .map((name) => statSync(join(location, 'grids', GRID, 'chunks', name)))
      .filter((stats) => stats.isFile())
      .map(({ size }) => size);
    expect(new Set(sizes)).to.deep.equal(new Set([3 * MIB, 4 * MIB]));
    expect((await repository.list()).map(({ state }) => state)).to.deep.equal(['valid']);
    expect(await verified(repository, checkpointId(1))).to.deep.equal([]);
  });

  it('stops reading a member that it cannot store', async () => {
    let pieces = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (; ; pieces += 1) yield noise(MIB, `piece ${pieces}`);
    }
    const writer = repository.beginMember(GRID, checkpointId(2));

    const failure = await failureOf(writer.file({ path: 'base/1', mode: 0o600, mtimeMs: 0 }, endless()));

    expect(failure).to.include({ code: 'repository-full' });
    expect(pieces).to.be.lessThan(200);
  });

  it('fails its probe, and commits nothing, until there is room', async () => {
    const member = await storeMember(repository, checkpointId(2), 'a', { 'base/1': noise(MIB, 'second') });
    disk.fill();

    const probe = await failureOf(repository.probe());
    const commit = await failureOf(repository.commit(gridManifest(checkpointId(2), [member])));

    expect([probe.code, commit.code]).to.deep.equal(['repository-full', 'repository-full']);
    expect(temporaries(location)).to.deep.equal([]);
    disk.makeRoom();
    await repository.probe();
    await repository.commit(gridManifest(checkpointId(2), [member]));
    expect(await verified(repository, checkpointId(2))).to.deep.equal([]);
  });

  it('can be cleared without any room', async () => {
    await storeMember(repository, checkpointId(2), 'a', { 'base/1': noise(MIB, 'second') });
    await (await repository.beginOperation({ grid: GRID, id: 'earlier', holder: 'a test' })).end();
    disk.fill();

    await repository.discard(GRID, checkpointId(2));
    const collected = await repository.collectGarbage(GRID);
    const deleted = await repository.deleteCheckpoint(GRID, checkpointId(1));

    expect(collected).to.deep.equal({ removedBytes: MIB, skipped: false });
    expect(deleted).to.deep.equal({ removedBytes: 3 * MIB });
    expect(await repository.list()).to.deep.equal([]);
  });
});

describe('a repository that is read-only', () => {
  const files = { 'base/1': noise(3000, 'sound') };
  let folder: { path: string; remove(): void };
  let location: string;
  let repository: Repository;
  let readOnly: { undo(): void };

  beforeEach(async () => {
    folder = temporaryFolder('read-only');
    location = join(folder.path, 'repository');
    const writable = await madeRepository(location);
    await storeCheckpoint(writable, checkpointId(1), { a: files });
    await writable.close();
    readOnly = makeReadOnly(location);
    repository = await madeRepository(location);
  });

  afterEach(async () => {
    await repository.close();
    readOnly.undo();
    folder.remove();
  });

  it('refuses whatever would write, with words that help', async () => {
    const other = { a: { 'base/1': noise(10, 'new') } };
    const refused = [
      repository.probe(),
      repository.beginOperation({ grid: GRID, id: 'one', holder: 'a test' }),
      storeCheckpoint(repository, checkpointId(2), other),
      repository.deleteCheckpoint(GRID, checkpointId(1)),
      repository.decideRestore(GRID, 'r1', 'restored'),
    ];

    for (const failure of await Promise.all(refused.map(failureOf))) {
      expect(failure).to.include({ code: 'repository-read-only' });
      expect(failure.message).to.match(/^the repository cannot be written/);
      expect(failure.hint).to.include('remount,rw');
    }
  });

  it('is read as well as any other', async () => {
    expect((await repository.list()).map(({ state }) => state)).to.deep.equal(['valid']);
    expect(await verified(repository, checkpointId(1))).to.deep.equal([]);
    expect(await readBack(repository, checkpointId(1), 'a')).to.deep.equal(files);
  });

  it('is not made where nothing can be written', async () => {
    const failure = await failureOf(madeRepository(join(location, 'within')));

    expect(failure).to.include({ code: 'repository-read-only' });
  });
});

describe('a repository whose disk fails', () => {
  it('says where, and does not call it full or read-only', async () => {
    const folder = temporaryFolder('failing');
    const repository = await madeRepository(join(folder.path, 'repository'));
    const watch = watchSteps((step) => {
      if (step.call === 'write' && step.path.includes('/chunks/')) throw systemError('EIO', step);
    });

    const failure = await failureOf(
      storeMember(repository, checkpointId(1), 'a', { 'base/1': noise(9, 'x') }),
    );

    expect(failure).to.include({ code: 'repository-failed' });
    expect(failure.message).to.include('EIO').and.include(folder.path);
    watch.restore();
    await repository.close();
    folder.remove();
  });
});

import { expect } from 'chai';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { StillpointError } from '../../shared/domain/errors.ts';
import { Layout } from '../../shared/repository/layout.ts';
import { openRepository } from '../../shared/repository/open.ts';
import { keepTree } from './attacks.ts';
import { type DirectoryLab, directoryLab } from './directory-lab.ts';
import {
  checkpointId,
  CHUNK_BYTES,
  failureOf,
  GRID,
  noise,
  rows,
  storeCheckpoint,
  storeMember,
  verified,
} from './samples.ts';

const CHECKPOINT = checkpointId(1);
const raw = noise(20_000, 'raw');
const FILES = { 'base/packed': rows(20_000, 'packed'), 'base/raw': raw, 'base/sound': rows(500, 'sound') };

describe('a repository that lost a directory', () => {
  // Goal: what is gone is named, and nothing that is asked of the rest ends in anything but a clear answer.
  let lab: DirectoryLab;
  let layout: Layout;

  beforeEach(async () => {
    lab = await directoryLab();
    layout = new Layout(lab.path);
    await storeCheckpoint(lab.repository, CHECKPOINT, {
      a: { 'base/1': noise(CHUNK_BYTES + 5, '1') },
      b: { 'base/raw': raw },
    });
  });

  afterEach(() => lab.close());

  const CASES: readonly {
    title: string;
    path: (layout: Layout) => string;
    gone: readonly string[] | string;
    file: readonly string[] | string;
  }[] = [
    {
      title: 'with the members of a checkpoint',
      path: (one) => one.members(GRID, CHECKPOINT),
      gone: ['a: members/a.json', 'b: members/b.json'],
      file: ['a: members/a.json', 'b: members/b.json'],
    },
    {
      title: 'with the chunks',
      path: (one) => one.chunks(GRID),
      gone: ['a: base/1', 'b: base/raw'],
      file: ['a: base/1', 'b: base/raw'],
    },
    {
      title: 'with a checkpoint',
      path: (one) => one.checkpoint(GRID, CHECKPOINT),
      gone: 'checkpoint-missing',
      file: ['grid: grid.json'],
    },
    {
      title: 'with all checkpoints',
      path: (one) => one.checkpoints(GRID),
      gone: 'checkpoint-missing',
      file: ['grid: grid.json'],
    },
    {
      title: 'with a grid',
      path: (one) => join(one.grids(), GRID),
      gone: 'checkpoint-missing',
      file: ['grid: grid.json'],
    },
  ];

  async function found(): Promise<readonly string[] | string> {
    try {
      return await verified(lab.repository, CHECKPOINT);
    } catch (error) {
      if (error instanceof StillpointError) return error.failure.code;
      throw error;
    }
  }

  for (const { title, path, gone, file } of CASES) {
    it(`${title}: removed, or a file in its place`, async () => {
      const putBack = keepTree(lab.path);
      rmSync(path(layout), { recursive: true });
      expect(await found()).to.deep.equal(gone);
      writeFileSync(path(layout), 'a file');
      expect(await found()).to.deep.equal(file);
      for (const ask of [
        () => lab.repository.list(GRID),
        () => lab.repository.collectGarbage(GRID),
        () => lab.repository.highestNumber(GRID),
      ]) {
        const failure = await ask().then(
          () => null,
          (error: unknown) => error,
        );
        if (failure !== null) expect(failure).to.be.instanceOf(StillpointError);
      }
      putBack();
      expect(await found()).to.deep.equal([]);
    });
  }

  it('with everything: the file that says what it was is missed', async () => {
    rmSync(lab.path, { recursive: true });

    expect(await failureOf(lab.repository.readCheckpoint(GRID, CHECKPOINT))).to.include({
      code: 'checkpoint-missing',
    });
    expect(await failureOf(openRepository(lab.path))).to.include({ code: 'repository-missing' });
  });
});

describe('a repository whose repository.json is gone for good', () => {
  it('tells how to write another, with which every checkpoint is there again', async () => {
    const lab = await directoryLab();
    await storeCheckpoint(lab.repository, CHECKPOINT, { a: FILES });
    const path = join(lab.path, 'repository.json');
    for (const hurt of [() => rmSync(path), () => writeFileSync(path, 'rubbish')]) {
      hurt();
      const { code, hint } = await failureOf(lab.open());
      expect(code).to.equal('repository-damaged');
      writeFileSync(path, `${/\{.*\}/.exec(hint)?.[0] ?? ''}\n`);
      const opened = await lab.open();
      expect(await verified(opened, CHECKPOINT)).to.deep.equal([]);
      await storeMember(opened, checkpointId(5), 'a', FILES);
      await opened.discard(GRID, checkpointId(5));
    }
    await lab.close();
  });
});

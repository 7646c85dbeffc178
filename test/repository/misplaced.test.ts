import { expect } from 'chai';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Layout } from '../../shared/repository/layout.ts';
import { copyOver, swapFiles } from './attacks.ts';
import { type DirectoryLab, directoryLab } from './directory-lab.ts';
import {
  checkpointId,
  failureOf,
  GRID,
  gridManifest,
  noise,
  rows,
  sha256,
  storeCheckpoint,
  verified,
} from './samples.ts';

const CHECKPOINT = checkpointId(1);
const OLDER = checkpointId(2);
const packed = rows(20_000, 'packed');
const raw = noise(20_000, 'raw');
const FILES = { 'base/packed': packed, 'base/raw': raw, 'base/sound': rows(500, 'sound') };

describe('a repository in which files have other files’ places', () => {
  // Goal: no file is taken for another, be it as sound as it may.
  let lab: DirectoryLab;
  let layout: Layout;

  beforeEach(async () => {
    lab = await directoryLab();
    layout = new Layout(lab.path);
    await storeCheckpoint(lab.repository, OLDER, { a: FILES, b: { 'base/raw': raw } });
    await storeCheckpoint(lab.repository, CHECKPOINT, {
      a: { ...FILES, 'base/new': noise(99, 'new') },
      b: { 'base/raw': raw },
    });
  });

  afterEach(() => lab.close());

  const found = (checkpoint = CHECKPOINT): Promise<string[]> => verified(lab.repository, checkpoint);

  it('names the commit object of an older checkpoint under the name of a newer one', async () => {
    copyOver(layout.gridManifest(GRID, OLDER), layout.gridManifest(GRID, CHECKPOINT));

    expect(await found()).to.deep.equal(['grid: grid.json']);
    const { message } = await failureOf(lab.repository.readCheckpoint(GRID, CHECKPOINT));
    expect(message).to.include(`it is of ${OLDER}`);
  });

  it('names the commit object of another grid', async () => {
    cpSync(lab.file(), join(layout.grids(), 'other'), { recursive: true });

    expect(await lab.repository.verify('other', CHECKPOINT, () => undefined)).to.have.length(1);
    expect((await lab.repository.list('other')).map(({ state }) => state)).to.deep.equal([
      'damaged',
      'damaged',
    ]);
    expect(await found()).to.deep.equal([]);
  });

  it('names a member manifest of another checkpoint, and of another member', async () => {
    copyOver(layout.member(GRID, OLDER, 'a'), layout.member(GRID, CHECKPOINT, 'a'));
    expect(await found()).to.deep.equal(['a: members/a.json']);

    copyOver(layout.member(GRID, CHECKPOINT, 'b'), layout.member(GRID, CHECKPOINT, 'a'));
    expect(await found()).to.deep.equal(['a: members/a.json']);
  });

  it('names both of two member manifests that were swapped', async () => {
    swapFiles(layout.member(GRID, CHECKPOINT, 'a'), layout.member(GRID, CHECKPOINT, 'b'));

    expect(await found()).to.deep.equal(['a: members/a.json', 'b: members/b.json']);
    expect(await found(OLDER)).to.deep.equal([]);
  });

  it('names the file of a chunk that has the content of another, as sound as that is', async () => {
    copyOver(layout.chunk(GRID, sha256(raw)), layout.chunk(GRID, sha256(packed)));

    expect(await found()).to.deep.equal(['a: base/packed']);
  });

  it('names what is new when the chunks are those of an older copy of the disk', async () => {
    rmSync(layout.chunk(GRID, sha256(noise(99, 'new'))));

    expect(await found()).to.deep.equal(['a: base/new']);
    expect(await found(OLDER)).to.deep.equal([]);
  });

  it('has no newer checkpoint when the whole of an older copy took its place, and the older one is whole', async () => {
    const older = await directoryLab();
    await storeCheckpoint(older.repository, OLDER, { a: FILES, b: { 'base/raw': raw } });
    rmSync(lab.path, { recursive: true });
    cpSync(older.path, lab.path, { recursive: true });

    expect(await failureOf(lab.repository.readCheckpoint(GRID, CHECKPOINT))).to.include({
      code: 'checkpoint-missing',
    });
    expect(await found(OLDER)).to.deep.equal(['grid: repository.json']);
    const { id } = await lab.open();
    expect(id).to.equal(older.repository.id).and.not.equal(lab.repository.id);
    await older.close();
  });

  it('says that it is damaged when it is a commit object that says what no writer of ours would', async () => {
    const { members, ...rest } = await lab.repository.readCheckpoint(GRID, CHECKPOINT);
    const [member] = members;
    if (member === undefined) throw new Error('a member');
    for (const bad of [
      [member, member],
      [{ ...member, name: '../../../elsewhere' }],
      [{ ...member, manifestDigest: 'd' }],
    ]) {
      const failure = await failureOf(lab.repository.commit(gridManifest(checkpointId(8), bad)));
      expect(failure, JSON.stringify(bad)).to.include({ code: 'bad-manifest' });
    }
    expect(rest.checkpoint).to.equal(CHECKPOINT);
  });
});

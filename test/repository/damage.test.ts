import { expect } from 'chai';
import {
  appendFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { type DirectoryLab, directoryLab, flipBit, sizeOf } from './directory-lab.ts';
import {
  checkpointId,
  CHUNK_BYTES,
  collect,
  failureOf,
  GRID,
  gridManifest,
  gridMember,
  inPieces,
  memberHead,
  memberOf,
  noise,
  rows,
  sha256,
  storeCheckpoint,
  verified,
} from './samples.ts';

describe('a damaged repository', () => {
  // Goal: no damaged byte goes unseen, and what it damages is named.
  // Method: one stored byte at a time is changed on the disk, in each kind of file.
  const packed = rows(20_000, 'packed');
  const raw = noise(20_000, 'raw');
  const files = { 'base/packed': packed, 'base/raw': raw, 'base/sound': rows(500, 'sound') };
  const checkpoint = checkpointId(1);
  let lab: DirectoryLab;

  beforeEach(async () => {
    lab = await directoryLab();
    await storeCheckpoint(lab.repository, checkpoint, { a: files, b: { 'base/raw': raw } });
  });

  afterEach(() => lab.close());

  async function stateOf(id: string): Promise<string | undefined> {
    return (await lab.repository.list(GRID)).find((entry) => entry.checkpoint === id)?.state;
  }

  /** Runs the check with each of some bits of the file flipped, one at a time. */
  async function withEachFlip(path: string, places: number, check: () => Promise<void>): Promise<void> {
    const step = Math.max(1, Math.floor(sizeOf(path) / places));
    for (let at = 0; at < sizeOf(path); at += step) {
      const original = readFileSync(path);
      flipBit(path, at);
      await check();
      writeFileSync(path, original);
    }
    expect(await verified(lab.repository, checkpoint)).to.deep.equal([]);
  }

  it('names the commit object when any bit of it is flipped', async () => {
    await withEachFlip(lab.checkpointFile(checkpoint, 'grid.json'), Infinity, async () => {
      expect(await verified(lab.repository, checkpoint)).to.deep.equal(['grid: grid.json']);
      expect(await stateOf(checkpoint)).to.equal('damaged');
      const read = lab.repository.readCheckpoint(GRID, checkpoint);
      expect(await failureOf(read)).to.include({ code: 'manifest-damaged' });
    });
  });

  it('names repository.json when any bit of it is flipped', async () => {
    await withEachFlip(`${lab.path}/repository.json`, Infinity, async () => {
      expect(await verified(lab.repository, checkpoint)).to.deep.equal(['grid: repository.json']);
    });
  });

  it('can be rid of a checkpoint whose commit object is none', async () => {
    const path = lab.checkpointFile(checkpoint, 'grid.json');
    rmSync(path);
    mkdirSync(path);

    await lab.repository.deleteCheckpoint(GRID, checkpoint);

    expect(await lab.repository.list(GRID)).to.deep.equal([]);
    expect(lab.chunkFiles()).to.deep.equal([]);
  });

  it('names the member manifest in which a bit is flipped, and its member', async () => {
    await withEachFlip(lab.checkpointFile(checkpoint, 'members', 'b.json'), 40, async () => {
      expect(await verified(lab.repository, checkpoint)).to.deep.equal(['b: members/b.json']);
      expect(await stateOf(checkpoint)).to.equal('damaged');
    });
  });

  it('names the file in whose compressed chunk a bit is flipped, and hands out none of it', async () => {
    const manifest = await memberOf(lab.repository, checkpoint, 'a');

    await withEachFlip(lab.chunkFile(sha256(packed)), 40, async () => {
      expect(await verified(lab.repository, checkpoint)).to.deep.equal(['a: base/packed']);
      const read = collect(lab.repository.readFile(manifest, 'base/packed'));
      expect(await failureOf(read)).to.include({ code: 'chunk-damaged', member: 'a' });
    });
  });

  it('names every file of every member that shares a damaged chunk', async () => {
    await withEachFlip(lab.chunkFile(sha256(raw)), 20, async () => {
      expect(await verified(lab.repository, checkpoint)).to.deep.equal(['a: base/raw', 'b: base/raw']);
    });
  });

  it('names what is cut short, made longer, or gone', async () => {
    const chunk = lab.chunkFile(sha256(packed));

    truncateSync(chunk, sizeOf(chunk) - 1);
    const [cut] = await lab.repository.verify(GRID, checkpoint, () => undefined);
    appendFileSync(chunk, 'xx');
    const [longer] = await lab.repository.verify(GRID, checkpoint, () => undefined);
    rmSync(chunk);
    rmSync(lab.checkpointFile(checkpoint, 'members', 'b.json'));
    const gone = await lab.repository.verify(GRID, checkpoint, () => undefined);

    expect(cut?.cause).to.match(/bytes long, not/);
    expect(longer?.cause).to.match(/bytes long, more than/);
    expect(gone.map(({ cause }) => cause)).to.have.length(2);
    expect(gone[0])
      .to.include({ member: 'a', file: 'base/packed' })
      .with.property('cause')
      .that.includes('missing');
    expect(gone[1])
      .to.include({ member: 'b', file: 'members/b.json' })
      .with.property('cause')
      .that.includes('missing');
  });

  it('names both files whose chunks were swapped', async () => {
    const [one, other] = [lab.chunkFile(sha256(packed)), lab.chunkFile(sha256(files['base/sound']))];
    renameSync(one, `${one}.kept`);
    renameSync(other, one);
    renameSync(`${one}.kept`, other);

    expect(await verified(lab.repository, checkpoint)).to.deep.equal(['a: base/packed', 'a: base/sound']);
  });

  it('names a file whose sound chunks stand in the wrong order', async () => {
    // A writer with a fault, not a disk: every chunk and every manifest has its right digest.
    const id = checkpointId(2);
    const bytes = noise(2 * CHUNK_BYTES, 'order');
    await storeCheckpoint(lab.repository, id, { a: { 'base/1': bytes } });
    const manifest = await memberOf(lab.repository, id, 'a');
    const artifacts = manifest.artifacts.map((artifact) =>
      artifact.kind === 'file' ? { ...artifact, chunks: artifact.chunks.toReversed() } : artifact,
    );
    const third = checkpointId(3);
    const text = `${JSON.stringify({ ...memberHead(third, 'a'), artifacts })}\n`;
    const writer = lab.repository.beginMember(GRID, third);
    await writer.finish(memberHead(third, 'a'));
    writeFileSync(lab.checkpointFile(third, 'members', 'a.json'), text);
    const member = gridMember('a', {
      manifestDigest: sha256(Buffer.from(text)),
      sizeBytes: bytes.byteLength,
      storedBytes: 0,
    });
    await lab.repository.commit(gridManifest(third, [member]));

    expect(await verified(lab.repository, third)).to.deep.equal(['a: base/1']);
    const read = collect(lab.repository.readFile({ ...manifest, artifacts }, 'base/1'));
    expect(await failureOf(read)).to.include({ code: 'chunk-damaged' });
  });

  it('keeps the rest of the catalogue readable', async () => {
    await storeCheckpoint(lab.repository, checkpointId(2), { a: files });

    flipBit(lab.checkpointFile(checkpoint, 'grid.json'), 3);

    const states = (await lab.repository.list()).map(({ state, cause }) => [state, cause === null]);
    expect(states).to.deep.equal([
      ['valid', true],
      ['damaged', false],
    ]);
    expect(await lab.repository.highestNumber(GRID)).to.deep.equal({ epoch: 0, counter: 2 });
  });

  it('removes no chunk while it is not known what a damaged checkpoint needs', async () => {
    await storeCheckpoint(lab.repository, checkpointId(2), { c: { 'base/3': noise(900, 'third') } });
    flipBit(lab.checkpointFile(checkpoint, 'members', 'a.json'), 3);
    const before = lab.chunkFiles();

    const refused = await failureOf(lab.repository.deleteCheckpoint(GRID, checkpointId(2)));

    expect(refused).to.include({ code: 'manifest-damaged' });
    expect(refused.message)
      .to.include(checkpoint)
      .and.match(/^no chunk was removed/);
    expect(refused.hint).to.include(`stillpoint checkpoint delete ${checkpoint}`);
    expect(lab.chunkFiles()).to.deep.equal(before);
    expect(await stateOf(checkpointId(2))).to.equal('deleting');
  });

  it('gives the space back when the damaged checkpoint is deleted too', async () => {
    await storeCheckpoint(lab.repository, checkpointId(2), { c: { 'base/3': noise(900, 'third') } });
    flipBit(lab.checkpointFile(checkpoint, 'grid.json'), 3);
    await failureOf(lab.repository.deleteCheckpoint(GRID, checkpointId(2)));

    await lab.repository.deleteCheckpoint(GRID, checkpoint);

    expect(await lab.repository.list(GRID)).to.deep.equal([]);
    expect(lab.chunkFiles()).to.deep.equal([]);
  });

  it('heals what is stored again, beside the damaged chunk, as often as it is damaged', async () => {
    const key = sha256(packed);
    for (const [counter, damagedKey] of [
      [2, key],
      [3, `${key}-1`],
    ] as const) {
      flipBit(lab.chunkFile(damagedKey), -1);
      const damagedBytes = readFileSync(lab.chunkFile(damagedKey));

      const { storedBytes } = await storeCheckpoint(await lab.open(), checkpointId(counter), {
        a: { 'base/packed': packed },
      });

      expect(storedBytes).to.equal(sizeOf(lab.chunkFile(`${key}-${counter - 1}`)));
      expect(readFileSync(lab.chunkFile(damagedKey))).to.deep.equal(damagedBytes);
      expect(await verified(lab.repository, checkpointId(counter))).to.deep.equal([]);
      expect(await verified(lab.repository, checkpointId(counter - 1))).to.deep.equal(['a: base/packed']);
    }
    // A third one finds the healed copy and stores nothing.
    const reused = await storeCheckpoint(await lab.open(), checkpointId(4), { a: { 'base/packed': packed } });
    expect(reused.storedBytes).to.equal(0);
    expect(await verified(lab.repository, checkpointId(4))).to.deep.equal([]);
  });

  it('commits nothing that names a chunk which is gone or has another size', async () => {
    const bytes = noise(3000, 'fleeting');
    for (const [counter, hurt] of [
      [2, (path: string) => rmSync(path)],
      [3, (path: string) => appendFileSync(path, 'x')],
    ] as const) {
      const writer = lab.repository.beginMember(GRID, checkpointId(counter));
      const content = Buffer.concat([bytes, Buffer.from([counter])]);
      await writer.file({ path: 'base/1', mode: 0o600, mtimeMs: 0 }, inPieces(content));
      const member = gridMember('a', await writer.finish(memberHead(checkpointId(counter), 'a')));
      hurt(lab.chunkFile(sha256(content)));

      const commit = lab.repository.commit(gridManifest(checkpointId(counter), [member]));

      expect(await failureOf(commit)).to.include({ code: 'chunk-damaged', member: 'a' });
      expect(await stateOf(checkpointId(counter))).to.equal('uncommitted');
    }
  });
});

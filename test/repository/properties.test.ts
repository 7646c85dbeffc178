import { expect } from 'chai';
import * as fc from 'fast-check';
import { type DirectoryLab, directoryLab } from './directory-lab.ts';
import {
  checkpointId,
  CHUNK_BYTES,
  GRID,
  gridManifest,
  gridMember,
  inPieces,
  memberHead,
  memberOf,
  noise,
  readBack,
  rows,
  sha256,
  verified,
} from './samples.ts';

interface Content {
  readonly bytes: Buffer;
  readonly pieceBytes: number;
}

/** Sizes around what matters: nothing, a little, and each side of a chunk's end. */
const size = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 6000 }) },
  { weight: 1, arbitrary: fc.constantFrom(CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES) },
);

const content: fc.Arbitrary<Content> = fc.record({
  bytes: fc
    .tuple(size, fc.integer({ min: 0, max: 4 }), fc.boolean())
    .map(([length, seed, packs]) => (packs ? rows : noise)(length, `${seed}`)),
  pieceBytes: fc.constantFrom(1000, 65_536, CHUNK_BYTES, 3 * CHUNK_BYTES),
});

const name = fc.stringMatching(/^[A-Za-z0-9 _.ä€-]{1,12}$/).filter((text) => text !== '.' && text !== '..');
const files = fc.dictionary(
  fc.tuple(name, name).map((parts) => `base/${parts.join('~/')}`),
  content,
  { maxKeys: 8, noNullPrototype: true },
);

describe('any files', () => {
  let lab: DirectoryLab;
  let counter: number;

  before(async () => {
    lab = await directoryLab();
    counter = 0;
  });

  after(() => lab.close());

  async function store(member: Record<string, Content>): Promise<{ id: string; storedBytes: number }> {
    counter += 1;
    const id = checkpointId(counter);
    const writer = lab.repository.beginMember(GRID, id);
    await Promise.all(
      Object.entries(member).map(([path, { bytes, pieceBytes }]) =>
        writer.file({ path, mode: 0o600, mtimeMs: 0 }, inPieces(bytes, pieceBytes)),
      ),
    );
    const finished = await writer.finish(memberHead(id, 'a'));
    await lab.repository.commit(gridManifest(id, [gridMember('a', finished)]));
    return { id, storedBytes: finished.storedBytes };
  }

  it('come back as they were, with their digests, and cost nothing the second time', async () => {
    await fc.assert(
      fc.asyncProperty(files, async (member) => {
        const first = await store(member);
        const second = await store(member);

        expect(second.storedBytes).to.equal(0);
        for (const { id } of [first, second]) {
          const back = await readBack(lab.repository, id, 'a');
          expect(Object.keys(back).sort()).to.deep.equal(Object.keys(member).sort());
          for (const [path, { bytes }] of Object.entries(member)) {
            expect(bytes.equals(back[path] ?? Buffer.alloc(0)), path).to.equal(true);
          }
          expect(await verified(lab.repository, id)).to.deep.equal([]);
        }
        for (const artifact of (await memberOf(lab.repository, first.id, 'a')).artifacts) {
          if (artifact.kind !== 'file') throw new Error('not a file');
          const bytes = member[artifact.path]?.bytes ?? Buffer.alloc(0);
          expect(artifact.digest).to.equal(sha256(bytes));
          expect(artifact.chunks).to.have.length(Math.ceil(bytes.byteLength / CHUNK_BYTES));
        }
      }),
      { numRuns: 25 },
    );
  });

  it('leave nothing behind when all checkpoints are deleted', async () => {
    for (const { checkpoint } of await lab.repository.list(GRID)) {
      await lab.repository.deleteCheckpoint(GRID, checkpoint);
    }

    expect(lab.allFiles()).to.deep.equal(['repository.json']);
  });
});

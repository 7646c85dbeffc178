import { expect } from 'chai';
import * as fc from 'fast-check';
import { BlockBuffers, blocksOf } from '../../shared/repository/blocks.ts';
import { ByteBudget, forEachConcurrently, readAhead } from '../../shared/repository/concurrency.ts';
import { inPieces, noise } from './samples.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function* stream(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield piece;
}

describe('the blocks of a stream', () => {
  it('hold its bytes in order, all of one size but the last, which says that it is the last', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }),
        fc.integer({ min: 1, max: 30 }),
        async (pieces, blockBytes) => {
          const blocks: { bytes: Uint8Array; isLast: boolean }[] = [];

          for await (const block of blocksOf(stream(pieces), new BlockBuffers(blockBytes, 2))) {
            blocks.push(block);
          }

          const whole = Buffer.concat(pieces);
          expect(Buffer.concat(blocks.map(({ bytes }) => bytes))).to.deep.equal(whole);
          expect(blocks).to.have.length(Math.ceil(whole.byteLength / blockBytes));
          expect(blocks.slice(0, -1).every(({ bytes }) => bytes.byteLength === blockBytes)).to.equal(true);
          expect(blocks.map(({ isLast }) => isLast)).to.deep.equal(
            blocks.map((_, index) => index === blocks.length - 1),
          );
        },
      ),
    );
  });

  it('use the buffers that were given back, and never one that was not', async () => {
    const buffers = new BlockBuffers(10, 2);
    const held: Uint8Array[] = [];
    const used = new Set<ArrayBufferLike>();

    for await (const { bytes } of blocksOf(inPieces(noise(100, 'x'), 7), buffers)) {
      expect(held.some((other) => other.buffer === bytes.buffer)).to.equal(false);
      used.add(bytes.buffer);
      held.push(bytes);
      if (held.length === 3) buffers.giveBack(held.shift() as Uint8Array<ArrayBuffer>);
    }

    expect(used.size).to.equal(3);
  });

  it('close their source when nobody wants more', async () => {
    let closed = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield noise(10, 'x');
      } finally {
        closed = true;
      }
    }

    const blocks = blocksOf(source(), new BlockBuffers(10, 2))[Symbol.asyncIterator]();
    await blocks.next();
    await blocks.return?.();

    expect(closed).to.equal(true);
  });
});

describe('a budget of bytes', () => {
  it('never holds more than it has, but for one piece that is larger, and serves in order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 15 }), { minLength: 1, maxLength: 30 }),
        async (sizes) => {
          const budget = new ByteBudget(10);
          const served: number[] = [];
          let held = 0;
          await Promise.all(
            sizes.map(async (size, index) => {
              const giveBack = await budget.take(size);
              served.push(index);
              expect(held === 0 || held + size <= 10).to.equal(true);
              held += size;
              for (let turns = 0; turns < size % 3; turns += 1) await turn();
              held -= size;
              giveBack();
            }),
          );
          expect(served).to.deep.equal(sizes.map((_, index) => index));
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('work that is done concurrently', () => {
  it('is done for every item, no more than so many at once', async () => {
    let atOnce = 0;
    let most = 0;
    const done = new Set<number>();

    await forEachConcurrently([1, 2, 3, 4, 5, 6, 7], 3, async (item) => {
      atOnce += 1;
      most = Math.max(most, atOnce);
      await turn();
      atOnce -= 1;
      done.add(item);
    });

    expect(done.size).to.equal(7);
    expect(most).to.equal(3);
  });

  it('ends with its first failure, when all that was begun has ended', async () => {
    const begun: number[] = [];
    let ended = 0;

    const failed = await forEachConcurrently([1, 2, 3, 4, 5], 2, async (item) => {
      begun.push(item);
      await turn();
      ended += 1;
      if (item === 1) throw new Error('the first');
    }).catch((error: unknown) => error);

    expect(failed).to.be.instanceOf(Error).with.property('message', 'the first');
    expect(begun.length).to.be.lessThan(5);
    expect(ended).to.equal(begun.length);
  });

  it('reads ahead, hands out in order, and fails in its turn', async () => {
    const begun: number[] = [];
    const read = async (index: number): Promise<number> => {
      begun.push(index);
      if (index === 4) throw new Error('the fifth');
      return index;
    };
    const seen: number[] = [];

    const failed = await (async () => {
      for await (const one of readAhead(10, 3, read)) {
        expect(begun.length - seen.length).to.be.at.most(3);
        seen.push(one);
      }
    })().catch((error: unknown) => error);

    expect(seen).to.deep.equal([0, 1, 2, 3]);
    expect(failed).to.be.instanceOf(Error).with.property('message', 'the fifth');
  });
});

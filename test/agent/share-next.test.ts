import { expect } from 'chai';
import { shareNext } from '../../agent/share-next.ts';

// Goal: a look at the members that a thousand ask for is done once at a time, and is never older than its asker.

describe('work that many ask for at once', () => {
  interface Work {
    readonly number: number;
    end(): void;
  }

  function begun(): { ask: () => Promise<number>; works: Work[] } {
    const works: Work[] = [];
    const ask = shareNext(
      () =>
        new Promise<number>((resolve) => {
          const number = works.length + 1;
          works.push({ number, end: () => resolve(number) });
        }),
    );
    return { ask, works };
  }

  async function end(works: Work[]): Promise<void> {
    works.at(-1)?.end();
    await new Promise(setImmediate);
  }

  it('is done once for the first, and once more for all who asked meanwhile', async () => {
    const { ask, works } = begun();
    const first = ask();
    const others = [ask(), ask(), ask()];
    expect(works.length).to.equal(1);
    await end(works);
    expect(await first).to.equal(1);
    expect(works.length).to.equal(2);
    const late = ask();
    await end(works);
    expect(await Promise.all(others)).to.deep.equal([2, 2, 2]);
    await end(works);
    expect(await late).to.equal(3);
    expect(works.length).to.equal(3);
  });

  it('is done again after it has failed, for those who wait as for those who come', async () => {
    let times = 0;
    const ask = shareNext(async () => {
      times += 1;
      await Promise.resolve();
      if (times === 1) throw new Error('the first');
      return times;
    });
    const results = await Promise.allSettled([ask(), ask()]);
    expect(results.map(({ status }) => status)).to.deep.equal(['rejected', 'fulfilled']);
    expect(await ask()).to.equal(3);
  });
});

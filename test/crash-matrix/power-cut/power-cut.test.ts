import { expect } from 'chai';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { replay, endOf, type ReplayResult } from './replay.ts';
import type { RecordedRun } from './recorded-run.ts';
import { recordSmallRun } from './small-run.ts';

// Goal: whenever the power fails, and whatever of what was not synced is on the disk then, nothing that was reported is
// lost, nothing that is listed is damaged, and the repository works on.
// Method: the calls that change the file system are recorded, with what they write; then the power is cut after each.

/** All of it takes minutes; `./scripts/crash-matrix --power-cut` does all of a real grid's. */
const EVERY = 4;

describe('a repository whose power is cut', () => {
  const seed = Number(process.env['STILLPOINT_SEED'] ?? Math.floor(Date.now() / 86_400_000));
  let run: RecordedRun;

  before(async () => {
    run = await recordSmallRun();
  });

  after(() => run?.remove());

  const brokenOf = (results: readonly ReplayResult[]): string[] =>
    results.flatMap(({ broken }) =>
      broken.map(({ cut, last, cause }) => `${cut.way} after ${cut.after}, when ${last}: ${cause}`),
    );

  it('was recorded whole: the record ends as the disk does', () => {
    const tree = endOf(run.changes, run.repository);
    const above = dirname(run.repository);
    const names = readdirSync(above, { recursive: true, encoding: 'utf8' }).sort();
    expect([...tree.keys()].sort()).to.deep.equal(names);
    for (const name of names) {
      const path = join(above, name);
      const content = lstatSync(path).isDirectory() ? null : readFileSync(path);
      expect(tree.get(name)?.content ?? null, name).to.deep.equal(content);
    }
  });

  it(`keeps its promises after any change of a checkpoint, another and a deletion (seed ${seed})`, async function () {
    this.timeout(300_000);
    const results = await replay({ ...run, seed, every: EVERY });
    expect(brokenOf(results), `again with STILLPOINT_SEED=${seed}`).to.deep.equal([]);
    for (const { cuts, different } of results) {
      expect(cuts).to.be.greaterThan(300 / EVERY);
      expect(different).to.be.greaterThan(3);
    }
  });

  for (const [what, isLeftOut] of [
    ['directories', (path: string) => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true],
    ['files', (path: string) => path.includes('/.writing-')],
  ] as const) {
    it(`would be found broken if ${what} were not synced`, async () => {
      const changes = run.changes.filter((change) => change.call !== 'sync' || !isLeftOut(change.path));
      const results = await replay({ ...run, changes, seed, ways: ['lost'] });
      expect(brokenOf(results)).not.to.deep.equal([]);
    });
  }
});

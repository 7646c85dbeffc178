import { expect } from 'chai';
import type { CheckpointReport } from '../../coordinator/reports.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';

const JSON_OUTPUT = ['--output', 'json', '--quiet'];

// Goal: what a restored copy stores is never taken for production's, nor pruned or restored in its place.
describe('production and a copy of it that store in one repository', () => {
  let production: TestGrid;
  let copy: TestGrid;

  before(async () => {
    const copysets = [{ name: 'a', hosts: [0] }];
    production = await createGrid({ hosts: ['127.0.77.1'], copysets });
    copy = await createGrid({ hosts: ['127.0.77.2'], copysets, beside: production, empty: true });
  });

  after(async () => {
    await copy?.close();
    await production?.close();
  });

  async function create(grid: TestGrid, ...words: string[]): Promise<string> {
    const created = await grid.run(['checkpoint', 'create', 'nightly', ...words, ...JSON_OUTPUT]);
    expect(created.code, created.stdout + created.stderr).to.equal(0);
    return (created.json as CheckpointReport).checkpoint;
  }

  async function selected(grid: TestGrid, selector: string): Promise<unknown> {
    const found = await grid.run(['checkpoint', 'describe', selector, '--output', 'json']);
    expect(found.code, found.stdout).to.equal(0);
    return (found.json as { checkpoint: string }).checkpoint;
  }

  it('are two grids: each has its own latest, its own names and its own prune', async () => {
    const first = await create(production);
    const restored = await copy.run([
      'restore',
      'latest',
      '--map',
      '127.0.77.1=127.0.77.2',
      '--stop',
      '--yes',
      ...JSON_OUTPUT,
    ]);
    expect(restored.code, restored.stdout + restored.stderr).to.equal(0);
    const second = await create(copy);

    expect(await selected(production, 'latest')).to.equal(first);
    expect(await selected(copy, 'nightly')).to.equal(second);
    const pruned = await production.run(['checkpoint', 'prune', '--keep', '1', '--yes', ...JSON_OUTPUT]);
    expect(pruned.code, pruned.stdout).to.equal(0);
    expect(pruned.json).to.deep.include({ deleted: [], kept: [first] });

    const third = await create(production);
    const again = await production.run(['checkpoint', 'prune', '--keep', '1', '--yes', ...JSON_OUTPUT]);
    expect(again.json).to.deep.include({ deleted: [first], kept: [third] });
    expect(await selected(copy, 'latest')).to.equal(second);
  });
});

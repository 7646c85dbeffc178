import { expect } from 'chai';
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { initRepository } from '../../shared/repository/open.ts';

const CREATE = ['checkpoint', 'create', 'tuesday', '--output', 'json', '--quiet'];

// Goal: nobody takes the directory under a mount for the repository, whoever is started when.
describe('a grid whose repository is not mounted', () => {
  let grid: TestGrid;
  let aside: string;

  before(async () => {
    grid = await createGrid({ hosts: ['127.0.76.1'], copysets: [{ name: 'a', hosts: [0] }] });
    aside = `${grid.repository}-unmounted`;
    const monday = await grid.run(['checkpoint', 'create', 'monday', '--output', 'json', '--quiet']);
    expect(monday.code, monday.stdout).to.equal(0);
  });

  after(() => grid.close());

  it('refuses every command with nothing written, and goes on when it is mounted', async () => {
    renameSync(grid.repository, aside);
    mkdirSync(grid.repository);
    for (const isRestarted of [false, true]) {
      if (isRestarted) {
        await grid.killAgent(0);
        await grid.startAgent(0);
      }
      for (const args of [CREATE, ['checkpoint', 'prune', '--keep', '1', '--yes', '--output', 'json']]) {
        const refused = await grid.run(args);
        expect(refused.code, refused.stdout).to.equal(3);
        expect(errorOf(refused.json)).to.include({ code: 'repository-missing' });
        expect(errorOf(refused.json)['hint']).to.include('is it mounted?');
      }
      expect(readdirSync(grid.repository)).to.deep.equal([]);
    }

    // Somebody made another one in the mount point: the hosts know theirs.
    await initRepository(grid.repository);
    const other = await grid.run(CREATE);
    expect(other.code, other.stdout).to.equal(3);
    expect(errorOf(other.json)).to.include({ code: 'repository-changed' });
    const restore = await grid.run(['grid', 'doctor', '--output', 'json']);
    expect(restore.code, restore.stdout).to.equal(3);
    expect(restore.stdout).to.include('repository-changed');

    rmSync(grid.repository, { recursive: true });
    renameSync(aside, grid.repository);
    const tuesday = await grid.run(CREATE);
    expect(tuesday.code, tuesday.stdout).to.equal(0);
    const { checkpoints } = (await grid.run(['checkpoint', 'list', '--output', 'json'])).json as {
      checkpoints: { name: string }[];
    };
    expect(checkpoints.map(({ name }) => name)).to.deep.equal(['tuesday', 'monday']);
    await grid.expectUntouched();
  });
});

function errorOf(json: unknown): Record<string, unknown> {
  return (json as { error: Record<string, unknown> }).error;
}

import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type DirectoryLab, directoryLab } from './directory-lab.ts';
import { checkpointId, GRID, noise, readBack, rows, sha256, storeCheckpoint, verified } from './samples.ts';

interface Moment {
  readonly title: string;
  readonly call: string;
  /** A pattern of the path that is changed. */
  readonly path: string;
  readonly count?: number;
  /** States of the second and the first checkpoint after the crash; null: not listed. */
  readonly second: string | null;
  readonly first: string | null;
}

/** Whatever it was doing: crash-everywhere.test.ts. Here one moment of each kind of work, with a process that is killed. */
const MOMENTS: readonly Moment[] = [
  { title: 'gives a chunk its name', call: 'link', path: '/chunks/', second: null, first: 'valid' },
  {
    title: 'names the commit object',
    call: 'link',
    path: '/grid.json',
    second: 'uncommitted',
    first: 'valid',
  },
  { title: 'retires a checkpoint', call: 'rename', path: '/grid.json', second: 'valid', first: 'valid' },
  {
    title: 'removes a chunk',
    call: 'unlink',
    path: '/chunks/../[0-9a-f]{64}$',
    count: 2,
    second: 'valid',
    first: 'deleting',
  },
];

describe('a repository whose writer is killed', () => {
  // Goal: whatever it was doing, the catalogue is true, nothing committed is hurt, and the next run cleans up.
  // Method: a real process, killed with SIGKILL when it says that it has come to the step.
  const shared = rows(3000, 'shared');
  const firstFiles = { 'base/1': shared, 'base/2': noise(800, 'first'), 'base/3': noise(600, 'first too') };
  let lab: DirectoryLab;

  beforeEach(async () => {
    lab = await directoryLab();
    await storeCheckpoint(lab.repository, checkpointId(1), { a: firstFiles });
  });

  afterEach(() => lab.close());

  async function stateOf(checkpoint: string): Promise<string | null> {
    const entries = await lab.repository.list(GRID);
    return entries.find((entry) => entry.checkpoint === checkpoint)?.state ?? null;
  }

  for (const { title, call, path, count = 1, second, first } of MOMENTS) {
    it(`while it ${title} lists what is true and can be used again at once`, async () => {
      await killAt(lab.path, call, path, count);

      expect(await stateOf(checkpointId(1)), 'first').to.equal(first);
      expect(await stateOf(checkpointId(2)), 'second').to.equal(second);
      for (const [counter, state] of [
        [1, first],
        [2, second],
      ] as const) {
        if (state === 'valid')
          expect(await verified(lab.repository, checkpointId(counter))).to.deep.equal([]);
      }
      lab.ageOperations();
      await storeCheckpoint(lab.repository, checkpointId(3), { a: firstFiles });
      for (const one of [1, 2]) {
        if ((await stateOf(checkpointId(one))) !== null) {
          await lab.repository.deleteCheckpoint(GRID, checkpointId(one));
        }
      }
      await lab.repository.collectGarbage(GRID);
      expect(await readBack(lab.repository, checkpointId(3), 'a')).to.deep.equal(firstFiles);
      expect(lab.chunkFiles()).to.deep.equal(Object.values(firstFiles).map(sha256).sort());
    });
  }
});

async function killAt(location: string, call: string, path: string, count: number): Promise<void> {
  const script = fileURLToPath(new URL('crash-child.ts', import.meta.url));
  const child = spawn(process.execPath, [script, location, call, path, String(count)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const lines = createInterface(child.stdout);
  const [line] = (await Promise.race([once(lines, 'line'), exited])) as unknown[];
  child.kill('SIGKILL');
  await exited;
  if (line !== 'reached') throw new Error(`the child never came to ${call} of ${path}: ${String(line)}`);
}

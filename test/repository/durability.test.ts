import { expect } from 'chai';
import { type DirectoryLab, directoryLab } from './directory-lab.ts';
import { type Step, watchSteps } from './file-system-steps.ts';
import { checkpointId, GRID, noise, storeCheckpoint } from './samples.ts';

describe('what is stored', () => {
  // Goal: nothing refers to what a power cut could still take.
  // Method: the order of all writes, syncs and links of one checkpoint, taken from the calls themselves.
  let lab: DirectoryLab;

  beforeEach(async () => {
    lab = await directoryLab();
  });

  afterEach(() => lab.close());

  async function stepsOf(work: () => Promise<unknown>): Promise<Step[]> {
    const steps: Step[] = [];
    const watch = watchSteps((step) => void steps.push(step));
    try {
      await work();
    } finally {
      watch.restore();
    }
    return steps;
  }

  /** The index of the first step of this kind after another. */
  function indexOf(steps: readonly Step[], call: Step['call'], path: string, from = 0): number {
    const index = steps.findIndex((step, at) => at >= from && step.call === call && step.path === path);
    expect(index, `${call} ${path}`).to.be.greaterThan(-1);
    return index;
  }

  it('is synced before it has a name, and its name before anything refers to it', async () => {
    const checkpoint = checkpointId(1);
    const files = { 'base/1': noise(700, '1'), 'base/2': noise(900, '2') };

    const steps = await stepsOf(() => storeCheckpoint(lab.repository, checkpoint, { a: files }));

    const links = steps.filter(({ call, path }) => call === 'link' && !path.includes('/operations/'));
    for (const { from, path } of links) {
      const written = indexOf(steps, 'write', from ?? '');
      const synced = indexOf(steps, 'sync', from ?? '', written);
      expect(synced, path).to.be.lessThan(indexOf(steps, 'link', path));
    }
    const chunks = links.filter(({ path }) => path.includes('/chunks/'));
    const member = indexOf(steps, 'link', lab.checkpointFile(checkpoint, 'members', 'a.json'));
    const commit = indexOf(steps, 'link', lab.checkpointFile(checkpoint, 'grid.json'));
    expect(chunks).to.have.length(2);
    for (const { path } of chunks) {
      const named = indexOf(steps, 'link', path);
      for (const directory of directoriesAbove(path, lab.path)) {
        expect(indexOf(steps, 'sync', directory, named), directory).to.be.lessThan(member);
      }
    }
    for (const directory of directoriesAbove(lab.checkpointFile(checkpoint, 'members', 'a.json'), lab.path)) {
      expect(indexOf(steps, 'sync', directory, 0), directory).to.be.lessThan(commit);
    }
    const membersSynced = indexOf(steps, 'sync', lab.checkpointFile(checkpoint, 'members'), member);
    expect(membersSynced).to.be.lessThan(commit);
    indexOf(steps, 'sync', lab.checkpointFile(checkpoint), commit);
  });

  it('is made durable again by who only found it', async () => {
    // The one who wrote it may not have come to the sync of its directory.
    const files = { 'base/1': noise(700, '1') };
    await storeCheckpoint(lab.repository, checkpointId(1), { a: files });
    const [key] = lab.chunkFiles();
    const other = await lab.open();

    const steps = await stepsOf(() => storeCheckpoint(other, checkpointId(2), { a: files }));

    const member = indexOf(steps, 'link', lab.checkpointFile(checkpointId(2), 'members', 'a.json'));
    for (const directory of directoriesAbove(lab.chunkFile(key ?? ''), lab.path)) {
      expect(indexOf(steps, 'sync', directory), directory).to.be.lessThan(member);
    }
  });

  it('is retired for good before any of it is removed', async () => {
    const checkpoint = checkpointId(1);
    await storeCheckpoint(lab.repository, checkpoint, { a: { 'base/1': noise(700, '1') } });
    const [key] = lab.chunkFiles();

    const steps = await stepsOf(() => lab.repository.deleteCheckpoint(GRID, checkpoint));

    const retired = indexOf(steps, 'rename', lab.checkpointFile(checkpoint, 'grid.json.deleting'));
    const retiredForGood = indexOf(steps, 'sync', lab.checkpointFile(checkpoint), retired);
    const manifests = indexOf(steps, 'rm', lab.checkpointFile(checkpoint, 'members'));
    const manifestsForGood = indexOf(steps, 'sync', lab.checkpointFile(checkpoint), manifests);
    const chunk = indexOf(steps, 'unlink', lab.chunkFile(key ?? ''));
    const order = [retired, retiredForGood, manifests, manifestsForGood, chunk];
    expect(order).to.deep.equal([...order].sort((a, b) => a - b));
  });
});

/** From the file's own directory up to the root of the repository. */
function directoriesAbove(path: string, root: string): string[] {
  const parts = path.slice(root.length + 1).split('/');
  return parts.map((_, index) => [root, ...parts.slice(0, index)].join('/')).toReversed();
}

import { expect } from 'chai';
import { spawn, spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HoldReport } from '../../../coordinator/jobs/hold-report.ts';
import type { RestoreReport } from '../../../coordinator/reports.ts';
import { ofServerUser } from '../../lab/base-backup.ts';
import { numbersOf, writeRow } from '../../lab/numbered-rows.ts';
import { serverUser } from '../../lab/postgres.ts';
import { recipeOf } from '../../lab/recipes.ts';
import { SetsLab } from '../../lab/sets-lab.ts';
import { referenceShards } from '../../lab/shards.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: whoever copies nodes with tar as the guide says comes back to the moment of the hold, and hears of a copy that is
// not whole. Method: the guide's own recipe and the real tar; real nodes and the real commands.

const HOSTS = ['127.0.83.1', '127.0.83.2'];

/** The guide's recipe for a node, from a data directory to a directory for images. */
function recipe(data: string, images: string): string {
  return recipeOf('tar', 0, { '/var/lib/orders-1a': data, '/srv/images/orders-1a': images });
}

describe('a grid whose operator copies with tar', () => {
  let lab: SetsLab;
  const shards = (): ReturnType<typeof referenceShards> => referenceShards(lab.lab.reference, ['a', 'b']);

  before(async () => {
    lab = await SetsLab.launch(HOSTS);
  });

  after(() => lab?.close());

  async function restored({ checkpoint }: HoldReport, set: string): Promise<number[][]> {
    const report = await lab.done<RestoreReport>('restore', checkpoint, '--set', set, '--stop', '--yes');
    expect(report).to.deep.include({ checkpoint, set, verified: true });
    await lab.lab.reference.healthy();
    return numbersOf(shards());
  }

  /** Both nodes, by the guide's recipe. The guide's name of the set is in it. */
  const copied = (): string =>
    ['a1', 'b1'].map((name) => recipe(lab.data(name), lab.images(name))).join('\n');

  it('comes back from what was packed and unpacked while a quiesce held [S60]', async () => {
    await writeRow(shards(), 1);
    const words = ['--set', 'thursday', '--image', '{set}', '--', 'bash', '-c', copied()];
    const report = await lab.done<HoldReport>('quiesce', ...words);
    expect(report.set?.problems).to.deep.equal([]);
    await writeRow(shards(), 2);

    expect(await restored(report, 'thursday')).to.deep.equal([[1], [1]]);
  });

  it('comes back from what was packed while a freeze held and clients wrote to the journal [S64]', async () => {
    await writeRow(shards(), 3);
    const frozen = join(lab.images('a1'), 'frozen');
    const thawed = join(lab.images('a1'), 'thawed');
    // The clients' writes are acknowledged before it copies.
    const line = `touch ${frozen}; until [ -e ${thawed} ]; do sleep 0.02; done\n${copied().replaceAll('thursday', 'sunday')}`;
    const freeze = lab.done<HoldReport>(
      'freeze',
      '--set',
      'sunday',
      '--image',
      '{set}',
      '--',
      'bash',
      '-c',
      line,
    );
    while (!existsSync(frozen))
      await Promise.race([freeze, new Promise((resolve) => setTimeout(resolve, 20))]);
    await writeRow(shards(), 4);
    writeFileSync(thawed, '');
    const report = await freeze;
    expect(report.set?.problems).to.deep.equal([]);
    expect(await numbersOf(shards())).to.deep.equal([
      [1, 3, 4],
      [1, 3, 4],
    ]);

    expect(await restored(report, 'sunday')).to.deep.equal([
      [1, 3],
      [1, 3],
    ]);
  });
});

describe("the guide's recipe for tar", () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let data: string;
  let images: string;

  before(() => {
    folder = temporaryFolder('tar');
    data = join(folder.path, 'data');
    images = join(folder.path, 'images');
    for (const path of [join(data, 'live'), images]) mkdirSync(path, { recursive: true });
    for (const name of ['described.json', 'live/rows']) writeFileSync(join(data, name), name);
    ofServerUser(folder.path);
  });

  after(() => folder?.remove());

  /** As a user who is not above the modes of files. */
  const made = (): SpawnSyncReturns<string> =>
    spawnSync('bash', ['-c', recipe(data, images)], { encoding: 'utf8', cwd: '/', ...serverUser });

  it('fails where one file cannot be read, though all others are copied', () => {
    chmodSync(join(data, 'live/rows'), 0o000);
    const { status, stderr } = made();
    expect(stderr).to.match(/live\/rows: Cannot open/);
    expect(status).not.to.equal(0);
    expect(existsSync(join(images, 'thursday/described.json'))).to.equal(true);

    chmodSync(join(data, 'live/rows'), 0o600);
    expect(made().status).to.equal(0);
  });

  const CHANGED = /live\/journal: file changed as we read it/;

  it('goes on where a journal file grew while it was read', () => {
    const journal = join(data, 'live/journal');
    writeFileSync(journal, Buffer.alloc(4 << 20), { mode: 0o666 });
    const writer = spawn('sh', ['-c', `while :; do echo more >> '${journal}'; done`], { stdio: 'ignore' });
    try {
      let done = made();
      for (let tried = 1; tried < 50 && !CHANGED.test(done.stderr); tried += 1) done = made();
      expect(done.stderr).to.match(CHANGED);
      expect(done.status).to.equal(0);
    } finally {
      writer.kill('SIGKILL');
    }
  });
});

import { expect } from 'chai';
import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { HoldReport } from '../../coordinator/jobs/hold-report.ts';
import type { RestoreReport } from '../../coordinator/reports.ts';
import { mustBeReplaceable } from '../../agent/engines/restore/directory-switch.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { numbersOf, writeRow } from '../lab/numbered-rows.ts';
import { recipeOf } from '../lab/recipes.ts';
import { SetsLab } from '../lab/sets-lab.ts';
import { postgresShards, referenceShards, TABLE_SQL } from '../lab/shards.ts';
import { failureOf } from '../repository/samples.ts';
import { loopDisk, mustKnow, type LoopDisk } from './lab/loop-disk.ts';
import { run } from './lab/machine.ts';
import { bringPrograms, NoLabHere } from './lab/tools.ts';

// Goal: snapshots of btrfs, taken as the guide says while a grid is held, come back to that moment. Method: the recipe on a
// file system in a loop device; real nodes, a real PostgreSQL server and the real commands.

const NODES = ['127.0.85.1', '127.0.85.2'];
const SERVER = '127.0.86.1';
const IMAGES = '/srv/images/orders-1a';

describe('@short a grid whose operator takes snapshots of btrfs', function () {
  this.timeout(180_000);
  let disk: LoopDisk | undefined;
  const at = (...names: readonly string[]): string => join(disk?.place ?? '', ...names);

  before(function () {
    try {
      mustKnow('btrfs');
      bringPrograms({ btrfs: 'btrfs-progs', 'mkfs.btrfs': 'btrfs-progs' }, (words) =>
        console.log(`      ${words}`),
      );
      disk = loopDisk(4);
    } catch (error) {
      if (!(error instanceof NoLabHere)) throw error;
      console.log(`      ${error.message}`);
      this.skip();
    }
    run('mkfs.btrfs', ['--quiet', disk.device]);
    run('mount', [disk.device, disk.place]);
    chmodSync(disk.place, 0o755);
  });

  after(() => disk?.remove());

  function makeSubvolume(path: string): void {
    mkdirSync(join(path, '..'), { recursive: true });
    run('btrfs', ['subvolume', 'create', path]);
  }

  it('brings nodes back to a quiesce, and to a freeze in which clients wrote', async () => {
    for (const name of ['a1', 'b1']) makeSubvolume(at('nodes', NODES[0] ?? '', name));
    const lab = await SetsLab.launch(NODES, at('nodes'));
    const shards = referenceShards(lab.lab.reference, ['a', 'b']);
    const snapshots = ['a1', 'b1'].map((name) =>
      recipeOf('btrfs', 0, { '/var/lib/orders-1a': lab.data(name), [IMAGES]: lab.images(name) }),
    );
    const restored = async ({ checkpoint, set }: HoldReport): Promise<number[][]> => {
      expect(set?.problems).to.deep.equal([]);
      const words = ['--set', set?.set ?? '', '--stop', '--yes'];
      expect(await lab.done<RestoreReport>('restore', checkpoint, ...words)).to.include({ verified: true });
      await lab.lab.reference.healthy();
      return numbersOf(shards);
    };
    try {
      await writeRow(shards, 1);
      const program = ['--', 'bash', '-c', snapshots.join('\n')];
      const quiesced = await lab.done<HoldReport>(
        'quiesce',
        '--set',
        'friday',
        '--image',
        '{set}',
        ...program,
      );
      await writeRow(shards, 2);
      expect(await restored(quiesced)).to.deep.equal([[1], [1]]);

      // What a restore has replaced is in the subvolume as before.
      const frozen = snapshots.join('\n').replaceAll('friday', 'again');
      const report = await lab.done<HoldReport>(
        'freeze',
        '--set',
        'again',
        '--image',
        '{set}',
        '--',
        'bash',
        '-c',
        frozen,
      );
      await writeRow(shards, 3);
      expect(await restored(report)).to.deep.equal([[1], [1]]);
    } finally {
      await lab.close();
    }
  });

  it('brings a PostgreSQL server back that lies in a subvolume', async () => {
    const home = at('servers/first/host-1/aa');
    makeSubvolume(home);
    const images = at('images');
    mkdirSync(images);
    const grid: TestGrid = await createGrid({
      folder: at('servers'),
      version: '15',
      hosts: [SERVER],
      copysets: [{ name: 'a', hosts: [0] }],
      memberLines: () => [`images: ${images}`],
    });
    const { server } = grid.member('aa');
    const shards = postgresShards([server.url]);
    const done = async <T>(command: string, ...words: readonly string[]): Promise<T> => {
      const { code, stdout, stderr, json } = await grid.run([
        command,
        '--output',
        'json',
        '--quiet',
        ...words,
      ]);
      expect(code, stdout + stderr).to.equal(0);
      return json as T;
    };
    try {
      await server.query(TABLE_SQL);
      await writeRow(shards, 1);
      const snapshot = recipeOf('btrfs', 1, { '/var/lib/postgresql/18': home, [IMAGES]: images });
      const words = ['--set', 'friday', '--image', 'friday/data', '--', 'bash', '-c', snapshot];
      const { checkpoint, set } = await done<HoldReport>('quiesce', '--allow-reads', ...words);
      expect(set?.problems).to.deep.equal([]);
      expect(existsSync(join(images, 'friday/data/postmaster.pid'))).to.equal(true);
      await writeRow(shards, 2);

      await done('restore', checkpoint, '--set', 'friday', '--stop', '--yes');

      expect(await numbersOf(shards)).to.deep.equal([[1]]);
      // It throws where that is none.
      run('btrfs', ['subvolume', 'show', home]);
    } finally {
      await grid.close();
    }
  });

  it('is told that no restore replaces what is a subvolume itself', async () => {
    const data = at('itself');
    makeSubvolume(data);
    const refused = await failureOf(mustBeReplaceable('orders-1a', [data]));
    expect(refused).to.include({
      code: 'data-is-mount-point',
      message: `orders-1a: ${data} is a mount point, or a subvolume of its own, and a restore would put a plain directory in its place`,
    });
  });
});

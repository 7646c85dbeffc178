import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HoldReport } from '../../coordinator/jobs/hold-report.ts';
import type { RestoreReport } from '../../coordinator/reports.ts';
import type { EndedReport } from '../../coordinator/sets/set-reports.ts';
import { numbersOf, writeRow } from '../lab/numbered-rows.ts';
import { ROOT } from '../lab/processes.ts';
import { recipeOf } from '../lab/recipes.ts';
import { SetsLab } from '../lab/sets-lab.ts';
import { referenceShards } from '../lab/shards.ts';
import { loopDisk, mustKnow, type LoopDisk } from './lab/loop-disk.ts';
import { run } from './lab/machine.ts';
import { bringPrograms, NoLabHere } from './lab/tools.ts';

// Goal: snapshots of LVM, taken and mounted as the guide says, come back to the moment of the quiesce, also where they are
// mounted when everybody runs again. Method: the recipes on a volume group in a loop device, with a configuration of LVM's
// that sees no other disk of the machine; real nodes and the real commands.

const HOSTS = ['127.0.87.1', '127.0.87.2'];
const GROUP = `recipe-${process.pid}`;

describe('@short a grid whose operator takes snapshots of LVM', function () {
  this.timeout(180_000);
  let disk: LoopDisk | undefined;
  let lab: SetsLab;
  const shards = (): ReturnType<typeof referenceShards> => referenceShards(lab.lab.reference, ['a', 'b']);
  const at = (...names: readonly string[]): string => join(disk?.place ?? '', ...names);

  before(async function () {
    try {
      mustMapDevices();
      bringPrograms({ lvcreate: 'lvm2', 'mkfs.ext4': 'e2fsprogs' }, (words) => console.log(`      ${words}`));
      disk = loopDisk(4);
    } catch (error) {
      if (!(error instanceof NoLabHere)) throw error;
      console.log(`      ${error.message}`);
      this.skip();
    }
    mkdirSync(at('lvm'));
    writeFileSync(at('lvm/lvm.conf'), configuration(disk.device));
    manage(`vgcreate ${GROUP} ${disk.device}`);
    for (const name of ['a1', 'b1']) {
      manage(`lvcreate --name ${name} --size 1400M ${GROUP}`);
      run('mkfs.ext4', ['-q', `/dev/${GROUP}/${name}`]);
      mkdirSync(at(HOSTS[0] ?? '', name), { recursive: true });
      run('mount', [`/dev/${GROUP}/${name}`, at(HOSTS[0] ?? '', name)]);
    }
    lab = await SetsLab.launch(HOSTS, disk.place);
  });

  after(async () => {
    await lab?.close();
    await disk?.unmount();
    if (disk !== undefined) spawnSync('bash', ['-c', managed(`vgremove --force --yes ${GROUP}`)]);
    await disk?.remove();
  });

  function mustMapDevices(): void {
    mustKnow('ext4');
    try {
      // Where it is a module it is loaded by this.
      closeSync(openSync('/dev/mapper/control', 'r+'));
    } catch (error) {
      throw new NoLabHere(`the kernel has no device mapper: ${(error as Error).message}`);
    }
  }

  /** It has no udev to wait for, and no disk but ours. */
  function configuration(device: string): string {
    const filter = `[ "a|^${device}$|", "r|.*|" ]`;
    return [
      `devices { filter = ${filter} global_filter = ${filter} obtain_device_list_from_udev = 0 external_device_info_source = "none" use_devicesfile = 0 }`,
      'activation { udev_sync = 0 udev_rules = 0 monitoring = 0 }',
      'backup { backup = 0 archive = 0 }',
      '',
    ].join('\n');
  }

  const managed = (words: string): string => `export LVM_SYSTEM_DIR='${at('lvm')}'\n${words}`;

  function manage(words: string): void {
    run('bash', ['-c', managed(words)]);
  }

  /** The recipe of this number for one node. */
  function recipe(number: number, name: string, change: Readonly<Record<string, string>>): string {
    // Names of volumes are of the whole group.
    return recipeOf('LVM', number, {
      'vg0/orders-1a': `${GROUP}/${name}`,
      '--name monday': `--name monday-${name}`,
      ...change,
    });
  }

  async function restored({ checkpoint }: HoldReport, set: string): Promise<number[][]> {
    const report = await lab.done<RestoreReport>('restore', checkpoint, '--set', set, '--stop', '--yes');
    expect(report).to.deep.include({ checkpoint, set, verified: true });
    await lab.lab.reference.healthy();
    return numbersOf(shards());
  }

  it('comes back from snapshots that are mounted while the quiesce holds', async () => {
    await writeRow(shards(), 1);
    const program = ['a1', 'b1'].map((name) =>
      recipe(0, name, {
        '/dev/vg0/monday': `/dev/${GROUP}/monday-${name}`,
        '/srv/images/orders-1a': lab.images(name),
        '10G': '100M',
      }),
    );
    const words = ['--set', 'monday', '--image', '{set}', '--', 'bash', '-c', managed(program.join('\n'))];
    const report = await lab.done<HoldReport>('quiesce', ...words);
    expect(report.set?.problems).to.deep.equal([]);
    await writeRow(shards(), 2);

    expect(await restored(report, 'monday')).to.deep.equal([[1], [1]]);
  });

  it('comes back from snapshots that are mounted when everybody runs again', async () => {
    await writeRow(shards(), 3);
    const stillpoint = `'${process.execPath}' '${join(ROOT, 'coordinator/main.ts')}' --grid '${lab.lab.grid.gridFile}'`;
    const program = ['a1', 'b1'].map((name) =>
      recipe(1, name, {
        stillpoint,
        'begin monday orders-1a': `begin later ${name}`,
        'end monday orders-1a': `end later ${name}`,
        [`monday-${name}`]: `later-${name}`,
        'image monday': 'image later',
        '10G': '100M',
      }),
    );
    const report = await lab.done<HoldReport>('quiesce', '--', 'bash', '-c', managed(program.join('\n')));
    await writeRow(shards(), 4);
    for (const name of ['a1', 'b1']) {
      mkdirSync(join(lab.images(name), 'later'));
      run('mount', ['-o', 'ro', `/dev/${GROUP}/later-${name}`, join(lab.images(name), 'later')]);
      const { read } = await lab.done<EndedReport>('set', 'end', 'later', name, '--image', 'later');
      expect(read?.files).to.be.greaterThan(1);
    }

    expect(await restored(report, 'later')).to.deep.equal([
      [1, 3],
      [1, 3],
    ]);
  });
});

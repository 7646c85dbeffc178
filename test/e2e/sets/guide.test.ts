import { expect } from 'chai';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RestoreReport } from '../../../coordinator/reports.ts';
import type { SetReport } from '../../../coordinator/sets/set-reports.ts';
import { until } from '../../lab/processes.ts';
import { programFile, ROOT } from '../../lab/programs.ts';
import { SetsLab } from '../../lab/sets-lab.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: who does what docs/sharded-cluster.md says has copies that come back. Method: its blocks are run as they stand, but
// for names of hosts, members and directories; then the grid shows what was there.

const HOSTS = ['127.0.67.1', '127.0.67.2'];
const MEMBERS = { 'orders-1a': 'a1', 'orders-2a': 'b1' } as const;

describe('the guide to backups with tools of your own', () => {
  const folder = temporaryFolder('guide');
  let lab: SetsLab;
  let page = readFileSync(join(ROOT, 'docs/sharded-cluster.md'), 'utf8');
  let rows = 0;

  before(async () => {
    lab = await SetsLab.launch(HOSTS);
    const names: [string, string][] = Object.entries(MEMBERS).flatMap(
      ([told, member]): [string, string][] => [
        [`/var/lib/${told}`, lab.data(member)],
        [`/srv/images/${told}`, lab.images(member)],
        [told, member],
      ],
    );
    for (const [told, here] of names) page = page.replaceAll(told, here);
    page = page.replaceAll('/usr/local/bin/copy-all', join(folder.path, 'copy-all'));
    program(
      'stillpoint',
      `exec '${process.execPath}' '${programFile('coordinator/main.ts')}' --grid '${lab.lab.grid.gridFile}' "$@"`,
    );
    program('ssh', 'shift; exec "$@"');
    writeFileSync(join(folder.path, 'copy-all'), block('## Approach 2', 1));
    chmodSync(join(folder.path, 'copy-all'), 0o755);
  });

  after(async () => {
    await lab?.close();
    folder.remove();
  });

  function program(name: string, line: string): void {
    mkdirSync(join(folder.path, 'bin'), { recursive: true });
    writeFileSync(join(folder.path, 'bin', name), `#!/bin/sh\n${line}\n`);
    chmodSync(join(folder.path, 'bin', name), 0o755);
  }

  /** A block of the page below a heading, whatever its language. */
  function block(heading: string, number = 0): string {
    const section = page.slice(page.indexOf(heading)).slice(heading.length).split(/^## /m)[0] ?? '';
    const found = [...section.matchAll(/^```\w*\n([^]*?)^```/gm)][number]?.[1];
    if (found === undefined) throw new Error(`${heading} has no block ${number}`);
    return found;
  }

  function run(script: string): string {
    const { status, stdout, stderr } = spawnSync('sh', ['-ec', script], {
      cwd: folder.path,
      encoding: 'utf8',
      env: { ...process.env, PATH: `${join(folder.path, 'bin')}:${process.env['PATH']}` },
    });
    expect(status, `${script}: ${stdout}${stderr}`).to.equal(0);
    return stdout;
  }

  async function put(): Promise<string[]> {
    const client = lab.lab.reference.client(8000);
    const keys = ['a', 'b'].map((copyset) => `${copyset} ${(rows += 1)}`);
    try {
      for (const key of keys) await client.put('guide', key, '', key.slice(0, 1));
    } finally {
      client.close();
    }
    return keys;
  }

  async function shown(): Promise<string[]> {
    const client = lab.lab.reference.client(8000);
    try {
      const found = await Promise.all(['a', 'b'].map((copyset) => client.scan('guide', copyset)));
      return found.flat().map(([, key]) => key);
    } finally {
      client.close();
    }
  }

  /** The set comes back by the commands of the page, as approach it says, with these rows and without those. */
  async function expectBack(set: string, approach: string, kept: readonly string[]): Promise<void> {
    const lost = await put();
    const { restorable } = JSON.parse(run(`stillpoint set describe ${set} --output json`)) as SetReport;
    const found = restorable.find((one) => one.approach === approach);
    expect(found, `${set} by ${approach}`).not.to.equal(undefined);
    const commands = block('## Bringing them back')
      .replaceAll(' ID ', ` ${found?.checkpoint} `)
      .replaceAll('--set monday', `--set ${set}`);
    run(commands);
    await lab.lab.reference.healthy();
    const there = await shown();
    expect(there).to.include.members([...kept]);
    expect(there).not.to.include.members([...lost]);
  }

  it('brings copies of different times to a journal checkpoint', async () => {
    const kept = await put();
    const said = run(block('## Approach 1'));
    expect(said).to.match(/approach 1, .*: stillpoint restore \S+ --set monday/);
    await expectBack('monday', 'journals', kept);
  });

  it('brings back what was copied while all was quiesced', async () => {
    const kept = await put();
    const said = run(block('## Approach 2'));
    expect(said).to.match(/approach 2, .*: stillpoint restore \S+ --set tuesday/);
    await expectBack('tuesday', 'quiesce', kept);
  });

  it('brings back what was copied while all was shut down', async () => {
    const kept = await put();
    const nodes = Object.values(MEMBERS).map((name) => lab.lab.reference.process(name));
    await Promise.all(nodes.map((node) => node.stop()));
    run(block('## Approach 2', 2));
    await Promise.all(nodes.map((node) => node.start()));
    await lab.lab.reference.healthy();
    await expectBack('cold', 'quiesce', kept);
  });

  it('brings back what was copied while all was frozen', async () => {
    const kept = await put();
    const said = run(block('## Approach 3'));
    expect(said).to.match(/approach 3, .*: stillpoint restore \S+ --set wednesday/);
    await expectBack('wednesday', 'freeze', kept);
  });

  it('has a recipe of tar, in the place of cp', async () => {
    const kept = await put();
    const recipe = block('## Recipes');
    const line = Object.values(MEMBERS)
      .map((member) =>
        recipe.replaceAll(lab.images('a1'), lab.images(member)).replaceAll(lab.data('a1'), lab.data(member)),
      )
      .join('\n');
    writeFileSync(join(folder.path, 'copy-all'), `#!/bin/sh -e\n${line}`);
    run(block('## Approach 2').replaceAll('tuesday', 'thursday'));
    await expectBack('thursday', 'quiesce', kept);
  });
});

import { spawnSync } from 'node:child_process';
import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { installPackage } from '../lab/installed-package.ts';
import type { Programs } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: what is published works where nothing of the project lies beside it.
// Method: the archive is made, installed by npm into an empty prefix with what it names as its dependencies and
// nothing else, and its own programs take a checkpoint.
describe('the package', () => {
  const folder = temporaryFolder('package');
  let installed: (name: string) => string;
  let programs: Programs;
  let grid: TestGrid | undefined;

  before(function () {
    this.timeout(180_000);
    ({ program: installed, programs } = installPackage(folder.path));
  });

  after(async () => {
    await grid?.close();
    folder.remove();
  });

  function run(program: string, args: readonly string[]): string {
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', cwd: folder.path });
    expect(status, `${program} ${args.join(' ')}: ${stdout}${stderr}`).to.equal(0);
    return stdout;
  }

  it('gives a stillpoint, a stillpoint-agent and a stillpoint-conformance', () => {
    expect(run(process.execPath, [installed('stillpoint'), '--version']).trim()).to.match(/^\d+\.\d+\.\d+$/);
    expect(run(process.execPath, [installed('stillpoint-agent'), '--help'])).to.contain(
      'Example: stillpoint-agent --config',
    );
    expect(run(process.execPath, [installed('stillpoint-conformance'), '--list'])).to.contain(
      'rest-acknowledges-nothing',
    );
  });

  it('takes a checkpoint with its own programs, and verifies it', async () => {
    grid = await createGrid({
      hosts: ['127.0.80.1'],
      copysets: [{ name: 'a', hosts: [0] }],
      programs,
    });
    const created = await grid.run(['checkpoint', 'create', 'first', '--quiet']);
    expect(created.code, created.stderr).to.equal(0);
    const verified = await grid.run(['checkpoint', 'verify', 'first', '--quiet']);
    expect(verified.code, verified.stderr).to.equal(0);
    const metrics = await grid.run(['metrics', '--quiet']);
    expect(metrics.stdout, metrics.stderr).to.match(
      /^stillpoint_last_verify_damaged_places\{grid="\w+"\} 0$/m,
    );
  });

  it('ends its agent with 1 where the cause may pass, and with 2 where a file must be mended first', () => {
    const usual = readFileSync(grid?.hosts[0]?.configuration ?? '', 'utf8');
    const ends = (text: string): number | null => {
      const configuration = join(dirname(grid?.hosts[0]?.configuration ?? ''), 'second.yaml');
      writeFileSync(configuration, text);
      return spawnSync(process.execPath, [installed('stillpoint-agent'), '--config', configuration]).status;
    };
    // Without the members and the state of the one that runs, and at its address.
    const second = usual.replace(/^state: .*/m, `state: ${folder.path}/state`).replace(/^members:[^]*/m, '');
    expect(ends(second)).to.equal(1);
    expect(ends(`${second}\nunknown: key\n`)).to.equal(2);
  });
});

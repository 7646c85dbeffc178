import { expect } from 'chai';
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { createProgram } from '../../coordinator/program.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { ROOT } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: the package for hosts brings all that it needs, and what an administrator expects of a package.
// Method: one is made and unpacked beside nothing of the project; its own files are read and run.
describe('the package for Debian hosts', () => {
  const folder = temporaryFolder('host-package');
  const tree = join(folder.path, 'tree');
  const library = join(tree, 'usr/lib/stillpoint');
  const agentUnit = join(tree, 'usr/lib/systemd/system/stillpoint-agent.service');
  let grid: TestGrid | undefined;

  before(function () {
    this.timeout(300_000);
    if (process.platform !== 'linux' || process.arch !== 'x64') this.skip();
    const kept = existsSync(join(ROOT, 'node_modules/.cache/stillpoint-packages'));
    if (!isThere('dpkg-deb') || !(kept || isThere('go'))) {
      console.log('      needs dpkg-deb, and Go to build nfpm');
      this.skip();
    }
    // The run may have made one already.
    const made = process.env['STILLPOINT_DEB'];
    const args = ['deb', '--architecture', 'amd64', '--into', folder.path];
    if (made !== undefined) copyFileSync(made, archive());
    else expectDone(spawnSync('bash', [join(ROOT, 'scripts/package'), ...args], { encoding: 'utf8' }));
    mkdirSync(tree);
    expectDone(spawnSync('dpkg-deb', ['-x', archive(), tree], { encoding: 'utf8' }));
  });

  after(async () => {
    await grid?.close();
    folder.remove();
  });

  const archive = (): string => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    return join(folder.path, `stillpoint_${version}_amd64.deb`);
  };
  const manual = (page: string): string =>
    gunzipSync(readFileSync(join(tree, 'usr/share/man', page)))
      .toString()
      .replaceAll('\\-', '-');

  it('runs each of its programs with the Node that it brings', () => {
    for (const name of ['stillpoint', 'stillpoint-agent', 'stillpoint-conformance']) {
      const starter = readFileSync(join(tree, 'usr/bin', name), 'utf8');
      const [, node = '', program = ''] = /exec (\S+) (\S+) "\$@"/.exec(starter) ?? [];
      const { stdout } = expectDone(
        spawnSync(join(tree, node), [join(tree, program), '--version'], { encoding: 'utf8', env: {} }),
      );
      expect(stdout.trim(), name).to.match(/^\d+\.\d+\.\d+$/);
    }
  });

  it('takes a checkpoint with the libraries that it brings, and verifies it', async function () {
    this.timeout(60_000);
    const programs = {
      'coordinator/main.ts': join(library, 'dist/stillpoint.js'),
      'agent/main.ts': join(library, 'dist/stillpoint-agent.js'),
    };
    grid = await createGrid({ hosts: ['127.0.81.1'], copysets: [{ name: 'a', hosts: [0] }], programs });
    for (const command of ['create', 'verify']) {
      const { code, stderr } = await grid.run(['checkpoint', command, 'first', '--quiet']);
      expect(code, stderr).to.equal(0);
    }
  });

  it('has a manual page with every command and option of --help', async () => {
    const page = manual('man1/stillpoint.1.gz');
    const commands = [await createProgram(null)];
    for (const command of commands) {
      commands.push(...command.commands);
      for (const { flags } of command.options) expect(page).to.contain(`.B ${flags}\n`);
      if (command.commands.length > 0) continue;
      expect(page).to.contain(` ${command.name()} `.trimEnd()).and.contain(command.description());
    }
    expect(page).to.contain('Example: stillpoint restore');
    expect(manual('man8/stillpoint-agent.8.gz')).to.contain('--held');
    expect(manual('man1/stillpoint-conformance.1.gz')).to.contain('--lease-ms');
  });

  it('completes commands and options in bash', () => {
    expect(completed('stillpoint', 'check')).to.deep.equal(['checkpoint']);
    expect(completed('stillpoint', 'checkpoint', 'cr')).to.deep.equal(['create']);
    expect(completed('stillpoint', '--quiet', 'checkpoint', 'prune', '--keep')).to.deep.equal([
      '--keep',
      '--keep-within',
    ]);
  });

  function completed(...words: string[]): string[] {
    const script = `source "$1"; COMP_WORDS=("\${@:2}"); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _stillpoint; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const completion = join(tree, 'usr/share/bash-completion/completions/stillpoint');
    const { stdout } = expectDone(
      spawnSync('bash', ['-c', script, 'bash', completion, ...words], { encoding: 'utf8' }),
    );
    return stdout.trim().split('\n');
  }

  it('has an agent unit that systemd rates at 4.0 at most, each of whose liberties the documentation explains', function () {
    const install = readFileSync(join(tree, 'usr/share/doc/stillpoint/docs/install.md'), 'utf8');
    const unit = readFileSync(agentUnit, 'utf8');
    const liberties = [...unit.matchAll(/CAP_\w+|AF_\w+|^ProtectSystem/gm)].map(([name]) => name);
    expect(liberties).to.include('CAP_SYS_PTRACE');
    for (const liberty of liberties) expect(install).to.contain(`\`${liberty}`);
    if (!isThere('systemd-analyze')) this.skip();
    const rated = spawnSync('systemd-analyze', [
      'security',
      '--offline=yes',
      '--threshold=40',
      '--no-pager',
      agentUnit,
    ]);
    expect(rated.status, rated.stdout.toString()).to.equal(0);
  });
});

function isThere(program: string): boolean {
  return spawnSync('bash', ['-c', `command -v ${program}`]).status === 0;
}

function expectDone<T extends SpawnSyncReturns<string>>(result: T): T {
  expect(result.status, `${result.stdout}${result.stderr}`).to.equal(0);
  return result;
}

import { spawnSync } from 'node:child_process';
import { expect } from 'chai';
import { mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../lab/temporary.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

describe('the package', () => {
  const folder = temporaryFolder('package');
  after(() => folder.remove());

  function run(program: string, args: readonly string[]): { status: number | null; output: string } {
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', cwd: folder.path });
    return { status, output: stdout + stderr };
  }

  it('gives a stillpoint, a stillpoint-agent and a stillpoint-conformance that run from node_modules', function () {
    this.timeout(120_000);
    const packed = run('bash', [join(ROOT, 'scripts/package'), folder.path]);
    expect(packed.status, packed.output).to.equal(0);
    const archive = readdirSync(folder.path).find((name) => name.endsWith('.tgz')) ?? '';
    const place = join(folder.path, 'node_modules', 'stillpoint');
    mkdirSync(place, { recursive: true });
    expect(
      run('tar', ['-xzf', join(folder.path, archive), '-C', place, '--strip-components=1']).status,
    ).to.equal(0);
    // Its dependencies are those of the project.
    symlinkSync(join(ROOT, 'node_modules'), join(place, 'node_modules'));

    const version = run(process.execPath, [join(place, 'dist/stillpoint.js'), '--version']);
    expect(version.output.trim()).to.match(/^\d+\.\d+\.\d+$/);
    const agent = run(process.execPath, [join(place, 'dist/stillpoint-agent.js'), '--help']);
    expect(agent.output).to.contain('Example: stillpoint-agent --config');
    const conformance = run(process.execPath, [join(place, 'dist/stillpoint-conformance.js'), '--list']);
    expect(conformance.output).to.contain('rest-acknowledges-nothing');
    const pki = run(process.execPath, [
      join(place, 'dist/stillpoint.js'),
      'pki',
      'init',
      join(folder.path, 'pki'),
    ]);
    expect(pki.status, pki.output).to.equal(0);
  });
});

import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../../lab/processes.ts';
import type { BootedHost } from './booted-host.ts';
import { run } from './machine.ts';
import { hasProgram, NoLabHere } from './tools.ts';

/** What was built before to make packages. */
const KEPT = 'node_modules/.cache/stillpoint-packages';

const MAKING_MS = 600_000;

let made: Promise<string> | null = null;

/** Installs the package with apt, as its users do. One that is there already is left as it is. */
export async function installStillpoint(
  hosts: readonly BootedHost[],
  say: (words: string) => void,
): Promise<void> {
  const file = await packageFile(say);
  const name = basename(file);
  // Two at a time: it is work for the processor.
  const waiting = [...hosts];
  const worker = async (): Promise<void> => {
    for (let host = waiting.shift(); host !== undefined; host = waiting.shift()) {
      if (host.try('dpkg-query --show stillpoint').code === 0) continue;
      copyFileSync(file, host.path(`/root/${name}`));
      say(`installing ${name} on ${host.name}`);
      const { code, stdout, stderr } = await host.begin(
        `apt-get install --yes --no-install-recommends ./${name} && rm ${name}`,
      );
      if (code !== 0) throw new Error(`${host.name}: ${name} cannot be installed: ${stderr}${stdout}`);
    }
  };
  await Promise.all([worker(), worker()]);
}

/** The package of these sources, made once; or the one that $STILLPOINT_DEB names. */
export function packageFile(say: (words: string) => void): Promise<string> {
  const there = process.env['STILLPOINT_DEB'];
  made ??= there === undefined ? makePackage(say) : Promise.resolve(there);
  return made;
}

async function makePackage(say: (words: string) => void): Promise<string> {
  if (!hasProgram('go') && !existsSync(join(ROOT, KEPT)))
    throw new NoLabHere('the package is made by nfpm, which needs Go (1.24 or newer)');
  say('making the package');
  const into = mkdtempSync(join(tmpdir(), 'stillpoint-package-'));
  process.once('exit', () => rmSync(into, { recursive: true, force: true }));
  const architecture = run('dpkg', ['--print-architecture']).trim();
  const args = ['deb', '--architecture', architecture, '--into', into];
  await promisify(execFile)(join(ROOT, 'scripts/package'), args, { timeout: MAKING_MS });
  const [name] = readdirSync(into).filter((file) => file.endsWith('.deb'));
  if (name === undefined) throw new Error('no package was made');
  return join(into, name);
}

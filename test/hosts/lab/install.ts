import { copyFileSync, mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { ROOT } from '../../lab/processes.ts';
import type { BootedHost } from './booted-host.ts';
import { run } from './machine.ts';

let made: string | null = null;

/** Installs the package with apt, as its users do. One that is there already is left as it is. */
export function installStillpoint(host: BootedHost, say: (words: string) => void): void {
  if (host.try('dpkg-query --show stillpoint').code === 0) return;
  made ??= process.env['STILLPOINT_DEB'] ?? makePackage(say);
  const name = basename(made);
  copyFileSync(made, host.path(`/root/${name}`));
  say(`installing ${name} on ${host.name}`);
  host.shell(`apt-get install --yes --no-install-recommends ./${name} && rm ${name}`);
}

function makePackage(say: (words: string) => void): string {
  say('making the package');
  const into = mkdtempSync(join(tmpdir(), 'stillpoint-package-'));
  const architecture = run('dpkg', ['--print-architecture']).trim();
  run(join(ROOT, 'scripts/package'), ['deb', '--architecture', architecture, '--into', into], {
    timeoutMs: 600_000,
  });
  const [name] = readdirSync(into).filter((file) => file.endsWith('.deb'));
  if (name === undefined) throw new Error('no package was made');
  return join(into, name);
}

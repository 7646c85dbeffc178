import { createHash } from 'node:crypto';
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LAB, makeDirectory, run } from './machine.ts';

const SUITE = 'bookworm';
const PACKAGES =
  'systemd systemd-sysv dbus procps iproute2 iputils-ping util-linux ca-certificates postgresql postgresql-contrib openssh-client openssh-server'.split(
    ' ',
  );

/** What is done to it beyond what apt does: each host makes a cluster of its own, as apt would have. */
const RECIPE = `
set -e
export DEBIAN_FRONTEND=noninteractive
pg_dropcluster 15 main
systemctl mask systemd-networkd.service systemd-resolved.service 2>/dev/null || true
apt-get clean
rm -f /etc/machine-id /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem
touch /etc/machine-id
`;

/** The root directory that all hosts have below their own: Debian with what apt installs. Made once, then kept. */
export function rootImage(say: (words: string) => void): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([SUITE, PACKAGES, RECIPE]))
    .digest('hex');
  const image = join(LAB, `image-${digest.slice(0, 12)}`);
  if (existsSync(image)) return image;
  say('making the root image (once, some two minutes)');
  const making = `${image}.making`;
  rmSync(making, { recursive: true, force: true });
  makeDirectory(making);
  const include = `--include=${PACKAGES.join(',')}`;
  run('debootstrap', ['--variant=minbase', include, SUITE, making, mirror()], { timeoutMs: 900_000 });
  const recipe = join(making, 'recipe');
  writeFileSync(recipe, RECIPE);
  run('chroot', [making, 'sh', '/recipe'], { timeoutMs: 120_000 });
  rmSync(recipe);
  renameSync(making, image);
  return image;
}

/** Where this machine's own apt gets its packages from. */
function mirror(): string {
  const asked = run('apt-get', [
    'indextargets',
    '--format',
    '$(REPO_URI)',
    'Created-By: Packages',
    `Codename: ${SUITE}`,
  ]);
  const [address] = asked.trim().split('\n');
  if (address !== undefined && address !== '') return address;
  throw new Error(`apt of this machine has no source for ${SUITE}: apt-get update, or see its sources`);
}

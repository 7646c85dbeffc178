import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LAB, makeDirectory, run, unmountBelow } from './machine.ts';
import { answeringMirror, SUITE } from './tools.ts';

const PACKAGES =
  'systemd systemd-sysv dbus procps iproute2 iputils-ping util-linux ca-certificates postgresql postgresql-contrib openssh-client openssh-server openjdk-17-jre-headless'.split(
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
const MAKING_MS = 600_000;

/** The root directory that all hosts have below their own: Debian with what apt installs. Made once, then kept. */
export function rootImage(say: (words: string) => void): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([SUITE, PACKAGES, RECIPE]))
    .digest('hex');
  const image = join(LAB, `image-${digest.slice(0, 12)}`);
  if (existsSync(image)) return image;
  const mirror = answeringMirror();
  say('making the root image (once, some two minutes)');
  removeImages();
  const making = makeDirectory(`${image}.making`);
  const include = `--include=${PACKAGES.join(',')}`;
  const debootstrap = ['debootstrap', '--variant=minbase', include, SUITE, making, mirror];
  // What it mounts there, and starts, goes with it; and it goes with us, however we end.
  const inside = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', ...debootstrap];
  run('setpriv', ['--pdeathsig', 'KILL', ...inside], { timeoutMs: MAKING_MS });
  const recipe = join(making, 'recipe');
  writeFileSync(recipe, RECIPE);
  run('chroot', [making, 'sh', '/recipe'], { timeoutMs: 120_000 });
  rmSync(recipe);
  renameSync(making, image);
  return image;
}

/** Images of other recipes, and what became of one that was not finished. Some that a host stands on is left. */
function removeImages(): void {
  const mounted = readFileSync('/proc/self/mounts', 'utf8');
  for (const name of readdirSync(makeDirectory(LAB))) {
    if (!name.startsWith('image-') || mounted.includes(`lowerdir=${join(LAB, name)},`)) continue;
    unmountBelow(join(LAB, name));
    rmSync(join(LAB, name), { recursive: true, force: true });
  }
}

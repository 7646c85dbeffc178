import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BootedHost } from './booted-host.ts';

/** Root of one host may log in to the others, as README's commands take it for granted. */
export function openSecureShell(from: BootedHost, hosts: readonly BootedHost[]): void {
  from.shell(
    'mkdir -p -m 700 .ssh && test -f .ssh/id_ed25519 || ssh-keygen -q -t ed25519 -N "" -f .ssh/id_ed25519',
  );
  writeFileSync(from.path('/root/.ssh/config'), 'StrictHostKeyChecking accept-new\n', { mode: 0o600 });
  const key = readFileSync(from.path('/root/.ssh/id_ed25519.pub'), 'utf8');
  for (const host of hosts) {
    const folder = host.path('/root/.ssh');
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    appendFileSync(join(folder, 'authorized_keys'), key, { mode: 0o600 });
  }
}

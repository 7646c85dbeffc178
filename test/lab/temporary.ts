import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

/** One folder for all that tests and demo put on disk, that every user may enter. */
export function labRoot(): string {
  const root = join(tmpdir(), `stillpoint-lab-${userInfo().uid}`);
  mkdirSync(root, { recursive: true });
  chmodSync(root, 0o755);
  return root;
}

/** A new folder under the lab root; `remove` takes it away with everything in it. */
export function temporaryFolder(name: string): { path: string; remove(): void } {
  const path = mkdtempSync(join(labRoot(), `${name}-`));
  chmodSync(path, 0o755);
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

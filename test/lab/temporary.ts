import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

const NAME = `stillpoint-lab-${userInfo().uid}`;

/** One folder for all that tests and demo put on disk, that every user may enter. */
export function labRoot(): string {
  return enteredByAll(join(tmpdir(), NAME));
}

/** For what is made once on this machine and kept: on its disk too where scripts/test has its files in memory. */
export function keptRoot(): string {
  return enteredByAll(join(process.env['STILLPOINT_KEPT'] ?? tmpdir(), NAME));
}

function enteredByAll(folder: string): string {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
  return folder;
}

/** A new folder under the lab root; `remove` takes it away with everything in it. */
export function temporaryFolder(name: string): { path: string; remove(): void } {
  const path = mkdtempSync(join(labRoot(), `${name}-`));
  chmodSync(path, 0o755);
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** As `temporaryFolder`; one that is named is its owner's, who removes it. */
export function placeOf(named: string | undefined, name: string): { path: string; remove(): void } {
  return named === undefined ? temporaryFolder(name) : { path: named, remove: () => undefined };
}

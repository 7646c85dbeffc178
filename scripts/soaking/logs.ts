import { readFileSync, statSync } from 'node:fs';
import type { TestGrid } from '../../test/lab/grid.ts';

/** More of a log than this is cut off at its beginning. */
const MOST_CHARACTERS = 8000;

/** How long each agent's log is now, in bytes, by host. */
export function logSizes(grid: TestGrid): ReadonlyMap<string, number> {
  return new Map(grid.hosts.map(({ address, log }) => [address, statSync(log).size]));
}

/** What each agent has said since then. */
export function logsSince(grid: TestGrid, before: ReadonlyMap<string, number>): string[] {
  return grid.hosts.map(({ address, log }) => {
    const said = readFileSync(log)
      .subarray(before.get(address) ?? 0)
      .toString();
    return `-- the agent of ${address}:\n${said.slice(-MOST_CHARACTERS)}`;
  });
}

import { readFileSync, statSync } from 'node:fs';
import type { TestGrid } from '../../test/lab/grid.ts';
import { processorMs } from '../../test/lab/process-figures.ts';

/** More of a log than this is cut off at its beginning. */
const MOST_CHARACTERS = 8000;

/**
 * What is printed with a violation: the log of every agent since the checkpoint began, and how long it waited
 * for a processor in that time, so that a machine that was too busy is seen.
 */
export class Evidence {
  readonly #grid: TestGrid;
  readonly #since = performance.now();
  readonly #before: readonly { readonly pid: number; readonly logBytes: number; readonly waitedMs: number }[];

  constructor(grid: TestGrid) {
    this.#grid = grid;
    this.#before = grid.hosts.map(({ log }, host) => {
      const pid = grid.agents[host]?.pid ?? 0;
      return { pid, logBytes: statSync(log).size, waitedMs: waitedMs(pid) };
    });
  }

  tell(): string {
    const lastedMs = Math.round(performance.now() - this.#since);
    const told = this.#grid.hosts.map(({ address, log }, host) => {
      const { pid = 0, logBytes = 0, waitedMs: before = 0 } = this.#before[host] ?? {};
      const waited = Math.round(waitedMs(pid) - before);
      const life =
        this.#grid.agents[host]?.pid === pid
          ? `which waited ${waited} of ${lastedMs} ms for a processor`
          : 'started anew';
      const said = readFileSync(log).subarray(logBytes).toString().slice(-MOST_CHARACTERS);
      return `-- the agent of ${address}, ${life}:\n${said}`;
    });
    return told.join('\n');
  }
}

/** 0 for a process that is gone. */
function waitedMs(pid: number): number {
  try {
    return processorMs(pid).waited;
  } catch {
    return 0;
  }
}

import type { TestGrid } from '../../test/lab/grid.ts';
import { descriptorsOf, residentMb, threadsOf, ticksIn } from '../../test/lab/process-figures.ts';
import { until } from '../../test/lab/processes.ts';

/** What the kernel says of one agent after a checkpoint. */
export interface Sample {
  readonly host: string;
  /** Another one is another process: it was started anew. */
  readonly pid: number;
  readonly residentMb: number;
  readonly descriptors: number;
  readonly threads: number;
}

/** Longer than an agent keeps its threads for the next checkpoint. */
const REST_MS = 30_000;

/** The samples of a grid's agents over a run. Made when they have been started and nothing was asked of them. */
export class AgentSamples {
  readonly #grid: TestGrid;
  readonly #samples: Sample[] = [];
  /** What an agent has that has nothing to do. */
  readonly #threadsAtRest: number;

  constructor(grid: TestGrid) {
    this.#grid = grid;
    this.#threadsAtRest = Math.max(...this.#running().map(({ pid }) => threadsOf(pid).length));
  }

  /** Oldest first. */
  of(address: string): readonly Sample[] {
    return this.#samples.filter(({ host }) => host === address);
  }

  take(): void {
    for (const { host, pid } of this.#running())
      this.#samples.push({
        host,
        pid,
        residentMb: residentMb(pid),
        descriptors: descriptorsOf(pid),
        threads: threadsOf(pid).length,
      });
  }

  /** When every agent has come to rest; one that does not is taken as it is after half a minute. */
  async takeAtRest(): Promise<void> {
    const resting = this.#running().map(({ pid }) =>
      until(
        'an agent to come to rest',
        async () => threadsOf(pid).length <= this.#threadsAtRest && (await ticksIn(pid, 500)) === 0,
        REST_MS,
      ),
    );
    await Promise.allSettled(resting);
    this.take();
  }

  #running(): { host: string; pid: number }[] {
    return this.#grid.agents.flatMap((agent, index) =>
      agent === null ? [] : [{ host: this.#grid.hosts[index]?.address ?? '', pid: agent.pid }],
    );
  }
}

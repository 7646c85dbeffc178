import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import type { HoldPurpose } from '../../shared/domain/purpose.ts';
import type { HeldBy } from '../../shared/domain/wire.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { heeding, type Cancellation } from '../cancellation.ts';
import type { GridFile } from '../grid-file.ts';
import type { ProgressView } from '../progress.ts';
import { AskedHosts } from './asked-hosts.ts';
import { holdReport, type HoldReport } from './hold-report.ts';
import {
  alreadyResumed,
  forced,
  noSuchJob,
  notLetGo,
  ofOtherPurpose,
  unproven,
  type HostState,
} from './let-go-failures.ts';

export interface LetGoInput {
  readonly gridFile: GridFile;
  /** Opened when all run again: nobody stays held because it cannot be reached. */
  readonly repository: () => Promise<Repository>;
  readonly purpose: Extract<HoldPurpose, 'quiesce' | 'freeze'>;
  /** The job's token; null: whichever job of this purpose holds the grid. */
  readonly job: string | null;
  /** Agents end it, whatever the job says or does not say. */
  readonly force: boolean;
  readonly cancellation: Cancellation;
  readonly progress: ProgressView;
}

const AGAIN_MS = 500;
/** The job's own steps, and what the agents need when it is gone: after that it is told who may still be held. */
const STEPS_MS = 150_000;
const LEASES = 3;
/** Where no agent that answers knows of the job any more, those that do not are tried so often. */
const SILENT_TRIES = 4;

/**
 * Has the job that holds the grid let go, from elsewhere, and waits until it has. Resolves when its members run and have
 * proven that they held. Rejects with exit code 3 where there is no such job, 6 where what was held is not proven, and 5
 * where somebody may still be held: it was tried until then.
 */
export async function letGoOf(input: LetGoInput): Promise<HoldReport> {
  // At the first word it asks no more, and looks who is held; the second ends that look too.
  const hosts = new AskedHosts(input.gridFile, input.cancellation.second);
  try {
    return await new LettingGo(input, hosts).run();
  } finally {
    hosts.close();
  }
}

class LettingGo {
  readonly #input: LetGoInput;
  readonly #hosts: AskedHosts;

  constructor(input: LetGoInput, hosts: AskedHosts) {
    this.#input = input;
    this.#hosts = hosts;
  }

  async run(): Promise<HoldReport> {
    const { progress, purpose, force, cancellation } = this.#input;
    const held = await heeding(cancellation.signal, this.#find());
    progress.phase(null, 'thaw', `job ${held.operation} of ${held.holder}`);
    const failure = await this.#ask(held);
    const states = await this.#hosts.states(held);
    const { unreached } = this.#hosts;
    const isHeld = states.some(({ members }) => members.some(({ state }) => state === 'frozen'));
    if (isHeld || unreached.length > 0)
      throw notLetGo({ held, purpose, force, hosts: states, failure, unreached });
    if (force) throw forced(held, purpose, states);
    return this.#proven(held, states);
  }

  /** Until it is over, or for as long as it is worth it. Resolves with what kept the last word from being taken. */
  async #ask(held: HeldBy): Promise<Failure | null> {
    const { gridFile, force, cancellation } = this.#input;
    const until = performance.now() + STEPS_MS + LEASES * gridFile.leaseSeconds * 1000;
    let failure: Failure | null = null;
    let silent = 0;
    while (performance.now() < until && !cancellation.signal.aborted) {
      const answers = await this.#hosts.letGo(held.operation, force);
      // A host that is done with it has no such job any more.
      failure = answers.find((one) => one !== null && one.code !== 'no-job') ?? null;
      const isHeld = (await this.#hosts.held()).some((one) => one?.operation === held.operation);
      if (!isHeld) {
        if (this.#hosts.unreached.length === 0) return failure;
        silent += 1;
        if (silent === SILENT_TRIES) return failure;
      }
      await heeding(cancellation.signal, pause(AGAIN_MS)).catch(() => undefined);
    }
    return failure;
  }

  /** Every agent that answers is asked: one that was started anew knows nothing of the job. */
  async #find(mayBegin = true): Promise<HeldBy> {
    const { purpose, job } = this.#input;
    const holding = (await this.#hosts.held()).flatMap((held) => held ?? []);
    const asked = holding.filter((held) =>
      job === null ? held.purpose?.type === purpose : held.operation === job,
    );
    // A host of which no member takes part knows the job, and not what it is for.
    const found = asked.find((held) => held.purpose !== null) ?? asked[0];
    if (found === undefined) return this.#notFound(holding[0] ?? null, mayBegin);
    if (found.purpose?.type !== purpose) throw ofOtherPurpose(found, purpose);
    return found;
  }

  async #notFound(other: HeldBy | null, mayBegin: boolean): Promise<HeldBy> {
    const { purpose, job, force } = this.#input;
    const isThaw = purpose === 'freeze' && !force && other === null;
    if (isThaw && mayBegin) {
      // Each leaves in its members' logs that nothing was frozen.
      const answers = await this.#hosts.letGo('', false);
      // Of a freeze that has begun since, the job was asked to let go: then it is the one that is waited for.
      if (answers.includes(null)) return this.#find(false);
    }
    const hosts = await this.#hosts.states(null);
    const { unreached } = this.#hosts;
    throw isThaw
      ? alreadyResumed({ held: null, purpose, hosts, unreached })
      : noSuchJob({ purpose, job, other, hosts, unreached });
  }

  /** It was committed when every member had proven that it held, and never else. */
  async #proven(held: HeldBy, hosts: readonly HostState[]): Promise<HoldReport> {
    const { purpose } = this.#input;
    const manifest = held.checkpoint === null ? null : await this.#committed(held.checkpoint, hosts);
    if (manifest === null) throw alreadyResumed({ held, purpose, hosts, unreached: [] });
    return holdReport(manifest, { job: held.operation, purpose, heldMs: null });
  }

  async #committed(checkpoint: string, hosts: readonly HostState[]): Promise<GridManifest | null> {
    const { gridFile, repository, cancellation } = this.#input;
    try {
      const opened = await heeding(cancellation.signal, repository());
      return await heeding(cancellation.signal, opened.readCheckpoint(gridFile.grid, checkpoint));
    } catch (error) {
      if (error instanceof StillpointError && error.failure.code === 'checkpoint-missing') return null;
      throw unproven(checkpoint, hosts, error);
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

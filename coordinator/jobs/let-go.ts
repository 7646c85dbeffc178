import { failureOf, StillpointError, type Failure } from '../../shared/domain/errors.ts';
import type { HoldPurpose } from '../../shared/domain/purpose.ts';
import type { HeldBy } from '../../shared/domain/wire.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { AgentConnection, type AskedJob } from '../agents.ts';
import { heeding, type Cancellation } from '../cancellation.ts';
import type { GridFile } from '../grid-file.ts';
import type { ProgressView } from '../progress.ts';
import {
  alreadyResumed,
  forced,
  noSuchJob,
  notLetGo,
  ofOtherPurpose,
  type HostState,
} from './let-go-failures.ts';
import { holdReport, type HoldReport } from './hold-report.ts';

export interface LetGoInput {
  readonly gridFile: GridFile;
  readonly repository: Repository;
  readonly purpose: Extract<HoldPurpose, 'quiesce' | 'freeze'>;
  /** The job's token; null: whichever job of this purpose holds the grid. */
  readonly job: string | null;
  /** Agents end it, whatever the job says or does not say. */
  readonly force: boolean;
  readonly cancellation: Cancellation;
  readonly progress: ProgressView;
}

const CONNECT_MS = 5000;
const AGAIN_MS = 1000;
/** The job's own steps, and what the agents need when it is gone: after that it is told who may still be held. */
const STEPS_MS = 150_000;
const LEASES = 3;

/**
 * Has the job that holds the grid let go, from elsewhere, and waits until it has. Resolves when its members run and have
 * proven that they held. Rejects with exit code 3 where there is no such job, 6 where what was held is not proven, and 5
 * where somebody may still be held: it was tried until then.
 */
export async function letGoOf(input: LetGoInput): Promise<HoldReport> {
  const { gridFile, cancellation } = input;
  const opened = await Promise.all(
    gridFile.agents.map(async (address) => ({
      address,
      ...(await reached(gridFile, address, cancellation)),
    })),
  );
  const hosts = opened.flatMap(({ connection }) => connection ?? []);
  try {
    cancellation.signal.throwIfAborted();
    return await new LettingGo(
      input,
      hosts,
      opened.flatMap(({ failure }) => failure ?? []),
    ).run();
  } finally {
    for (const connection of hosts) connection.close();
  }
}

async function reached(
  gridFile: GridFile,
  address: string,
  { signal }: Cancellation,
): Promise<{ connection: AgentConnection; failure: null } | { connection: null; failure: Failure }> {
  try {
    return { connection: await AgentConnection.open(gridFile, address, CONNECT_MS, signal), failure: null };
  } catch (error) {
    return { connection: null, failure: failureOf(error, { code: 'agent-unreachable', hint: 'start it' }) };
  }
}

class LettingGo {
  readonly #input: LetGoInput;
  readonly #hosts: readonly AgentConnection[];
  readonly #unreached: readonly Failure[];

  constructor(input: LetGoInput, hosts: readonly AgentConnection[], unreached: readonly Failure[]) {
    this.#input = input;
    this.#hosts = hosts;
    this.#unreached = unreached;
  }

  async run(): Promise<HoldReport> {
    const { progress, purpose, force, cancellation } = this.#input;
    const held = await this.#find();
    progress.phase(null, 'thaw', `job ${held.operation} of ${held.holder}`);
    const until = performance.now() + STEPS_MS + LEASES * this.#input.gridFile.leaseSeconds * 1000;
    let failure: Failure | null = null;
    while (await this.#isHeld(held)) {
      if (performance.now() > until || cancellation.signal.aborted)
        throw notLetGo({
          held,
          purpose,
          force,
          hosts: await this.#states(held),
          failure,
          unreached: this.#unreached,
        });
      failure = (await this.#ask(held)) ?? failure;
      await heeding(cancellation.signal, pause(AGAIN_MS)).catch(() => undefined);
    }
    const hosts = await this.#states(held);
    if (this.#unreached.length > 0)
      throw notLetGo({ held, purpose, force, hosts, failure, unreached: this.#unreached });
    if (force) throw forced(held, purpose, hosts);
    return this.#proven(held, hosts);
  }

  /** Every agent that answers is asked: one that was started anew knows nothing of the job. */
  async #find(): Promise<HeldBy> {
    const { purpose, job } = this.#input;
    const holding = (await this.#asked()).flatMap(({ held }) => held ?? []);
    const isMeant = (held: HeldBy): boolean =>
      job === null ? held.purpose?.type === purpose : held.operation === job;
    const found = holding.find(isMeant);
    if (found === undefined) return this.#notFound(holding);
    if (found.purpose?.type !== purpose) throw ofOtherPurpose(found, purpose);
    return found;
  }

  async #notFound(holding: readonly HeldBy[]): Promise<never> {
    const { purpose, job, force } = this.#input;
    const [other] = holding;
    const states = await this.#states(null);
    if (purpose === 'quiesce' || force || other !== undefined)
      throw noSuchJob({ purpose, job, other: other ?? null, hosts: states, unreached: this.#unreached });
    // Each leaves in its members' logs that nothing was frozen.
    await Promise.allSettled(this.#hosts.map((connection) => connection.letGo('', false)));
    throw alreadyResumed({ held: null, purpose, hosts: states, unreached: this.#unreached });
  }

  async #asked(): Promise<AskedJob[]> {
    const asked = await Promise.allSettled(this.#hosts.map((connection) => connection.askJob()));
    return asked.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  }

  async #isHeld({ operation }: HeldBy): Promise<boolean> {
    return (await this.#asked()).some(({ held }) => held?.operation === operation);
  }

  /** One word is enough for a job that listens; by force every agent ends its own part. Null where it was taken. */
  async #ask({ operation }: HeldBy): Promise<Failure | null> {
    const { force } = this.#input;
    const asked = await Promise.allSettled(
      this.#hosts.map((connection) => connection.letGo(operation, force)),
    );
    if (!force && asked.some(({ status }) => status === 'fulfilled')) return null;
    const failures = asked.flatMap((result) =>
      result.status === 'fulfilled'
        ? []
        : [failureOf(result.reason, { code: 'agent-failed', hint: "see the agent's log" })],
    );
    // A host that is done with it has no such job any more.
    return failures.find(({ code }) => code !== 'no-job') ?? null;
  }

  /** The state of every member that stores data, host by host; `unknown` where its agent does not say. */
  async #states(held: HeldBy | null): Promise<HostState[]> {
    return Promise.all(
      this.#hosts.map(async (connection) => {
        const [job, described] = await Promise.allSettled([connection.askJob(), connection.describe()]);
        const isHeld =
          held !== null && job.status === 'fulfilled' && job.value.held?.operation === held.operation;
        const members = described.status === 'fulfilled' ? described.value.host.members : [];
        return {
          host: connection.host,
          members: members
            .filter(({ role }) => role === 'node')
            .map(({ name, running, frozen }) => ({
              name,
              state:
                frozen || isHeld
                  ? ('frozen' as const)
                  : running
                    ? ('running' as const)
                    : ('stopped' as const),
            })),
        };
      }),
    );
  }

  /** It was committed when every member had proven that it held, and never else. */
  async #proven(held: HeldBy, hosts: readonly HostState[]): Promise<HoldReport> {
    const { gridFile, repository, purpose } = this.#input;
    const manifest =
      held.checkpoint === null
        ? null
        : await repository.readCheckpoint(gridFile.grid, held.checkpoint).catch((error: unknown) => {
            if (error instanceof StillpointError && error.failure.code === 'checkpoint-missing') return null;
            throw error;
          });
    if (manifest === null) throw alreadyResumed({ held, purpose, hosts, unreached: [] });
    return holdReport(manifest, { job: held.operation, purpose, heldMs: null });
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

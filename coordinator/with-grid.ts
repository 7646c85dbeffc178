import { type Failure, failureOf } from '../shared/domain/errors.ts';
import type { HostDescription } from '../shared/domain/grid.ts';
import { openRepository } from '../shared/repository/open.ts';
import type { OperationLease, OperationStart, Repository } from '../shared/repository/repository.ts';
import { type AgentConnection, openAgents, throwRefused } from './agents.ts';
import { heeding } from './cancellation.ts';
import type { GridFile } from './grid-file.ts';

// The frame of every operation on a grid. What is opened, claimed or kept alive here is ended here, whatever comes, and
// in one order: the lease in the repository, the claims with their connections, the repository.

const CONNECT_TIMEOUT_MS = 5000;
const REFRESH_MS = 30_000;

interface ClaimOptions {
  /** The steps of the operation are noted on every host. */
  readonly trace?: boolean;
}

/** The agents of a grid, connected. */
export class GridAgents {
  readonly leaseMs: number;
  /** By address. Whoever loses a connection may put another in its place. */
  readonly byAddress: Map<string, AgentConnection>;

  constructor(connections: readonly AgentConnection[], leaseMs: number) {
    this.leaseMs = leaseMs;
    this.byAddress = new Map(connections.map((connection) => [connection.address, connection]));
  }

  /** In the order of the grid file. */
  get connections(): AgentConnection[] {
    return [...this.byAddress.values()];
  }

  /** Keeps every other operation off the grid until the frame ends. Rejects `grid-busy` where one has it. */
  claim(
    purpose: 'checkpoint' | 'restore',
    operation: string = crypto.randomUUID(),
    options: ClaimOptions = {},
  ): Promise<void> {
    return claimAll(this.connections, (connection) =>
      connection.claim(operation, purpose, this.leaseMs, options),
    );
  }

  /** Every host, in the order of the connections. Rejects when one of them does not answer. */
  async describe(): Promise<DescribedHost[]> {
    return Promise.all(
      this.connections.map(async (connection) => ({ connection, ...(await connection.describe()) })),
    );
  }
}

export interface DescribedHost {
  readonly connection: AgentConnection;
  readonly host: HostDescription;
  readonly repositoryId: string;
}

/** Connects to every agent of the grid file, or rejects with the first that fails; says a word to each in every quarter of a lease. */
export async function withAgents<T>(
  gridFile: GridFile,
  signal: AbortSignal,
  work: (agents: GridAgents) => Promise<T>,
): Promise<T> {
  const leaseMs = gridFile.leaseSeconds * 1000;
  const agents = new GridAgents(await openAgents(gridFile, CONNECT_TIMEOUT_MS, signal), leaseMs);
  const alive = keepAlive(() => agents.connections, leaseMs);
  try {
    return await work(agents);
  } finally {
    alive.stop();
    await closeAll(agents.connections, true);
  }
}

/**
 * Claims the grid at every agent. The first in the order of addresses decides between two coordinators that
 * come at the same moment: who has it, has the grid.
 */
async function claimAll(
  connections: readonly AgentConnection[],
  claim: (connection: AgentConnection) => Promise<unknown>,
): Promise<void> {
  const [first, ...others] = [...connections].sort((a, b) => (a.address < b.address ? -1 : 1));
  if (first !== undefined) await claim(first);
  await Promise.all(others.map(claim));
}

/** Ends the claims and the streams. A stream that is gone already needs no release. */
async function closeAll(connections: Iterable<AgentConnection>, release: boolean): Promise<void> {
  await Promise.all(
    [...connections].map(async (connection) => {
      if (release && !connection.isClosed) {
        const patience = new Promise<void>((resolve) => setTimeout(resolve, 5000).unref());
        await Promise.race([connection.release().catch(() => undefined), patience]);
      }
      connection.close();
    }),
  );
}

/** Says a word to every agent often enough that no lease runs out while the coordinator lives. */
function keepAlive(connections: () => Iterable<AgentConnection>, leaseMs: number): { stop(): void } {
  const timer = setInterval(
    () => {
      for (const connection of connections()) if (!connection.isClosed) connection.keepAlive();
    },
    Math.max(50, leaseMs / 4),
  );
  return { stop: () => clearInterval(timer) };
}

/** Opens the repository; the signal ends the wait for one that hangs. Where it cannot be opened, nothing was touched. */
export async function withRepository<T>(
  location: string,
  signal: AbortSignal,
  work: (repository: Repository) => Promise<T>,
  refuse: (error: unknown) => never = throwRefused,
): Promise<T> {
  const repository = await heeding(signal, openRepository(location)).catch(refuse);
  try {
    return await work(repository);
  } finally {
    await repository.close();
  }
}

/**
 * Stands in the repository while `work` runs, so that no garbage collection takes what it stores or reads. `refuse`: how
 * it is told that it cannot begin, where nothing was touched before.
 */
export async function withRepositoryLease<T>(
  repository: Repository,
  operation: OperationStart,
  work: (lease: OperationLease) => Promise<T>,
  refuse?: (error: unknown) => never,
): Promise<T> {
  const lease = await repository.beginOperation(operation).catch(refuse);
  const refreshing = setInterval(() => void lease.refresh().catch(() => undefined), REFRESH_MS);
  try {
    return await work(lease);
  } finally {
    clearInterval(refreshing);
    // One that cannot be ended is seen to be dead when it is silent for long.
    await lease.end().catch(() => undefined);
  }
}

/** For commands that look: what keeps the repository from being read is something they found. The signal ends the wait. */
export async function lookInRepository<T>(
  { gridFile, signal }: { readonly gridFile: Pick<GridFile, 'repository'>; readonly signal: AbortSignal },
  look: (repository: Repository) => Promise<T>,
): Promise<
  { readonly seen: T; readonly failure: null } | { readonly seen: null; readonly failure: Failure }
> {
  try {
    return { seen: await withRepository(gridFile.repository, signal, look, asItIs), failure: null };
  } catch (error) {
    signal.throwIfAborted();
    return {
      seen: null,
      failure: failureOf(error, {
        code: 'repository-failed',
        hint: 'ls -la in the directory that repository in the grid file names: it must be mounted, and for you to read',
      }),
    };
  }
}

function asItIs(error: unknown): never {
  throw error;
}

import { parseCheckpointId } from '../shared/domain/checkpoint-id.ts';
import { EXIT, failureOf, StillpointError } from '../shared/domain/errors.ts';
import type { GridManifest } from '../shared/domain/manifest.ts';
import type { SalvagedMember } from '../shared/domain/wire.ts';
import { parseGridManifest } from '../shared/repository/manifest-schema.ts';
import { EVERYTHING, type Repository } from '../shared/repository/repository.ts';
import { type AgentConnection, throwRefused } from './agents.ts';
import type { Cancellation } from './cancellation.ts';
import type { GridFile } from './grid-file.ts';
import { checkBelonging } from './preflight.ts';
import type { ProgressView } from './progress.ts';
import type { SalvageReport } from './reports.ts';
import { type GridAgents, withAgents, withRepository, withRepositoryLease } from './with-grid.ts';

export interface SalvageInput {
  readonly gridFile: GridFile;
  /** The id, a name, or `latest`: of what lies complete on the hosts. */
  readonly selector: string;
  readonly cancellation: Cancellation;
  readonly progress: ProgressView;
}

/**
 * Brings a checkpoint whose repository is gone back into a repository, from what lies of it beside the members' live
 * data: every byte is held against the digests of the time when it was captured. It is committed last, as it was
 * then; nothing on the hosts is changed.
 */
export async function salvageCheckpoint(input: SalvageInput): Promise<SalvageReport> {
  const { gridFile, cancellation } = input;
  const startedAt = performance.now();
  const manifest = await withRepository(gridFile.repository, cancellation.signal, (repository) =>
    withAgents(gridFile, cancellation.signal, async (agents) => {
      await agents.claim('checkpoint').catch(throwRefused);
      return new Salvage(input, repository, agents).run();
    }),
  );
  return {
    checkpoint: manifest.checkpoint,
    grid: manifest.grid,
    members: manifest.members.map(({ name, host, sizeBytes }) => ({ name, host, sizeBytes })),
    durationMs: Math.round(performance.now() - startedAt),
    sizeBytes: manifest.sizeBytes,
    storedBytes: manifest.storedBytes,
  };
}

class Salvage {
  readonly #input: SalvageInput;
  readonly #repository: Repository;
  readonly #agents: GridAgents;

  constructor(input: SalvageInput, repository: Repository, agents: GridAgents) {
    this.#input = input;
    this.#repository = repository;
    this.#agents = agents;
  }

  async run(): Promise<GridManifest> {
    const { grid } = this.#input.gridFile;
    this.#input.progress.phase(null, 'preflight');
    const checkpoint = await this.#select();
    const { manifest, withMetadata } = await this.#found(checkpoint);
    await this.#mustBeAbsent(checkpoint);
    const operation = { grid, id: crypto.randomUUID(), holder: `salvage ${checkpoint}` };
    const work = async (): Promise<GridManifest> => {
      try {
        this.#input.progress.phase(null, 'collect', checkpoint);
        const salvaged = await this.#salvage(checkpoint, withMetadata);
        this.#input.cancellation.signal.throwIfAborted();
        this.#input.progress.phase(null, 'commit');
        const restored = withMembers(manifest, salvaged);
        await this.#repository.commit(restored);
        return restored;
      } catch (error) {
        await this.#repository.discard(grid, checkpoint).catch(() => undefined);
        throw error;
      }
    };
    return withRepositoryLease(this.#repository, operation, work, throwRefused);
  }

  async #select(): Promise<string> {
    const { selector, gridFile } = this.#input;
    const hosts = await this.#agents.describe().catch(throwRefused);
    checkBelonging({ grid: gridFile.grid, hosts, repositoryId: this.#repository.id });
    const there = [
      ...new Set(
        hosts.flatMap(({ host }) => host.members.flatMap(({ localCheckpoints }) => localCheckpoints)),
      ),
    ].sort(byNumber);
    const meant = there.filter(
      (one) => one === selector || selector === 'latest' || parseCheckpointId(one)?.name === selector,
    );
    const newest = meant.at(-1);
    if (newest !== undefined && (selector === 'latest' || meant.length === 1)) return newest;
    throw refuse(
      meant.length > 1 ? 'checkpoint-ambiguous' : 'checkpoint-missing',
      meant.length > 1
        ? `${meant.length} checkpoints on the hosts are named ${selector}`
        : `no host has a complete copy of ${selector}`,
      there.length === 0 ? 'no copies are left on the hosts' : `there are ${there.join(', ')}`,
    );
  }

  /** All hosts must have the same checkpoint, and all who keep the metadata the same. */
  async #found(
    checkpoint: string,
  ): Promise<{ manifest: GridManifest; withMetadata: AgentConnection | null }> {
    const local = await Promise.all(
      this.#agents.connections.map(async (connection) => ({
        connection,
        ...(await connection.readLocal(checkpoint)),
      })),
    ).catch(throwRefused);
    const [text = '', other] = new Set(
      local.map(({ gridManifest }) => gridManifest).filter((one) => one !== ''),
    );
    const keeping = local.filter(({ metadataDigest }) => metadataDigest !== '');
    const [first] = keeping;
    if (
      other !== undefined ||
      keeping.some(({ metadataDigest }) => metadataDigest !== first?.metadataDigest)
    ) {
      throw refuse(
        'local-copies-differ',
        `the copies of ${checkpoint} on the hosts are not of one checkpoint`,
        `compare grid.json and metadata/ on ${local.map(({ connection }) => connection.host).join(', ')}`,
      );
    }
    return {
      manifest: parseGridManifest(text, `grid.json of ${checkpoint}`),
      withMetadata: first?.connection ?? null,
    };
  }

  async #mustBeAbsent(checkpoint: string): Promise<void> {
    const { grid } = this.#input.gridFile;
    const entries = await this.#repository.list(grid, EVERYTHING);
    const entry = entries.find((one) => one.checkpoint === checkpoint);
    if (entry === undefined) return;
    if (entry.state === 'uncommitted') return this.#repository.discard(grid, checkpoint);
    throw refuse(
      'checkpoint-exists',
      `the repository has ${checkpoint}; it is ${entry.state}`,
      entry.state === 'valid'
        ? 'restore it from there'
        : `delete it there first: stillpoint checkpoint delete ${checkpoint}`,
    );
  }

  async #salvage(checkpoint: string, withMetadata: AgentConnection | null): Promise<SalvagedMember[]> {
    const stored = await Promise.allSettled(
      this.#agents.connections.map((connection) =>
        connection.salvage(checkpoint, connection === withMetadata),
      ),
    );
    const failed = stored.find((result) => result.status === 'rejected');
    if (failed !== undefined) {
      const failure = failureOf(failed.reason, { code: 'agent-failed', hint: "see the agent's log" });
      throw new StillpointError(failure, EXIT.invalid, { cause: failed.reason });
    }
    return stored.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
  }
}

/** The checkpoint as it was, with its members as they are stored now. */
function withMembers(manifest: GridManifest, salvaged: readonly SalvagedMember[]): GridManifest {
  const stored = new Map(salvaged.map((member) => [member.name, member]));
  const missing = manifest.members.filter(({ name }) => !stored.has(name)).map(({ name }) => name);
  if (missing.length > 0) {
    throw new StillpointError(
      {
        code: 'checkpoint-incomplete',
        message: `the hosts have no copy of ${missing.join(', ')} in ${manifest.checkpoint}`,
        hint: 'only processes that take part by themselves keep copies; all of them must be there',
      },
      EXIT.invalid,
    );
  }
  const members = manifest.members.map((member) => {
    const { manifestDigest, sizeBytes, storedBytes } = stored.get(member.name) ?? member;
    return { ...member, manifestDigest, sizeBytes, storedBytes };
  });
  const storedBytes = members.reduce((sum, member) => sum + member.storedBytes, 0);
  return { ...manifest, members, storedBytes };
}

function byNumber(a: string, b: string): number {
  const [first, second] = [parseCheckpointId(a), parseCheckpointId(b)];
  if (first === null || second === null) return 0;
  return first.epoch - second.epoch || first.counter - second.counter;
}

function refuse(code: string, message: string, hint: string): StillpointError {
  return new StillpointError({ code, message, hint, phase: 'preflight' }, EXIT.refused);
}

import { checkCheckpointName, formatCheckpointId } from '../../shared/domain/checkpoint-id.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { counted } from '../../shared/runtime/counted.ts';
import type { Logger } from '../../shared/runtime/log.ts';
import type { Reach } from '../../shared/runtime/moments.ts';
import { throwRefused } from '../agents.ts';
import { heeding, type Cancellation } from '../cancellation.ts';
import type { GridFile } from '../grid-file.ts';
import { bestEffort, sweepUncommitted } from '../leftovers.ts';
import { numberNext } from '../operation-run.ts';
import { checkBelonging, checkHosts } from '../preflight.ts';
import type { ProgressView } from '../progress.ts';
import type { ImportReport } from '../reports.ts';
import { type GridAgents, withAgents, withRepository, withRepositoryLease } from '../with-grid.ts';
import { withGivenFile, type GivenFile } from './given-file.ts';
import { checkRoom, mustBeGiven, notWhole, ofTheArchive } from './import-failures.ts';
import { givenManifest, importedManifest, reportOf, type Accepted, type Stored } from './import-manifest.ts';
import { importTarget } from './import-target.ts';

export interface ImportInput {
  readonly gridFile: GridFile;
  /** On this host. */
  readonly file: string;
  readonly name: string;
  /** The member whose archive it is, by name or address; null: of the only group that has archives. */
  readonly member: string | null;
  /** Whether one is taken that was not made of all that its members held. */
  readonly partial: boolean;
  readonly cancellation: Cancellation;
  readonly progress: ProgressView;
  readonly log: Logger;
  readonly reach: Reach;
}

/**
 * Makes a checkpoint of an archive that the software of a member wrote without us. The file lies on this host: its bytes
 * go into the repository first, as what is never committed; the member's agent reads them there, all of them, as its
 * engine does, and stores the member. The commit is last. Whatever it rejects with, nothing of it is left in the
 * repository, but where this process is killed: then what is left is listed as not committed, and the next checkpoint
 * removes it.
 */
export async function importArchive(input: ImportInput): Promise<ImportReport> {
  const { gridFile, cancellation, progress } = input;
  const { signal } = cancellation;
  checkCheckpointName(input.name);
  progress.phase(null, 'preflight');
  return withGivenFile(input.file, (given) =>
    withRepository(gridFile.repository, signal, async (repository) => {
      await heeding(signal, repository.probe()).catch(throwRefused);
      const run = new Import(input, given, repository);
      try {
        return await withAgents(gridFile, signal, (agents) => run.run(agents));
      } catch (error) {
        // No agent works for it any more.
        await run.discard();
        throw error;
      }
    }),
  );
}

class Import {
  readonly #input: ImportInput;
  readonly #file: GivenFile;
  readonly #repository: Repository;
  readonly #startedAt = performance.now();
  /** What is not committed of it. */
  #begun: readonly string[] = [];

  constructor(input: ImportInput, file: GivenFile, repository: Repository) {
    this.#input = input;
    this.#file = file;
    this.#repository = repository;
  }

  async run(agents: GridAgents): Promise<ImportReport> {
    const { gridFile, cancellation } = this.#input;
    const id = crypto.randomUUID();
    await agents.claim('checkpoint', id).catch(throwRefused);
    const accepted = await heeding(cancellation.signal, this.#preflight(agents));
    const operation = { grid: gridFile.grid, id, holder: `import ${accepted.checkpoint}` };
    return withRepositoryLease(this.#repository, operation, () => this.#import(accepted), throwRefused);
  }

  /** Best effort: what stays is listed as not committed, and goes with the next checkpoint. */
  async discard(): Promise<void> {
    const { gridFile, log } = this.#input;
    const begun = this.#begun;
    this.#begun = [];
    await bestEffort(async () => {
      for (const checkpoint of begun) await this.#repository.discard(gridFile.grid, checkpoint);
      // The bytes of an archive that was refused may be many. While others store, they stay for a later collection.
      if (begun.length > 1) await this.#repository.collectGarbage(gridFile.grid);
    }, log);
  }

  async #preflight(agents: GridAgents): Promise<Accepted> {
    const { gridFile, cancellation, name, member } = this.#input;
    const { grid } = gridFile;
    const repository = this.#repository;
    const described = await agents.describe().catch(throwRefused);
    checkHosts(described.map(({ connection, host }) => ({ asked: connection.host, said: host.host })));
    checkBelonging({ grid, hosts: described, repositoryId: repository.id });
    const target = importTarget(described, member);
    const { sizeBytes } = this.#file;
    checkRoom(sizeBytes, await repository.freeBytes(), `the repository at ${repository.location}`);
    checkRoom(
      sizeBytes,
      target.host.stateFreeBytes,
      `the state directory of the agent on ${target.host.host}`,
    );
    const { signal } = cancellation;
    const number = await numberNext({ repository, grid, described, adopt: null, signal });
    const { epoch, counter } = number;
    const at = Date.now();
    return {
      target,
      number,
      checkpoint: formatCheckpointId({ at: new Date(at), epoch, counter, name }),
      // Another time: whatever the name is, it is another one.
      given: formatCheckpointId({ at: new Date(at + 1), epoch, counter, name: 'given' }),
    };
  }

  async #import(accepted: Accepted): Promise<ImportReport> {
    const { gridFile, cancellation, partial, progress, log, reach } = this.#input;
    const { target, checkpoint, given } = accepted;
    const { connection, description } = target;
    const { name } = this.#file;
    this.#begun = [given, checkpoint];
    await sweepUncommitted(this.#repository, gridFile.grid, log);
    progress.phase(null, 'store', name);
    const stored = await this.#store(accepted);
    await reach('given', 'coordinator');
    progress.phase(null, 'read', `${name} as the state of ${description.name}`);
    connection.events.progressed = ({ phase, bytesDone, bytesTotal }) =>
      progress.bytes(`${description.name}: ${phase}`, bytesDone, bytesTotal);
    const imported = await connection
      .importArchive({ member: description.name, checkpoint, given, digest: stored.manifestDigest })
      .catch((error: unknown) => {
        throw ofTheArchive(name, error);
      });
    if (imported.leftOut !== null && !partial) throw notWhole(name, imported.leftOut);
    const member = await this.#repository.readMember(
      gridFile.grid,
      checkpoint,
      description.name,
      imported.manifestDigest,
    );
    mustBeGiven(member, target.path, stored.sha256);
    const durationMs = performance.now() - this.#startedAt;
    const manifest = importedManifest({ accepted, stored, imported, member, file: name, durationMs });
    progress.phase(null, 'commit');
    await reach('committing', 'coordinator');
    cancellation.signal.throwIfAborted();
    await this.#repository.commit(manifest);
    this.#begun = [given];
    await reach('committed', 'coordinator');
    await this.discard();
    return reportOf(manifest, imported.content);
  }

  /** Its bytes, as they are read once: what is told of them later is held against their digest. */
  async #store(accepted: Accepted): Promise<Stored> {
    const { cancellation, progress, gridFile } = this.#input;
    const { name, sizeBytes, mtimeMs, read } = this.#file;
    const { target, given } = accepted;
    const content = counted(read(cancellation.signal), (done) =>
      progress.bytes(name, done, Math.max(done, sizeBytes)),
    );
    const writer = this.#repository.beginMember(gridFile.grid, given);
    const { digest } = await writer.file({ path: target.path, mode: 0o600, mtimeMs }, content);
    const { manifestDigest, storedBytes } = await writer.finish(givenManifest(gridFile.grid, accepted));
    return { manifestDigest, storedBytes, sha256: digest };
  }
}

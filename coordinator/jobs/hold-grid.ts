import { formatCheckpointId } from '../../shared/domain/checkpoint-id.ts';
import type { Failure } from '../../shared/domain/errors.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import {
  NOT_TRUSTED,
  PURPOSE_WORDS,
  SETTLE_MS,
  type HoldPurpose,
  type Purpose,
} from '../../shared/domain/purpose.ts';
import type { CoordinatorConfig, Outcome } from '../../shared/protocol/coordinator-machine.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import type { Logger } from '../../shared/runtime/log.ts';
import type { Reach } from '../../shared/runtime/moments.ts';
import { throwRefused } from '../agents.ts';
import { heeding, type Words } from '../cancellation.ts';
import { gridManifest } from '../checkpoint-report.ts';
import { CheckpointRun } from '../checkpoint-run.ts';
import type { GridFile } from '../grid-file.ts';
import {
  failed,
  foundByMembers,
  noteWarnings,
  numberNext,
  operationRun,
  type Numbered,
} from '../operation-run.ts';
import { checkHosts } from '../preflight.ts';
import type { ProgressView } from '../progress.ts';
import { type GridAgents, withAgents, withRepository, withRepositoryLease } from '../with-grid.ts';
import { HeldJob, type Occupation } from './held-job.ts';
import { preflightHold, type HoldPreflight } from './hold-preflight.ts';
import { heldGrid, holdReport, type HoldReport } from './hold-report.ts';

export interface HoldInput {
  readonly gridFile: GridFile;
  readonly purpose: Extract<Purpose, { type: HoldPurpose }>;
  /** Consumers of logical replication outside of the grid may go on. */
  readonly allowLogical: boolean;
  /** What is done while the grid is held; null where it is held for an instant. */
  readonly occupation: Occupation | null;
  readonly cancellation: Words;
  readonly progress: ProgressView;
  readonly log: Logger;
  readonly reach: Reach;
}

/** An engine needs no longer to leave off what it does, or to go on with it. */
const STEP_MS = 120_000;
/** Beyond what a member may take to settle: an agent gives up before, and says why. */
const SETTLE_MARGIN_MS = 60_000;
/** Beyond what one member may take to come to rest: its own word, which says what did not, comes first. */
const FREEZE_MARGIN_MS = 5000;

/**
 * Holds all members of the grid that store data, for an instant or until the occupation is done. Resolves when they run
 * again, each has proven that it held, and that is durable in the repository. Every rejection is a StillpointError with
 * the exit code of the interface, and says every member's state.
 */
export async function holdGrid(input: HoldInput): Promise<HoldReport> {
  const { gridFile, cancellation, progress } = input;
  const { signal } = cancellation;
  const startedAt = performance.now();
  progress.phase(null, 'preflight');
  return withRepository(gridFile.repository, signal, async (repository) => {
    await heeding(signal, repository.probe()).catch(throwRefused);
    return withAgents(gridFile, signal, (agents) => new Hold(input, repository, agents, startedAt).run());
  });
}

class Hold {
  readonly #input: HoldInput;
  readonly #repository: Repository;
  readonly #agents: GridAgents;
  readonly #startedAt: number;
  /** Its token: every agent is claimed for it, and whoever names it is the job, or was told by it. */
  readonly #job = crypto.randomUUID();

  constructor(input: HoldInput, repository: Repository, agents: GridAgents, startedAt: number) {
    this.#input = input;
    this.#repository = repository;
    this.#agents = agents;
    this.#startedAt = startedAt;
  }

  async run(): Promise<HoldReport> {
    const { gridFile, cancellation, progress, purpose } = this.#input;
    const { grid } = gridFile;
    await this.#agents.claim('checkpoint', this.#job).catch(throwRefused);
    const { preflight, number } = await heeding(cancellation.signal, this.#preflight());
    noteWarnings(progress, preflight.warnings);
    const name = PURPOSE_WORDS[purpose.type].replaceAll(' ', '-');
    const checkpoint = formatCheckpointId({ at: new Date(), ...number, name });
    const holder = `${PURPOSE_WORDS[purpose.type]} ${checkpoint}`;
    const work = async (): Promise<HoldReport> => {
      await this.#input.reach('accepted', 'coordinator');
      return this.#hold(checkpoint, number, preflight);
    };
    return withRepositoryLease(this.#repository, { grid, id: this.#job, holder }, work, throwRefused);
  }

  async #preflight(): Promise<{ preflight: HoldPreflight; number: Numbered }> {
    const { gridFile, cancellation, purpose, allowLogical } = this.#input;
    const { grid, copysets = null, realm = null } = gridFile;
    const repository = this.#repository;
    const { signal } = cancellation;
    const hosts = await this.#agents.describe().catch(throwRefused);
    checkHosts(hosts.map(({ connection, host }) => ({ asked: connection.host, said: host.host })));
    const repositoryId = repository.id;
    const preflight = preflightHold({ grid, copysets, realm, hosts, repositoryId, allowLogical, purpose });
    return {
      preflight,
      number: await numberNext({ repository, grid, described: hosts, adopt: null, signal }),
    };
  }

  async #hold(checkpoint: string, number: Numbered, preflight: HoldPreflight): Promise<HoldReport> {
    const { gridFile, purpose, allowLogical, occupation, cancellation, progress, log } = this.#input;
    const { grid } = gridFile;
    const { type } = purpose;
    let manifest: GridManifest | null = null;
    const job = new HeldJob({
      occupation,
      waitsForMembers: type === 'quiesce',
      grid: (held) => heldGrid({ job: this.#job, purpose: type, checkpoint, grid, held, preflight }),
      reached: () => this.#input.reach('held', 'coordinator'),
    });
    const run = operationRun({
      gridFile,
      agents: this.#agents,
      operation: this.#job,
      checkpoint,
      purpose,
      number,
      members: preflight.members,
      maintenance: false,
      allowLogical,
      deadlines: deadlinesOf(purpose),
      cancellation,
      progress,
      log,
      commit: async (proof) => {
        const found = await foundByMembers(this.#repository, grid, checkpoint, proof);
        noteWarnings(progress, found);
        const identity = { checkpoint, lineage: number.lineage };
        const durationMs = performance.now() - this.#startedAt;
        const report = preflight;
        manifest = gridManifest({ gridFile, identity, proof, purpose: type, report, found, durationMs });
        await this.#input.reach('committing', 'coordinator');
        await this.#repository.commit(manifest);
        await this.#input.reach('committed', 'coordinator');
      },
    });
    const outcome = await drive(run, job, cancellation.letGo);
    await occupation?.end(outcome.kind === 'committed' ? 'proven' : 'failed');
    if (outcome.kind === 'committed' && manifest !== null)
      return holdReport(manifest, { job: this.#job, purpose: type, heldMs: job.heldMs });
    await this.#repository
      .discard(grid, checkpoint)
      .catch((error: unknown) => log.warn({ event: 'leftoversStay', err: error }, 'its manifests stay'));
    if (outcome.kind === 'committed') throw new Error('committed without a manifest');
    throw failed({ ...outcome, failure: toldFailure(outcome.failure, job) }, number.addressOf);
  }
}

function deadlinesOf(purpose: HoldInput['purpose']): Partial<CoordinatorConfig['deadlines']> {
  if (purpose.type !== 'quiesce') return { prepareMs: STEP_MS, collectMs: STEP_MS };
  return {
    prepareMs: SETTLE_MS + SETTLE_MARGIN_MS,
    freezeMs: purpose.timeOutMs + FREEZE_MARGIN_MS,
    collectMs: STEP_MS,
  };
}

async function drive(
  input: ReturnType<typeof operationRun>,
  job: HeldJob,
  letGo: AbortSignal,
): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const run = new CheckpointRun({ ...input, job }, resolve);
  job.drives(run);
  const terminated = (): void => job.terminated();
  letGo.addEventListener('abort', terminated, { once: true });
  run.start();
  if (letGo.aborted) terminated();
  return promise.finally(() => letGo.removeEventListener('abort', terminated));
}

/** With the words of all members that did not come to rest; and what it means for the copies, where there are any. */
function toldFailure(failure: Failure, { failures, heldMs }: HeldJob): Failure {
  const isOfMember = failures.has(failure.member ?? '');
  const others = [...failures].flatMap(([member, { message }]) =>
    isOfMember && member !== failure.member ? [message] : [],
  );
  return {
    ...failure,
    message: [failure.message, ...others].join('; '),
    hint:
      heldMs === null || failure.hint.includes(NOT_TRUSTED)
        ? failure.hint
        : `${NOT_TRUSTED}; ${failure.hint}`,
  };
}

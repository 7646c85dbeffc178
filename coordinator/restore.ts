import {
  EXIT,
  failureOf,
  StillpointError,
  type Failure,
  type MemberState,
  type Phase,
} from '../shared/domain/errors.ts';
import type { GridManifest, GridManifestMember } from '../shared/domain/manifest.ts';
import type { RestoreStep, RestoreStepResult } from '../shared/domain/wire.ts';
import { openRepository } from '../shared/repository/open.ts';
import type { Repository } from '../shared/repository/repository.ts';
import { reach } from '../shared/runtime/hooks.ts';
import type { Logger } from '../shared/runtime/log.ts';
import { type AgentConnection, claimAll, closeAll, keepAlive, openAgents, refused } from './agents.ts';
import type { Cancellation } from './cancellation.ts';
import type { GridFile } from './grid-file.ts';
import { joinLineage, lineageAfterRestore } from './lineage.ts';
import { decidePrepared, type FoundPrepared } from './prepared-decisions.ts';
import type { ProgressView } from './progress.ts';
import type { RestoreReport } from './reports.ts';
import { checkRestorable } from './restore-check.ts';
import { checkTargets } from './restore-target.ts';
import { planRestore, startWaves, type PlannedMember, type RestorePlan } from './restore-plan.ts';

export interface RestoreInput {
  readonly gridFile: GridFile;
  readonly repositoryLocation: string;
  /** The checkpoint to restore, read from the repository. */
  readonly manifest: GridManifest;
  readonly maps: ReadonlyMap<string, string>;
  readonly stop: boolean;
  readonly dryRun: boolean;
  readonly cancellation: Cancellation;
  readonly progress: ProgressView;
  readonly log: Logger;
}

const CONNECT_TIMEOUT_MS = 5000;

/**
 * Brings the whole grid back from a checkpoint: plan, stop check, stage, switch, start, verify. A failure in
 * any step puts the old directories back on every host (exit 7). Resolves when every member was verified and
 * the decision `restored` stands in the repository.
 */
export async function restoreGrid(input: RestoreInput): Promise<RestoreReport> {
  const startedAt = performance.now();
  const repository = await openRepository(input.repositoryLocation).catch(refusedInPlan);
  let connections: AgentConnection[] = [];
  try {
    input.progress.phase(null, 'plan');
    connections = await openAgents(input.gridFile, CONNECT_TIMEOUT_MS, input.cancellation.signal);
    return await new GridRestore(input, repository, connections, startedAt).run();
  } finally {
    await closeAll(connections, true);
    await repository.close();
  }
}

class GridRestore {
  readonly #input: RestoreInput;
  readonly #repository: Repository;
  readonly #connections: ReadonlyMap<string, AgentConnection>;
  readonly #startedAt: number;
  readonly #restoreId = crypto.randomUUID();
  #phase: Phase = 'plan';

  constructor(
    input: RestoreInput,
    repository: Repository,
    connections: readonly AgentConnection[],
    startedAt: number,
  ) {
    this.#input = input;
    this.#repository = repository;
    this.#connections = new Map(connections.map((connection) => [connection.address, connection]));
    this.#startedAt = startedAt;
    for (const connection of connections) {
      connection.events.progressed = ({ member, bytesDone, bytesTotal }) =>
        input.progress.bytes(member, bytesDone, bytesTotal);
    }
  }

  async run(): Promise<RestoreReport> {
    const { gridFile } = this.#input;
    const leaseMs = gridFile.leaseSeconds * 1000;
    const alive = keepAlive(() => this.#connections.values(), leaseMs);
    try {
      await claimAll([...this.#connections.values()], this.#restoreId, 'restore', leaseMs).catch(
        refusedInPlan,
      );
      const plan = await this.#plan();
      if (this.#input.dryRun)
        return this.#report(plan, {
          bytes: 0,
          prepared: [],
          warnings: [],
          verified: false,
          state: 'planned',
        });
      await this.#stopCheck(plan);
      return await this.#restore(plan);
    } finally {
      alive.stop();
    }
  }

  async #plan(): Promise<RestorePlan> {
    const connections = [...this.#connections.values()];
    const described = await Promise.all(connections.map((connection) => connection.describe())).catch(
      refusedInPlan,
    );
    for (const { host, repositoryId } of described) {
      if (repositoryId !== this.#repository.id) {
        throw new StillpointError(
          {
            code: 'repository-differs',
            message: `the agent on ${host.host} reads another repository than ${this.#repository.location}`,
            hint: 'let `repository` in its agent file name the same directory, mounted on every host',
            host: host.host,
            phase: 'plan',
          },
          EXIT.refused,
        );
      }
    }
    const hosts = described.map(({ host }, index) => ({ agent: connections[index]?.address ?? '', host }));
    const plan = planRestore({ manifest: this.#input.manifest, hosts, maps: this.#input.maps });
    await this.#check('sizes');
    await checkTargets({ plan, described, identityOf: (source) => this.#identityOf(source) });
    for (const warning of plan.warnings) this.#input.progress.note(`warning: ${warning}`);
    return plan;
  }

  async #identityOf({ name, manifestDigest }: GridManifestMember): Promise<string> {
    const { grid, checkpoint } = this.#input.manifest;
    return (await this.#repository.readMember(grid, checkpoint, name, manifestDigest)).member.dataIdentity;
  }

  /** Of a damaged checkpoint nothing is restored, and for it nothing is stopped. */
  #check(depth: 'sizes' | 'bytes'): Promise<void> {
    const { manifest, progress, cancellation } = this.#input;
    const checked = checkRestorable({
      repository: this.#repository,
      manifest,
      depth,
      phase: this.#phase,
      progress: (done, total) => progress.bytes('bytes verified', done, total),
    });
    return cancellable(checked, cancellation.signal);
  }

  /**
   * Nothing is written while a process of the target grid runs anywhere. Before the first is stopped, every byte is
   * read; where none runs there is nothing to lose, and staging reads them all before anything is replaced.
   */
  async #stopCheck(plan: RestorePlan): Promise<void> {
    this.#enter('stop check');
    if (this.#input.stop && (await this.#running(plan)).length > 0) {
      await this.#check('bytes');
      this.#input.cancellation.signal.throwIfAborted();
      for (const wave of startWaves(plan.members).reverse())
        await this.#each(wave, { type: 'stop' }).catch(refusedInPlan);
    }
    const running = await this.#running(plan);
    const [first] = running;
    if (first === undefined) return;
    throw new StillpointError(
      {
        code: 'member-running',
        message: `${running.map((member) => `${member.name} on ${member.to.host}`).join(', ')} still running`,
        hint: 'stop every process of the target grid first, or let --stop do it',
        host: first.to.host,
        member: first.name,
        phase: 'stop check',
        members: plan.members.map((member) => ({
          name: member.name,
          state: running.includes(member) ? 'running' : 'stopped',
        })),
      },
      EXIT.refused,
    );
  }

  async #running(plan: RestorePlan): Promise<PlannedMember[]> {
    const answers = await this.#each(plan.members, { type: 'isRunning' }).catch(refusedInPlan);
    return plan.members.filter((_, index) => {
      const answer = answers[index];
      return answer?.type === 'running' && answer.running;
    });
  }

  async #restore(plan: RestorePlan): Promise<RestoreReport> {
    const { manifest } = this.#input;
    let bytes = 0;
    const found: FoundPrepared[] = [];
    const warnings: string[] = [];
    try {
      this.#enter('stage');
      const staged = await this.#each(plan.members, (member) => ({
        type: 'stage',
        restoreId: this.#restoreId,
        grid: manifest.grid,
        checkpoint: manifest.checkpoint,
        source: { member: member.source.name, digest: member.source.manifestDigest },
        own: member.own === null ? null : { member: member.own.name, digest: member.own.manifestDigest },
        follow: member.follow,
      }));
      bytes = staged.reduce((sum, result) => sum + (result.type === 'done' ? result.bytes : 0), 0);
      this.#enter('switch');
      await this.#each(plan.members, { type: 'switchIn' });
      this.#enter('start');
      await this.#start(plan);
      this.#enter('verify');
      const verified = await this.#each(plan.members, { type: 'verify' });
      verified.forEach((result, index) => {
        const member = plan.members[index];
        if (result.type !== 'verified' || member === undefined) return;
        warnings.push(...result.warnings.map((warning) => `${member.name}: ${warning}`));
        if (member.follow === null)
          found.push(...result.prepared.map((prepared) => ({ ...prepared, member })));
      });
      await reach('deciding', 'coordinator');
      await this.#decideForward();
    } catch (error) {
      throw await this.#rollBack(plan, error);
    }
    const prepared = await decidePrepared({
      found,
      manifest,
      readFacts: async (member) =>
        (
          await this.#repository.readMember(
            manifest.grid,
            manifest.checkpoint,
            member.name,
            member.manifestDigest,
          )
        ).engineFacts,
      decide: async (member, gid, database, outcome) => {
        await this.#connection(member).restore(member.name, { type: 'decide', gid, database, outcome });
      },
    });
    const lineage = lineageAfterRestore(manifest, plan.members);
    warnings.push(...(await joinLineage([...this.#connections.values()], lineage)));
    warnings.push(...(await this.#finish(plan)));
    return this.#report(plan, { bytes, prepared, warnings, verified: true, state: 'restored' });
  }

  /** Wave by wave; the realm is told where its processes are before any of them asks it. */
  async #start({ members, relocation }: RestorePlan): Promise<void> {
    for (const wave of startWaves(members)) {
      await this.#each(wave, { type: 'start' });
      if (relocation !== null && wave.includes(relocation.tell))
        await this.#each([relocation.tell], { type: 'relocate', processes: relocation.processes });
    }
  }

  /** The point of no return: the first decision in the repository stands, and every agent obeys it. */
  async #decideForward(): Promise<void> {
    this.#input.cancellation.signal.throwIfAborted();
    const outcome = await this.#repository.decideRestore(
      this.#input.manifest.grid,
      this.#restoreId,
      'restored',
    );
    if (outcome === 'restored') return;
    throw new StillpointError({
      code: 'restore-decided-back',
      message: 'an agent lost this coordinator and decided to roll the restore back',
      hint: 'look at the network between coordinator and agents, then restore again',
    });
  }

  /** From here nothing turns back: what cannot be dropped now stays beside the data, and is said. */
  async #finish(plan: RestorePlan): Promise<string[]> {
    const finished = await Promise.allSettled(
      plan.members.map((member) => this.#step(member, { type: 'finish' })),
    );
    return finished.flatMap((result, index) => {
      const member = plan.members[index];
      if (result.status === 'fulfilled' || member === undefined) return [];
      const { message } = failureOf(result.reason, { code: 'finish', hint: '' });
      return [
        `${member.name}: the old directory is not dropped yet (${message}); its agent does it at its next start`,
      ];
    });
  }

  async #rollBack(plan: RestorePlan, error: unknown): Promise<StillpointError> {
    const first = failureOf(error, { code: 'restore-failed', hint: "see the agents' logs" });
    const failure: Failure = { phase: this.#phase, ...first };
    this.#input.progress.note(`rolling back: ${failure.message}`);
    const outcome = await this.#repository
      .decideRestore(this.#input.manifest.grid, this.#restoreId, 'rolledBack')
      .catch(() => 'rolledBack' as const);
    const results = await Promise.allSettled(
      plan.members.map((member) =>
        this.#step(member, outcome === 'restored' ? { type: 'finish' } : { type: 'rollBack' }),
      ),
    );
    const members = plan.members.map((member, index) => {
      const state: MemberState = results[index]?.status === 'fulfilled' ? 'stopped' : 'unknown';
      return { name: member.name, state };
    });
    const unknown = members.filter((member) => member.state === 'unknown').map((member) => member.name);
    const hint =
      unknown.length === 0
        ? failure.hint
        : `${failure.hint}; ${unknown.join(', ')} did not answer: the agent rolls back by itself, at the latest when it starts`;
    return new StillpointError({ ...failure, hint, members }, EXIT.rolledBack);
  }

  #report(
    plan: RestorePlan,
    result: Pick<RestoreReport, 'bytes' | 'prepared' | 'verified'> & {
      warnings: readonly string[];
      state: string;
    },
  ): RestoreReport {
    return {
      checkpoint: this.#input.manifest.checkpoint,
      grid: this.#input.gridFile.grid,
      members: plan.members.map((member) => ({
        name: member.name,
        from: member.from.address,
        to: member.to.address,
        state: result.state,
      })),
      relocations: plan.relocation?.moved ?? [],
      durationMs: Math.round(performance.now() - this.#startedAt),
      bytes: result.bytes,
      verified: result.verified,
      prepared: result.prepared,
      warnings: [...plan.warnings, ...result.warnings],
    };
  }

  #enter(phase: Phase): void {
    this.#input.cancellation.signal.throwIfAborted();
    this.#phase = phase;
    this.#input.log.info({ event: 'phase', phase }, phase);
    this.#input.progress.phase(null, phase);
  }

  /** The same step on several members at once. The first failure is the one told; all have ended by then. */
  async #each(
    members: readonly PlannedMember[],
    step: RestoreStep | ((member: PlannedMember) => RestoreStep),
  ): Promise<RestoreStepResult[]> {
    const { signal } = this.#input.cancellation;
    const results = await Promise.allSettled(
      members.map((member) =>
        cancellable(this.#step(member, typeof step === 'function' ? step(member) : step), signal),
      ),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  }

  async #step(member: PlannedMember, step: RestoreStep): Promise<RestoreStepResult> {
    if (step.type !== 'isRunning') this.#input.progress.phase(member.name, step.type);
    try {
      return await this.#connection(member).restore(member.name, step);
    } catch (error) {
      const failure = failureOf(error, { code: 'restore-failed', hint: "see the agent's log" });
      throw new StillpointError(
        { ...failure, member: member.name, host: member.to.host, phase: this.#phase },
        EXIT.rolledBack,
        {
          cause: error,
        },
      );
    }
  }

  #connection(member: PlannedMember): AgentConnection {
    const connection = this.#connections.get(member.to.agent);
    if (connection === undefined) throw new Error(`no connection to ${member.to.agent}`);
    return connection;
  }
}

/** Ends the wait when the person says stop; the rollback then ends what the agent is doing. */
function cancellable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = (): void => reject(signal.reason as Error);
    if (signal.aborted) return cancel();
    signal.addEventListener('abort', cancel, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', cancel));
  });
}

function refusedInPlan(error: unknown): never {
  const refusal = refused(error);
  throw new StillpointError({ ...refusal.failure, phase: 'plan' }, EXIT.refused, { cause: error });
}

import {
  EXIT,
  failureOf,
  StillpointError,
  type Failure,
  type MemberState,
  type Phase,
} from '../shared/domain/errors.ts';
import type { GridManifest, GridManifestMember, MemberManifest } from '../shared/domain/manifest.ts';
import type { RestoreStep, RestoreStepResult } from '../shared/domain/wire.ts';
import type { OperationLease, Repository } from '../shared/repository/repository.ts';
import type { Reach } from '../shared/runtime/moments.ts';
import type { Logger } from '../shared/runtime/log.ts';
import { warningLine, type Warning } from '../shared/domain/warning.ts';
import type { Cancellation } from './cancellation.ts';
import type { GridFile } from './grid-file.ts';
import { joinLineage, lineageAfterRestore } from './lineage.ts';
import { openRestored } from './open-restored.ts';
import { committedElsewhere, preparedReport } from './prepared-decisions.ts';
import type { ProgressView } from './progress.ts';
import { rehearse, takeBack, type Rehearsal } from './rehearsal.ts';
import type { PreparedDecision, RestoreReport } from './reports.ts';
import { RestoreFindings, restoreReport, type RestoreDemands } from './restore-findings.ts';
import { checkRestorable } from './restore-check.ts';
import { lookAtHosts } from './restore-look.ts';
import { checkTargets } from './restore-target.ts';
import { whileAnnounced } from './restore-announcement.ts';
import {
  decidedForward,
  refusedInPlan,
  repositoryDiffers,
  startedByOthers,
  stillRunning,
  takenForDead,
} from './restore-failures.ts';
import type { PlannedMember } from './planned-member.ts';
import { planRestore, startWaves, type RestorePlan } from './restore-plan.ts';
import { cancellable, RestoreSteps, stagePlanOf } from './restore-steps.ts';
import { RestoreVerdict } from './restore-verdict.ts';
import { planFromSet, type SetToRestore } from './sets/restore-set.ts';
import { type DescribedHost, type GridAgents, withAgents, withRepository } from './with-grid.ts';

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
  readonly reach: Reach;
  readonly rehearsal?: Rehearsal;
  /** Its members' own backups are brought to the checkpoint, of which the repository has the marks alone. */
  readonly set?: SetToRestore;
  readonly demands?: RestoreDemands;
}

/**
 * Brings the whole grid back from a checkpoint. All that can fail comes while the old grid still runs: everything is
 * looked at, staged, and proven in private; then what runs is stopped and the new directories are switched in. A
 * failure up to here puts all back on every host (exit 7). Then the decision `restored` is written into the
 * repository, and only after it the members are opened to clients. Members that cannot be proven in private are
 * started and verified before the decision.
 */
export async function restoreGrid(input: RestoreInput): Promise<RestoreReport> {
  const { repositoryLocation, gridFile, progress } = input;
  const { signal } = input.cancellation;
  const startedAt = performance.now();
  return withRepository(
    repositoryLocation,
    signal,
    (repository) => {
      progress.phase(null, 'plan');
      return withAgents(gridFile, signal, (agents) =>
        new GridRestore(input, repository, agents, startedAt).run(),
      );
    },
    refusedInPlan,
  );
}

class GridRestore {
  readonly #input: RestoreInput;
  readonly #repository: Repository;
  readonly #agents: GridAgents;
  readonly #startedAt: number;
  readonly #steps: RestoreSteps;
  readonly #restoreId: string;
  readonly #findings: RestoreFindings;
  /** Members that their agents prove where no client can reach them. */
  #private: ReadonlySet<PlannedMember> = new Set();
  readonly #wasRunning = new Set<PlannedMember>();
  #phase: Phase = 'plan';

  constructor(input: RestoreInput, repository: Repository, agents: GridAgents, startedAt: number) {
    this.#input = input;
    this.#repository = repository;
    this.#agents = agents;
    this.#startedAt = startedAt;
    this.#restoreId = input.rehearsal?.drillId ?? crypto.randomUUID();
    this.#findings = new RestoreFindings(input.demands, input.maps);
    const { connections } = agents;
    this.#steps = new RestoreSteps({
      connections,
      progress: input.progress,
      signal: input.cancellation.signal,
      phase: () => this.#phase,
      ended: (step) => input.rehearsal?.stepEnded(step),
    });
    for (const connection of connections) {
      connection.events.progressed = ({ member, bytesDone, bytesTotal }) =>
        input.progress.bytes(member, bytesDone, bytesTotal);
    }
  }

  async run(): Promise<RestoreReport> {
    const { dryRun, manifest } = this.#input;
    await this.#agents.claim('restore', this.#restoreId).catch(refusedInPlan);
    const described = await this.#agents.describe().catch(refusedInPlan);
    const plan = await this.#plan(described);
    await this.#checkHosts(plan);
    if (dryRun) return this.#report(plan, { bytes: 0, prepared: [], verified: false, state: 'planned' });
    await this.#stopCheck(plan);
    const lineage = lineageAfterRestore(
      manifest,
      plan.members,
      described.map(({ host }) => host),
    );
    return whileAnnounced(
      { repository: this.#repository, manifest, plan, restoreId: this.#restoreId, lineage },
      (lease) => this.#restore(plan, lineage, lease),
    );
  }

  async #plan(described: readonly DescribedHost[]): Promise<RestorePlan> {
    for (const { host, repositoryId } of described) {
      if (repositoryId !== this.#repository.id) {
        throw repositoryDiffers(host.host, this.#repository.location);
      }
    }
    const hosts = described.map(({ connection, host }) => ({ agent: connection.address, host }));
    const { gridFile, rehearsal, set } = this.#input;
    const planned = { ...this.#input, hosts, realm: gridFile.realm ?? null };
    const plan = set === undefined ? planRestore(planned) : planFromSet(planned, set);
    rehearsal?.planned(plan);
    if (rehearsal !== undefined)
      await this.#steps.each(plan.members, { type: 'admitDrill' }).catch(refusedInPlan);
    await this.#check('sizes');
    await checkTargets({
      plan,
      described,
      identityOf: async (source) => (await this.#manifestOf(source)).member.dataIdentity,
    });
    for (const warning of plan.warnings) this.#warn(warning);
    return plan;
  }

  #manifestOf({ name, manifestDigest }: GridManifestMember): Promise<MemberManifest> {
    const { grid, checkpoint } = this.#input.manifest;
    return this.#repository.readMember(grid, checkpoint, name, manifestDigest);
  }

  /** All that a restore needs on the hosts is there; nothing is touched. */
  async #checkHosts({ members }: RestorePlan): Promise<void> {
    const { manifest, set = null, rehearsal } = this.#input;
    const [restoreId, steps, findings] = [this.#restoreId, this.#steps, this.#findings];
    const looked = await lookAtHosts({ restoreId, manifest, members, steps, findings, set });
    this.#private = looked.private;
    for (const warning of looked.warnings) this.#warn(warning);
    rehearsal?.named(findings.addresses);
    findings.mustSatisfy('plan');
    rehearsal?.looked(looked);
  }

  /** Of a damaged checkpoint nothing is restored, and for it nothing is stopped. */
  #check(depth: 'sizes' | 'bytes'): Promise<void> {
    const { manifest, progress, cancellation } = this.#input;
    const told = (done: number, total: number): void => progress.bytes('bytes verified', done, total);
    const repository = this.#repository;
    const checked = checkRestorable({ repository, manifest, depth, phase: this.#phase, progress: told });
    return cancellable(checked, cancellation.signal);
  }

  /**
   * A process of the target grid that runs blocks the restore, but for `--stop`. Then every byte is read before
   * anything is on a host; where none runs, staging reads them all before anything is replaced.
   */
  async #stopCheck(plan: RestorePlan): Promise<void> {
    this.#enter('stop check');
    const running = await this.#steps.running(plan.members).catch(refusedInPlan);
    for (const member of running) this.#wasRunning.add(member);
    if (this.#wasRunning.size === 0) return;
    if (!this.#input.stop) throw stillRunning(plan, this.#wasRunning);
    await this.#check('bytes');
  }

  /** All is proven: only now what runs is stopped. */
  async #stop(plan: RestorePlan): Promise<void> {
    const stopped = plan.members.filter(({ traits }) => !traits.restoresRunning);
    if (this.#input.stop && (await this.#steps.running(stopped)).length > 0) {
      for (const wave of startWaves(stopped).reverse()) {
        await this.#steps.each(wave, { type: 'stop' });
      }
    }
    const running = await this.#steps.running(stopped);
    if (running.length > 0) throw startedByOthers(plan, new Set(running));
  }

  async #restore(plan: RestorePlan, lineage: string, lease: OperationLease): Promise<RestoreReport> {
    const verdict = new RestoreVerdict(this.#repository, {
      grid: this.#input.manifest.grid,
      restoreId: this.#restoreId,
      repositoryId: this.#repository.id,
    });
    let bytes = 0;
    let prepared: PreparedDecision[] = [];
    const { rehearsal } = this.#input;
    const isPrivate = (member: PlannedMember): boolean => this.#private.has(member);
    try {
      this.#enter('stage');
      const staged = await this.#steps.each(plan.members, (member) => ({
        type: 'stage',
        ...stagePlanOf(this.#restoreId, this.#input.manifest, member),
      }));
      bytes = staged.reduce((sum, result) => sum + (result.type === 'staged' ? result.bytes : 0), 0);
      this.#enter('verify');
      prepared = await this.#prove(plan, staged);
      this.#enter('switch');
      await this.#stop(plan);
      await this.#steps.each(plan.members, { type: 'switchIn' });
      if (!plan.members.every(isPrivate)) {
        this.#enter('start');
        await this.#start(plan);
        this.#enter('verify');
        const started = plan.members.filter((member) => !isPrivate(member));
        this.#verified(started, await this.#steps.each(started, { type: 'verify' }));
      }
      if (rehearsal !== undefined) {
        this.#enter('check');
        await this.#input.reach('checking', 'coordinator');
        await rehearse(plan, this.#steps, rehearsal, this.#input.cancellation);
      } else {
        await this.#input.reach('deciding', 'coordinator');
        await this.#decideForward(plan, verdict, lease);
      }
    } catch (error) {
      throw await this.#rollBack(plan, verdict, error);
    }
    if (rehearsal !== undefined) {
      if (!rehearsal.keep) await this.#takeBack(plan, verdict, rehearsal);
      return this.#report(plan, { bytes, prepared, verified: true, state: 'drilled' });
    }
    await this.#input.reach('decided', 'coordinator');
    this.#enterFinally('start');
    // Also hosts without a part of the restore; those with one join it by themselves where this coordinator dies.
    for (const warning of await joinLineage(this.#agents.connections, lineage)) this.#warn(warning);
    const waves = startWaves(plan.members);
    const step = (member: PlannedMember, what: RestoreStep): Promise<RestoreStepResult> =>
      cancellable(this.#steps.one(member, what), this.#input.cancellation.second);
    for (const warning of await openRestored({ waves, restoreId: this.#restoreId, step }))
      this.#warn(warning);
    return this.#report(plan, { bytes, prepared, verified: true, state: 'restored' });
  }

  /** Recovers what can be proven in private, commits there what other members had committed, and looks at it. */
  async #prove({ members }: RestorePlan, staged: readonly RestoreStepResult[]): Promise<PreparedDecision[]> {
    const { committed, warnings } = await committedElsewhere(
      this.#input.manifest,
      async (member) => (await this.#manifestOf(member)).engineFacts,
    );
    for (const warning of warnings) this.#warn(warning);
    const standbys = (primary: PlannedMember): string[] =>
      members.flatMap((member, index) => {
        const result = staged[index];
        const follows = member.follow === primary.to.address && result?.type === 'staged';
        return follows && result.followsAs !== null ? [result.followsAs] : [];
      });
    const proven = members.filter((member) => this.#private.has(member));
    const results = await this.#steps.each(proven, (member) => ({
      type: 'prove',
      committed: member.follow === null ? (committed.get(member.source) ?? []) : [],
      standbys: standbys(member),
      questions: this.#input.rehearsal?.questionsFor(member) ?? [],
      moves: member.follow === null ? this.#findings.movesOf(members) : null,
    }));
    return this.#verified(proven, results);
  }

  #verified(members: readonly PlannedMember[], results: readonly RestoreStepResult[]): PreparedDecision[] {
    const prepared = results.flatMap((result, index) => {
      const member = members[index];
      if (result.type !== 'verified' || member === undefined) return [];
      for (const warning of result.warnings) this.#warn(warning);
      this.#findings.named(member, result.addresses);
      this.#input.rehearsal?.answered(member, result.answers);
      return preparedReport(member, result.prepared);
    });
    this.#input.rehearsal?.named(this.#findings.addresses);
    this.#findings.mustSatisfy('verify');
    return prepared;
  }

  /** Wave by wave; the realm is told where its processes are before any of them asks it. */
  async #start({ members, relocation }: RestorePlan): Promise<void> {
    for (const wave of startWaves(members.filter((member) => !this.#private.has(member)))) {
      await this.#steps.each(wave, { type: 'start' });
      if (relocation !== null && wave.includes(relocation.tell))
        await this.#steps.each([relocation.tell], { type: 'relocate', processes: relocation.processes });
    }
  }

  /** Nobody decides while a host that holds a part of it cannot be reached, or while others may have taken the rest. */
  async #decideForward(plan: RestorePlan, verdict: RestoreVerdict, lease: OperationLease): Promise<void> {
    const { cancellation, progress } = this.#input;
    await this.#steps.each(plan.members, { type: 'ready' });
    if (!(await lease.refresh())) throw takenForDead();
    cancellation.signal.throwIfAborted();
    const waiting = (cause: string): void => progress.note(`waiting for the repository: ${cause}`);
    if ((await verdict.forward(waiting, cancellation.second)) === 'restored') return;
    throw new StillpointError({
      code: 'restore-decided-back',
      message: 'an agent lost this coordinator and decided to roll the restore back',
      hint: 'look at the network between coordinator and agents, then restore again',
    });
  }

  async #takeBack(plan: RestorePlan, verdict: RestoreVerdict, { drillId }: Rehearsal): Promise<void> {
    this.#enterFinally('tear down');
    await verdict.afterFailure();
    await takeBack(plan, this.#steps, drillId, (member) => this.#rolledBack(member));
  }

  async #rollBack(plan: RestorePlan, verdict: RestoreVerdict, error: unknown): Promise<StillpointError> {
    const first = failureOf(error, { code: 'restore-failed', hint: "see the agents' logs" });
    const failure: Failure = { phase: this.#phase, ...first };
    try {
      // Where `restored` stands, it is this coordinator that no more goes forward: its agents do, when it is gone.
      if ((await verdict.afterFailure()) === 'restored') throw decidedForward(this.#restoreId, failure);
    } catch (unknown) {
      return new StillpointError(
        { phase: this.#phase, ...failureOf(unknown, { code: 'restore-undecided', hint: '' }) },
        EXIT.undecided,
        { cause: error },
      );
    }
    this.#input.progress.note(`rolling back: ${failure.message}`);
    const members = await Promise.all(
      plan.members.map(async (member) => ({ name: member.name, state: await this.#rolledBack(member) })),
    );
    const unknown = members.filter((member) => member.state === 'unknown').map((member) => member.name);
    const hint =
      unknown.length === 0
        ? failure.hint
        : `${failure.hint}; ${unknown.join(', ')} did not answer: the agent rolls back by itself when it runs and reads the repository`;
    return new StillpointError({ ...failure, hint, members }, EXIT.rolledBack);
  }

  /** What a member is after its part was rolled back: asked, for a stop may have failed half way. */
  async #rolledBack(member: PlannedMember): Promise<MemberState> {
    try {
      await this.#steps.one(member, { type: 'rollBack' });
      const answer = await this.#steps.one(member, { type: 'isRunning' });
      return answer.type === 'running' && answer.running ? 'running' : 'stopped';
    } catch {
      return 'unknown';
    }
  }

  #report(
    plan: RestorePlan,
    result: Pick<RestoreReport, 'bytes' | 'prepared' | 'verified'> & { state: string },
  ): RestoreReport {
    const grid = this.#input.gridFile.grid;
    const durationMs = Math.round(performance.now() - this.#startedAt);
    return restoreReport({ ...this.#input, grid, plan, findings: this.#findings, durationMs, ...result });
  }

  #warn(warning: Warning): void {
    this.#findings.warn(warning);
    this.#input.rehearsal?.warned(warning);
    this.#input.progress.note(`warning: ${warningLine(warning)}`);
  }

  #enter(phase: Phase): void {
    this.#input.cancellation.signal.throwIfAborted();
    this.#enterFinally(phase);
  }

  #enterFinally(phase: Phase): void {
    this.#phase = phase;
    this.#input.log.info({ event: 'phase', phase }, phase);
    this.#input.progress.phase(null, phase);
  }
}

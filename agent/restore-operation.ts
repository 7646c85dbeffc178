import { assertNever } from '../shared/domain/assert-never.ts';
import { StillpointError } from '../shared/domain/errors.ts';
import type { MemberProgress } from '../shared/domain/messages.ts';
import type { RestoreStep, RestoreStepResult, StagePlan } from '../shared/domain/wire.ts';
import type { MemberManifest } from '../shared/domain/manifest.ts';
import type { Repository } from '../shared/repository/repository.ts';
import type { Reach } from '../shared/runtime/moments.ts';
import type { Logger } from '../shared/runtime/log.ts';
import { admitDrill, mustBeEmpty } from './admit-drill.ts';
import type { AgentMember } from './agent-member.ts';
import {
  relocateUnsupported,
  type ArtifactSource,
  type OpenedMember,
  type Restoration,
} from './engines/engine.ts';
import { openImage } from './open-image.ts';
import type { RestoreKeeper } from './restore-keeper.ts';
import type { RestoreRecord, StateDirectory } from './state-directory.ts';

export interface RestoreOperationContext {
  readonly members: ReadonlyMap<string, AgentMember>;
  readonly state: StateDirectory;
  readonly restoreKeeper: RestoreKeeper;
  readonly repository: () => Promise<Repository>;
  readonly log: Logger;
  readonly reach: Reach;
  progress(progress: MemberProgress): void;
}

interface OpenRestore {
  record: RestoreRecord;
  readonly restoration: Restoration;
  /** It was decided, and could not be opened: that is tried again without its coordinator, and holds up nobody. */
  notOpened: boolean;
}

/**
 * One restore's work on this host. The coordinator says each step; when it falls silent before the restore
 * was decided, this host decides `rolledBack` in the repository, where the first decision stands, and does
 * what stands there. So all hosts go the same way, forward or back, whoever dies when. What cannot be decided now
 * is left to the keeper, which asks until it knows.
 */
export class RestoreOperation {
  readonly #context: RestoreOperationContext;
  readonly #sessions = new Map<string, OpenRestore>();
  /** Members whose place a drill uses: nothing that lies there meanwhile is touched. */
  readonly #drilled = new Set<string>();
  readonly #cancelled = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();
  #ending: Promise<void> | null = null;

  constructor(context: RestoreOperationContext) {
    this.#context = context;
  }

  async perform(memberName: string, step: RestoreStep): Promise<RestoreStepResult> {
    if (step.type === 'rollBack') {
      // A step may be under way still: it must have ended before anything is put back.
      this.#cancelled.abort(takenBack());
      await Promise.all(this.#underWay);
      return this.#perform(memberName, step);
    }
    const performed = this.#perform(memberName, step);
    const settled = performed.then(
      () => undefined,
      () => undefined,
    );
    this.#underWay.add(settled);
    void settled.then(() => this.#underWay.delete(settled));
    return performed;
  }

  /** The stream is gone: ends what is not ended as the decision says. Never rejects; what fails stays recorded. */
  end(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    this.#cancelled.abort(takenBack());
    await Promise.all(this.#underWay);
    const { state, restoreKeeper, log } = this.#context;
    for (const [name, { record, restoration, notOpened }] of this.#sessions) {
      if (notOpened || record.kept === true) {
        restoreKeeper.keep(record);
        continue;
      }
      try {
        const outcome = await restoreKeeper.decide(record);
        if (outcome === 'restored') {
          await restoration.open();
          await restoration.finish();
        } else await restoration.rollBack();
        await state.clearRestore(name);
        log.warn({ event: 'restoreEnded', member: name, outcome }, 'the coordinator is gone');
      } catch (error) {
        log.error(
          { event: 'restoreLeft', member: name, err: error },
          'not ended yet; tried again until it is',
        );
        restoreKeeper.keep(record);
      }
    }
    this.#sessions.clear();
  }

  async #perform(memberName: string, step: RestoreStep): Promise<RestoreStepResult> {
    const { log } = this.#context;
    const member = this.#context.members.get(memberName);
    if (member === undefined) throw unknownMember(memberName);
    log.info({ event: 'restoreStep', member: memberName, step: step.type }, step.type);
    switch (step.type) {
      case 'isRunning':
        return { type: 'running', running: await member.engine.isRunning() };
      case 'stop':
        await member.engine.stop(this.#cancelled.signal);
        return done;
      case 'check':
        return {
          type: 'checked',
          takesQuestions: false,
          addresses: [],
          ...(await (await this.#restoration(member, step)).restoration.check(step.moves)),
        };
      case 'admitDrill':
        this.#context.restoreKeeper.mustHaveEnded(memberName);
        await admitDrill(member);
        this.#drilled.add(memberName);
        return done;
      case 'stage':
        return this.#stage(member, step);
      case 'prove': {
        if (step.questions.length > 0 && !this.#drilled.has(memberName)) throw noDrill(memberName);
        const proven = await this.#session(memberName).restoration.prove(step);
        await this.#context.reach('proven', memberName);
        return { type: 'verified', answers: [], addresses: [], ...proven };
      }
      case 'switchIn':
        if (this.#drilled.has(memberName)) await mustBeEmpty(member);
        await this.#switchIn(memberName);
        await this.#context.reach('switched', memberName);
        return done;
      case 'start':
        await this.#session(memberName).restoration.start();
        await this.#context.reach('started', memberName);
        return done;
      case 'verify': {
        const verified = await this.#session(memberName).restoration.verify();
        await this.#context.reach('verified', memberName);
        return { type: 'verified', answers: [], addresses: [], ...verified };
      }
      case 'relocate':
        if (member.engine.realm === null) throw relocateUnsupported(memberName);
        await member.engine.realm.relocate(step.processes);
        return done;
      case 'ready':
        this.#session(memberName);
        return done;
      case 'open':
        return { type: 'opened', ...(await this.#open(memberName)) };
      case 'finish':
        await this.#session(memberName).restoration.finish();
        return this.#forget(memberName);
      case 'rollBack':
        await this.#sessions.get(memberName)?.restoration.rollBack();
        return this.#forget(memberName);
      case 'keep':
        await this.#keep(memberName);
        return done;
      case 'end':
        await this.#context.restoreKeeper.endNow(memberName, step.restoreId);
        return done;
      default:
        return assertNever(step);
    }
  }

  async #restoration(
    member: AgentMember,
    plan: StagePlan,
  ): Promise<{ restoration: Restoration; repositoryId: string; bytes: () => number }> {
    this.#context.restoreKeeper.mustHaveEnded(member.name);
    const repository = await this.#context.repository();
    const read = async (of: { member: string; digest: string }): Promise<ArtifactSource> =>
      artifactSource(
        repository,
        await repository.readMember(plan.grid, plan.checkpoint, of.member, of.digest),
      );
    let bytes = 0;
    const restoration = member.engine.restoration({
      checkpoint: plan.checkpoint,
      restore: { grid: plan.grid, restoreId: plan.restoreId, repositoryId: repository.id },
      source:
        plan.image === undefined
          ? await read(plan.source)
          : await openImage(repository, member, plan, plan.image, this.#cancelled.signal),
      own: plan.own === null ? null : await read(plan.own),
      follow: plan.follow,
      signal: this.#cancelled.signal,
      progress: (bytesDone, bytesTotal) => {
        bytes = bytesDone;
        this.#context.progress({ member: member.name, phase: 'stage', bytesDone, bytesTotal, waitsFor: '' });
      },
    });
    return { restoration, repositoryId: repository.id, bytes: () => bytes };
  }

  async #stage(member: AgentMember, plan: StagePlan): Promise<RestoreStepResult> {
    if (this.#sessions.has(member.name)) throw alreadyStaged(member.name);
    if (this.#drilled.has(member.name)) await mustBeEmpty(member);
    const { restoration, repositoryId, bytes } = await this.#restoration(member, plan);
    const { grid, restoreId } = plan;
    const { isThere: replaced } = await member.engine.restorePlace();
    const record = { member: member.name, grid, restoreId, repositoryId, switched: false, replaced };
    // On disk before the first file: a killed agent finds it at its next start and rolls back.
    await this.#context.state.saveRestore(record);
    this.#sessions.set(member.name, { record, restoration, notOpened: false });
    const { followsAs } = await restoration.stage();
    await this.#context.reach('staged', member.name);
    return { type: 'staged', bytes: bytes(), followsAs };
  }

  async #switchIn(member: string): Promise<void> {
    const session = this.#session(member);
    const record = { ...session.record, switched: true };
    await this.#context.state.saveRestore(record);
    session.record = record;
    await session.restoration.switchIn();
  }

  async #open(member: string): Promise<OpenedMember> {
    const session = this.#session(member);
    try {
      return await session.restoration.open();
    } catch (error) {
      session.notOpened = true;
      throw error;
    }
  }

  /** Still this operation's to roll back; when its stream ends, nobody's until it is asked for. */
  async #keep(member: string): Promise<void> {
    const session = this.#session(member);
    const record = { ...session.record, kept: true };
    await this.#context.state.saveRestore(record);
    session.record = record;
  }

  #session(member: string): OpenRestore {
    const session = this.#sessions.get(member);
    if (session !== undefined) return session;
    throw new StillpointError({
      code: 'not-staged',
      message: `nothing is staged for ${member} in this operation`,
      hint: 'start the restore anew',
    });
  }

  async #forget(member: string): Promise<RestoreStepResult> {
    await this.#context.state.clearRestore(member);
    this.#sessions.delete(member);
    return done;
  }
}

const done = { type: 'done', bytes: 0 } as const;

function artifactSource(repository: Repository, manifest: MemberManifest): ArtifactSource {
  return { manifest, read: (path) => repository.readFile(manifest, path) };
}

/** What was under way when the restore ended otherwise. */
function takenBack(): StillpointError {
  return new StillpointError({
    code: 'restore-taken-back',
    message: 'the restore was ended while this was under way',
    hint: 'see its first failure; what it had begun on this host is taken back',
  });
}

function unknownMember(member: string): StillpointError {
  return new StillpointError({
    code: 'unknown-member',
    message: `this agent has no member ${member}`,
    hint: "compare the agent's file with the plan that `stillpoint restore --dry-run` prints",
  });
}

function noDrill(member: string): StillpointError {
  return new StillpointError({
    code: 'drill-not-allowed',
    message: `${member} is not restored for a drill, and is asked nothing`,
    hint: 'use stillpoint drill',
  });
}

function alreadyStaged(member: string): StillpointError {
  return new StillpointError({
    code: 'already-staged',
    message: `${member} is being restored already`,
    hint: 'let the restore under way end, or end it',
  });
}

import { assertNever } from '../shared/domain/assert-never.ts';
import { StillpointError } from '../shared/domain/errors.ts';
import type { MemberProgress } from '../shared/domain/messages.ts';
import type { RestoreStep, RestoreStepResult } from '../shared/domain/wire.ts';
import type { MemberManifest } from '../shared/domain/manifest.ts';
import type { Repository } from '../shared/repository/repository.ts';
import { reach } from '../shared/runtime/hooks.ts';
import type { Logger } from '../shared/runtime/log.ts';
import type { AgentMember } from './checkpoint-operation.ts';
import type { ArtifactSource, Restoration } from './engines/engine.ts';
import type { StateDirectory } from './state-directory.ts';

export interface RestoreOperationContext {
  readonly members: ReadonlyMap<string, AgentMember>;
  readonly state: StateDirectory;
  readonly repository: () => Promise<Repository>;
  readonly log: Logger;
  progress(progress: MemberProgress): void;
}

interface Session {
  readonly member: AgentMember;
  readonly grid: string;
  readonly restoreId: string;
  readonly restoration: Restoration;
}

/**
 * One restore's work on this host. The coordinator says each step; when it falls silent before the restore
 * was decided, this host decides `rolledBack` in the repository, where the first decision stands, and does
 * what stands there. So all hosts go the same way, forward or back, whoever dies when.
 */
export class RestoreOperation {
  readonly #context: RestoreOperationContext;
  readonly #sessions = new Map<string, Session>();
  readonly #cancelled = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();
  #ending: Promise<void> | null = null;

  constructor(context: RestoreOperationContext) {
    this.#context = context;
  }

  async perform(memberName: string, step: RestoreStep): Promise<RestoreStepResult> {
    if (step.type === 'rollBack') {
      // A step may be under way still: it must have ended before anything is put back.
      this.#cancelled.abort();
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
    this.#cancelled.abort();
    await Promise.all(this.#underWay);
    for (const [name, session] of this.#sessions) {
      try {
        const repository = await this.#context.repository();
        const outcome = await repository.decideRestore(session.grid, session.restoreId, 'rolledBack');
        if (outcome === 'restored') await session.restoration.finish();
        else await session.restoration.rollBack();
        await this.#context.state.clearRestore(name);
        this.#context.log.warn({ event: 'restoreEnded', member: name, outcome }, 'the coordinator is gone');
      } catch (error) {
        this.#context.log.error(
          { event: 'restoreLeft', member: name, err: error },
          'left for the next start of the agent',
        );
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
      case 'stage':
        return this.#stage(member, step);
      case 'switchIn':
        await this.#session(memberName).restoration.switchIn();
        await reach('switched', memberName);
        return done;
      case 'start':
        await this.#session(memberName).restoration.start();
        await reach('started', memberName);
        return done;
      case 'verify': {
        const verified = await this.#session(memberName).restoration.verify();
        await reach('verified', memberName);
        return { type: 'verified', ...verified };
      }
      case 'decide':
        await member.engine.decidePrepared(step.gid, step.database, step.outcome);
        return done;
      case 'relocate':
        await member.engine.relocate(step.processes);
        return done;
      case 'finish':
        await this.#session(memberName).restoration.finish();
        return this.#forget(memberName);
      case 'rollBack':
        await this.#sessions.get(memberName)?.restoration.rollBack();
        return this.#forget(memberName);
      default:
        return assertNever(step);
    }
  }

  async #stage(
    member: AgentMember,
    step: Extract<RestoreStep, { type: 'stage' }>,
  ): Promise<RestoreStepResult> {
    if (this.#sessions.has(member.name)) throw alreadyStaged(member.name);
    const repository = await this.#context.repository();
    const read = async (of: { member: string; digest: string }): Promise<ArtifactSource> =>
      artifactSource(
        repository,
        await repository.readMember(step.grid, step.checkpoint, of.member, of.digest),
      );
    const source = await read(step.source);
    const own = step.own === null ? null : await read(step.own);
    let bytes = 0;
    const restoration = member.engine.restoration({
      checkpoint: step.checkpoint,
      source,
      own,
      follow: step.follow,
      signal: this.#cancelled.signal,
      progress: (bytesDone, bytesTotal) => {
        bytes = bytesDone;
        this.#context.progress({ member: member.name, phase: 'stage', bytesDone, bytesTotal, waitsFor: '' });
      },
    });
    // On disk before the first file: a killed agent finds it at its next start and rolls back.
    await this.#context.state.saveRestore({
      member: member.name,
      grid: step.grid,
      restoreId: step.restoreId,
    });
    this.#sessions.set(member.name, { member, grid: step.grid, restoreId: step.restoreId, restoration });
    await restoration.stage();
    await reach('staged', member.name);
    return { type: 'done', bytes };
  }

  #session(member: string): Session {
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

function unknownMember(member: string): StillpointError {
  return new StillpointError({
    code: 'unknown-member',
    message: `this agent has no member ${member}`,
    hint: "compare the agent's file with the plan that `stillpoint restore --dry-run` prints",
  });
}

function alreadyStaged(member: string): StillpointError {
  return new StillpointError({
    code: 'already-staged',
    message: `${member} is being restored already`,
    hint: 'let the restore under way end, or end it',
  });
}

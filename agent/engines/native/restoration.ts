import { dirname, join } from 'node:path';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { isThere } from '../../../shared/runtime/is-there.ts';
import type {
  OpenedMember,
  RestoreCheck,
  RestoreContext,
  RestorePlace,
  Restoration,
  VerifiedMember,
} from '../engine.ts';
import { mustBeMakeable, mustBeProgram, roomFor } from '../restore/host-check.ts';
import { ownerOf } from '../restore/owner.ts';
import {
  dropOld,
  mustBeReplaceable,
  readRecord,
  restorePlaceAt,
  stageOf,
  switchBack,
  switchDirectories,
  writeRecord,
} from '../restore/directory-switch.ts';
import { Stage } from '../restore/stage.ts';
import {
  hasUnit,
  holdForRestore,
  mustBeUsable,
  releaseAfterRestore,
  whyNotActive,
  whyUnitFailed,
} from '../restore/unit.ts';
import { compareContent } from './content.ts';
import { withParticipant } from './link.ts';
import { isProcessRunning, mustBeRunnable, startProcess, takeBackStart } from './native-process.ts';
import { DATA_ROOM } from './node-copy.ts';
import { liveOf, type NativeSettings } from './settings.ts';
import { STATE_FILE } from './state-copy.ts';

const ROLLBACK_STOP_MS = 120_000;
const LOOK_EVERY_MS = 100;
/** Of a start that says how far it is, and gets on. */
const MOST_RECOVERY_MS = 86_400_000;

/**
 * Builds, starts and proves one restored process. Only `live/` is replaced: checkpoints and backups beside it stay. It
 * is started before the decision, by its own command: what reaches it until then is for its grid to say. A proxy has no
 * data, so there is nothing to prove of it: clients' way in, it is stopped, and started when the restore is decided.
 */
export class NativeRestoration implements Restoration {
  readonly #settings: NativeSettings;
  readonly #context: RestoreContext;
  #switched = false;

  constructor(settings: NativeSettings, context: RestoreContext) {
    this.#settings = settings;
    this.#context = context;
  }

  async check(): Promise<RestoreCheck> {
    const { name, role, run } = this.#settings;
    mustBeRunnable(this.#settings);
    if (hasUnit(this.#settings)) await mustBeUsable(this.#settings, null);
    else
      for (const what of ['start', 'stop'] as const)
        await mustBeProgram(name, `run.${what}`, run?.[what] ?? []);
    await ownerOf(this.#settings);
    if (role === 'proxy') return { provesInPrivate: true, warnings: [], rooms: [] };
    const live = liveOf(this.#settings);
    await mustBeReplaceable(name, [live]);
    await mustBeMakeable(name, live);
    const rooms = role === 'node' ? [DATA_ROOM] : [STATE_FILE];
    const room = await roomFor(live, this.#context.source.manifest, rooms);
    return { provesInPrivate: false, warnings: [], rooms: [room] };
  }

  async stage(): Promise<{ followsAs: null }> {
    mustBeRunnable(this.#settings);
    if (this.#settings.role === 'proxy') return { followsAs: null };
    const { checkpoint, source, signal, progress } = this.#context;
    const live = liveOf(this.#settings);
    await mustBeReplaceable(this.#settings.name, [live]);
    const bytesTotal = source.manifest.artifacts.reduce(
      (sum, artifact) => sum + (artifact.kind === 'file' ? artifact.sizeBytes : 0),
      0,
    );
    const stage = new Stage({ owner: await ownerOf(this.#settings), signal, bytesTotal, progress });
    try {
      await stage.around(dirname(live), 0o700);
      await writeRecord(live, {
        format: 1,
        checkpoint,
        ...(this.#context.restore !== undefined && { restore: this.#context.restore }),
        directories: [{ path: live, existed: await isThere(live) }],
        made: [],
        ...(hasUnit(this.#settings) && { unit: this.#settings.unit }),
      });
      if (this.#settings.role === 'node') await stage.room(source, DATA_ROOM, stageOf(live));
      else await this.#stageState(stage, stageOf(live));
      await stage.seal();
    } finally {
      await stage.close();
    }
    signal.throwIfAborted();
    return { followsAs: null };
  }

  prove(): Promise<VerifiedMember> {
    if (this.#settings.role !== 'proxy')
      throw new Error('only what holds nothing needs no start to be proven');
    return Promise.resolve({ checks: ['holds nothing'], warnings: [], prepared: [] });
  }

  async switchIn(): Promise<void> {
    this.#switched = true;
    const live = liveOf(this.#settings);
    if (this.#settings.role !== 'proxy') await holdForRestore(this.#settings, live);
    const record = await readRecord(live);
    if (record !== null) await switchDirectories(record);
    else if (this.#settings.role !== 'proxy') throw new Error('nothing is staged');
  }

  async start(): Promise<void> {
    const { signal } = this.#context;
    const said = await startProcess(this.#settings, signal);
    const last = performance.now() + MOST_RECOVERY_MS;
    let until = performance.now() + this.#settings.startSeconds * 1000;
    let progress: string | null = null;
    for (;;) {
      signal.throwIfAborted();
      const cause = await this.#unhealthy();
      if (cause === null) return;
      const recovering = await this.#recovering();
      // One that gets on with much of a journal has not failed.
      if (recovering !== null && recovering !== progress)
        until = Math.min(last, performance.now() + this.#settings.startSeconds * 1000);
      progress = recovering;
      const failed = hasUnit(this.#settings) ? await whyUnitFailed(this.#settings) : null;
      if (failed !== null || performance.now() > until)
        throw notStarted(this.#settings, failed ?? cause, said());
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  async open(): Promise<OpenedMember> {
    if (this.#settings.role === 'proxy' && !(await isProcessRunning(this.#settings))) await this.start();
    const problem = hasUnit(this.#settings) ? await whyNotActive(this.#settings) : null;
    return { warnings: [], problems: problem === null ? [] : [problem] };
  }

  async verify(): Promise<VerifiedMember> {
    const { manifest } = this.#context.source;
    const { role, name } = this.#settings;
    const said = await withParticipant(this.#settings, (participant) => participant.describe());
    const checks = [`answers as ${said.role} ${said.name}`];
    const must = (holds: boolean, check: string): void => {
      if (!holds) throw notAsCaptured(name, check);
      checks.push(check);
    };
    must(said.role === role && said.name === name, 'is the process that was asked for');
    if (role === 'node' || role === 'state-keeper')
      must(
        said.dataIdentity === manifest.member.dataIdentity,
        `holds the data ${manifest.member.dataIdentity}`,
      );
    const missed = compareContent(this.#context, said);
    must(missed.differs === null, missed.differs ?? missed.proven);
    must(said.held.operation === '', 'is held by nobody');
    const [problem] = said.problems;
    must(problem === undefined, `has no problem${problem === undefined ? '' : ` (${problem.message})`}`);
    const cause = await this.#unhealthy();
    must(cause === null, `is healthy${cause === null ? '' : ` (${cause})`}`);
    return { checks, warnings: missed.warnings, prepared: [] };
  }

  async finish(): Promise<void> {
    await finishNativeRestore(this.#settings);
  }

  async rollBack(): Promise<void> {
    await rollBackNativeRestore(this.#settings, this.#switched);
  }

  /** A realm service or keeper takes `live/recovery` for its state; a satellite is told by its primary. */
  async #stageState(stage: Stage, staged: string): Promise<void> {
    const { source, follow } = this.#context;
    await stage.directory(staged, 0o700);
    if (this.#settings.role === 'realm-service' && follow !== null) return;
    const entry = { mode: 0o600, mtimeMs: Date.now() };
    await stage.file(join(staged, 'recovery'), entry, source.read(STATE_FILE));
  }

  async #recovering(): Promise<string | null> {
    const asked = withParticipant(this.#settings, (participant) => participant.describe());
    return asked.then(
      ({ recovering }) => recovering,
      () => null,
    );
  }

  async #unhealthy(): Promise<string | null> {
    try {
      const { healthy, cause } = await withParticipant(this.#settings, (participant) => participant.health());
      return healthy ? null : cause || 'it does not say why';
    } catch (error) {
      if (error instanceof StillpointError) return error.failure.message;
      throw error;
    }
  }
}

/** A proxy has no data, and no room. */
export async function nativeRestorePlace(settings: NativeSettings): Promise<RestorePlace> {
  if (settings.role === 'proxy') return { isThere: true, isOccupied: false, left: null };
  return restorePlaceAt([liveOf(settings)]);
}

/** The old directory is dropped, a proxy started. Idempotent, also by another process. */
export async function finishNativeRestore(settings: NativeSettings): Promise<void> {
  if (settings.role === 'proxy' && !(await isProcessRunning(settings)))
    await startProcess(settings, AbortSignal.timeout(settings.startSeconds * 1000));
  const live = liveOf(settings);
  const record = await readRecord(live);
  if (record === null) return;
  await releaseAfterRestore(settings.name, record);
  await dropOld(live, record);
}

/**
 * What the restore started is stopped, and the old directory back as it was. Idempotent, also by another process.
 * Before the switch nothing was started, and what runs is not touched.
 */
export async function rollBackNativeRestore(settings: NativeSettings, switched: boolean): Promise<void> {
  const live = liveOf(settings);
  const record = await readRecord(live);
  const isOurs = switched && (record !== null || settings.role === 'proxy');
  if (isOurs) await takeBackStart(settings, AbortSignal.timeout(ROLLBACK_STOP_MS));
  if (record === null) return;
  if (isOurs) await holdForRestore(settings, live);
  await switchBack(live, record, () => releaseAfterRestore(settings.name, record));
}

function notStarted(settings: NativeSettings, cause: string, said: string): StillpointError {
  return new StillpointError({
    code: 'member-not-started',
    message: `${settings.name} was not healthy ${settings.startSeconds} s after its start: ${cause}${said === '' ? '' : `; its start command said: ${said}`}`,
    hint: 'see its log; the old directory is put back, so you can look at it in peace',
  });
}

function notAsCaptured(member: string, check: string): StillpointError {
  return new StillpointError({
    code: 'restore-not-verified',
    message: `${member} was restored, but this does not hold of it: ${check}`,
    hint: 'the old directory is put back; verify the checkpoint (stillpoint checkpoint verify)',
  });
}

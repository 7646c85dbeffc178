import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseCheckpointId } from '../../../shared/domain/checkpoint-id.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { beside } from '../../safe-files.ts';
import type { Copy, CopyContext } from '../engine.ts';
import { once } from '../once.ts';
import { ownerOf } from '../restore/owner.ts';
import type { CopyFate } from './copy-fate.ts';
import type { Operation } from './operation.ts';
import type { NativeSettings } from './settings.ts';

/** A process that cannot do something now is asked for so long, with pauses between. */
const UNAVAILABLE_MS = 15_000;
const PAUSE_MS = { least: 100, most: 1000 };

/** Where the state of a realm service or state keeper lies among its artifacts: what `live/recovery` is made of. */
export const STATE_FILE = 'state/recovery';
/** The realm's definition, for people and for the nodes that keep the metadata. */
export const DEFINITION_FILE = 'metadata/realm-definition.json';

interface Captured {
  readonly state: Uint8Array;
  readonly definition: Uint8Array | null;
}

/**
 * The small state of a primary realm service or a state keeper, saved after the thaw. It is the state of the mark, or
 * there is no checkpoint: what changed in between shows by its version.
 */
export class StateCopy implements Copy {
  readonly #settings: NativeSettings;
  readonly #context: CopyContext;
  readonly #operation: Operation;
  readonly #hold: { readonly definitionVersion: number | null };
  readonly #fate: CopyFate;
  /** Written by the realm service for this checkpoint; gone again when there is none. */
  #backup: string | null = null;

  constructor(
    settings: NativeSettings,
    context: CopyContext,
    shared: {
      readonly operation: Operation;
      readonly hold: { readonly definitionVersion: number | null };
      readonly fate: CopyFate;
    },
  ) {
    this.#settings = settings;
    this.#context = context;
    this.#operation = shared.operation;
    this.#hold = shared.hold;
    this.#fate = shared.fate;
  }

  begin(): Promise<void> {
    return Promise.resolve();
  }

  finish(): Promise<unknown> {
    return this.#operation.calls.run(async () => {
      const { state, definition } =
        this.#settings.role === 'realm-service' ? await this.#realmState() : await this.#keeperState();
      const { artifacts } = this.#context;
      const file = { mode: 0o600, mtimeMs: Date.now() };
      await artifacts.file({ path: STATE_FILE, ...file }, once(state));
      if (definition !== null) await artifacts.file({ path: DEFINITION_FILE, ...file }, once(definition));
      return { kind: this.#settings.role, content: this.#operation.cut.content };
    });
  }

  async abandon(): Promise<void> {
    await this.#operation.calls.ended();
    const backup = this.#backup;
    if (backup !== null)
      await this.#fate.abandon(this.#context.checkpoint, async () => {
        await beside(backup, (directory, name) => directory.remove(name));
      });
    this.#backup = null;
  }

  async #realmState(): Promise<Captured> {
    const { participant, id } = this.#operation;
    const { checkpoint } = this.#context;
    const { epoch = 0, counter = 0 } = parseCheckpointId(checkpoint) ?? {};
    const request = { operation: id, checkpoint, epoch, counter };
    const { file, definition } = await whileUnavailable(
      () => participant.backUpDatabase(request),
      this.#operation.calls.signal,
    );
    this.#backup = join(this.#settings.data, file);
    const owner = await ownerOf(this.#settings);
    const state = await beside(this.#backup, (directory, name) => directory.read(name, owner));
    if (state === null) throw new Error(`${this.#backup} is not there`);
    const now = await participant.describe();
    this.#operation.mustBeSame(now.incarnation);
    if (now.definition?.version !== this.#hold.definitionVersion)
      throw this.#changed(
        "the realm's definition",
        'leave the definition alone until the checkpoint is there',
      );
    return { state, definition };
  }

  async #keeperState(): Promise<Captured> {
    const { participant, id, cut } = this.#operation;
    const { state, version } = await participant.saveKeeperState({ operation: id });
    // That answer does not name who gave it.
    this.#operation.mustBeSame((await participant.describe()).incarnation);
    if (String(version) !== cut.journalFile)
      throw this.#changed(
        "the state keepers' state",
        'a process of the grid came or went: wait until it is settled',
      );
    return { state, definition: null };
  }

  #changed(what: string, remedy: string): StillpointError {
    return new StillpointError({
      code: 'state-changed',
      message: `${what} changed on ${this.#settings.name} between the mark and its copy`,
      hint: `${remedy}, then create the checkpoint again`,
    });
  }
}

/**
 * What a process cannot do now, it is asked again, for a while: the realm services of a cluster are all asked to back
 * up at once, and change what they share one at a time. Pauses are random, so that they do not meet again.
 */
async function whileUnavailable<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const until = performance.now() + UNAVAILABLE_MS;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const isUnavailable =
        error instanceof StillpointError && error.failure.code === 'participant-unavailable';
      if (!isUnavailable || performance.now() > until) throw error;
    }
    const ms = PAUSE_MS.least + Math.random() * (PAUSE_MS.most - PAUSE_MS.least);
    await pause(ms, undefined, { signal });
  }
}

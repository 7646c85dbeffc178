import { FOR_CHECKPOINT } from '../../../shared/domain/purpose.ts';
import { Capture } from '../../../agent/capture.ts';
import { memberStore } from '../../../agent/collect.ts';
import type { ArtifactSource } from '../../../agent/engines/engine.ts';
import { createNativeEngine } from '../../../agent/engines/native/native-engine.ts';
import type { NativeSettings } from '../../../agent/engines/native/settings.ts';
import { endStarted } from '../../../agent/engines/native/started-processes.ts';
import { BY_ITSELF } from '../../../shared/domain/assignment.ts';
import { formatCheckpointId } from '../../../shared/domain/checkpoint-id.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { ParticipantDescription } from '../../../shared/domain/participant.ts';
import { openRepository } from '../../../shared/repository/open.ts';
import { Broken } from '../promise.ts';
import { stopOf, type Place } from './grid-of-one.ts';

const LEASE_MS = 10_000;
const START_SECONDS = 60;

/**
 * What the agent does with a process that is no grid by itself: a realm service, a state keeper. Its engine and a
 * repository, without a coordinator.
 */
export class AgentAlone {
  readonly #description: ParticipantDescription;
  readonly #repository: string;
  readonly #settings: NativeSettings;
  readonly #folder: string;
  readonly #epoch: number;
  #counter = 0;
  #newest: ArtifactSource | null = null;

  constructor(
    description: ParticipantDescription,
    input: {
      readonly place: Place;
      readonly repository: string;
      readonly folder: string;
      readonly epoch: number;
    },
  ) {
    this.#description = description;
    this.#repository = input.repository;
    this.#folder = input.folder;
    this.#epoch = input.epoch;
    this.#settings = this.#settingsAt(input.place);
  }

  /** Throws Broken with the first thing that speaks against a checkpoint. */
  async fit(): Promise<string> {
    const { problems } = await createNativeEngine(this.#settings).describe(AbortSignal.timeout(LEASE_MS));
    const [first] = problems;
    if (first !== undefined) throw new Broken(`${first.code}: ${first.message}; hint: ${first.hint}`);
    return 'nothing speaks against it';
  }

  /** Holds, marks, lets go and stores it. Rejects with what failed. */
  async checkpoint(name: string): Promise<string> {
    this.#counter += 1;
    const token = { epoch: this.#epoch, counter: this.#counter, attempt: 1 };
    const checkpoint = formatCheckpointId({ ...token, name, at: new Date() });
    const { grid } = this.#description;
    const repository = await openRepository(this.#repository);
    const engine = createNativeEngine(this.#settings);
    const description = await engine.describe(AbortSignal.timeout(LEASE_MS));
    const where = { repository: () => Promise.resolve(repository), grid, host: 'localhost', checkpoint };
    const store = memberStore({ ...where, description });
    const parts = engine.begin({
      checkpoint,
      assignment: BY_ITSELF,
      freezeKind: description.freezeKind,
      maintenance: false,
      purpose: FOR_CHECKPOINT,
      leaseMs: () => LEASE_MS,
      spoolDirectory: this.#folder,
      artifacts: store,
      progress: () => undefined,
      lost: () => undefined,
      waitsFor: () => undefined,
      reach: () => Promise.resolve(),
      step: () => undefined,
      saveUndo: () => Promise.resolve(),
    });
    const capture = new Capture(parts, BY_ITSELF);
    try {
      await capture.prepare();
      await capture.arm(token);
      const from = performance.now();
      await capture.freeze(token);
      const proof = await capture.thaw(token, () => undefined);
      const ms = performance.now() - from;
      if (proof.type !== 'held') throw new Broken(`it did not hold: ${proof.cause}`);
      const collected = await capture.collect();
      const { manifestDigest, sizeBytes } = await store.finish({ ...collected, token });
      await capture.close();
      const manifest = await repository.readMember(grid, checkpoint, description.name, manifestDigest);
      this.#newest = { manifest, read: (path) => this.#read(manifest, path) };
      return `${sizeBytes} bytes; held still for ${ms.toFixed(1)} ms`;
    } catch (error) {
      await capture.abort().catch(() => undefined);
      throw asBroken(error);
    } finally {
      await repository.close();
    }
  }

  /** Stages, starts and proves it in another place. Resolves to its warnings. */
  async restore(place: Place): Promise<readonly string[]> {
    if (this.#newest === null) throw new Broken('there is nothing to restore');
    const restoration = createNativeEngine(this.#settingsAt(place)).restoration({
      checkpoint: this.#newest.manifest.checkpoint,
      source: this.#newest,
      own: null,
      follow: null,
      signal: AbortSignal.timeout(START_SECONDS * 2000),
      progress: () => undefined,
    });
    try {
      await restoration.check(null);
      await restoration.stage();
      await restoration.switchIn();
      await restoration.start();
      const { warnings } = await restoration.verify();
      await restoration.finish();
      return warnings.map(({ text }) => text);
    } catch (error) {
      throw asBroken(error);
    } finally {
      await endStarted(place);
    }
  }

  async *#read(manifest: ArtifactSource['manifest'], path: string): AsyncIterable<Uint8Array> {
    const repository = await openRepository(this.#repository);
    try {
      yield* repository.readFile(manifest, path);
    } finally {
      await repository.close();
    }
  }

  #settingsAt({ address, data, participant, tls, start }: Place): NativeSettings {
    const { name, role } = this.#description;
    return {
      name,
      role,
      engine: 'native',
      address,
      data,
      participant,
      ...(tls !== undefined && { tls }),
      run: { start: [...start], stop: stopOf({ data }) },
      startSeconds: START_SECONDS,
    };
  }
}

function asBroken(error: unknown): unknown {
  if (!(error instanceof StillpointError)) return error;
  const { code, message, hint } = error.failure;
  return new Broken(`${code}: ${message}; hint: ${hint}`);
}

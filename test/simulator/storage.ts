import type { Token } from '../../shared/domain/token.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import type { CommitProof } from '../../shared/protocol/coordinator-machine.ts';
import type { EngineResult } from '../../shared/protocol/member-machine.ts';
import { checkpointId, GRID, gridManifest, gridMember, memberHead } from '../repository/samples.ts';
import type { SimulatedAgent } from './agent.ts';
import { CHUNK_BYTES, contentsOf } from './contents.ts';
import type { Ending, SimulatedCoordinator } from './coordinator.ts';
import type { Attempted } from './attempted.ts';
import { Kernel } from './kernel.ts';
import { counterOf, gridPath, Ledger, ROOT, type Captured, type Recorded } from './ledger.ts';
import { Operator } from './operator.ts';
import { Process } from './process.ts';
import { Broken } from './promises.ts';
import { isMeant, strikeStorage } from './storage-faults.ts';
import type { OperatorKind, StorageScenario } from './storage-scenario.ts';
import type { World } from './world.ts';

/** Like the command's own. */
const REFRESH_MS = 30_000;

/** A rejection of the repository, whichever copy of its code made it. */
export interface Rejected {
  readonly code: string;
  readonly message: string;
}

/** The real repository in the world of the protocol: on a simulated disk, called by simulated processes. */
export class Storage {
  readonly kernel: Kernel;
  readonly ledger: Ledger;
  readonly operators: Operator[] = [];
  readonly #world: World;
  readonly #judge: Process;
  readonly #handles = new Map<Process, { readonly life: number; readonly repository: Promise<Repository> }>();
  readonly #checkpoints = new Map<string, string>();

  constructor(world: World, scenario: StorageScenario) {
    this.#world = world;
    this.kernel = new Kernel(world);
    this.ledger = new Ledger(this.kernel);
    this.kernel.watcher = this.ledger;
    this.#judge = new Process(world, 'judge');
    let faults = scenario.faults;
    this.ledger.onCall = (call, name, caller) => {
      // They are in the order of their numbers.
      if ((faults[0]?.call ?? Infinity) > call) return;
      const next = faults.find((fault) => isMeant(fault, call, name, caller));
      if (next === undefined) return;
      faults = faults.filter((fault) => fault !== next);
      world.timeline.after(0, () => strikeStorage(world, this, next, caller));
    };
    for (const { kind, at } of scenario.operators) world.timeline.after(at, () => this.startOperator(kind));
  }

  startOperator(kind: OperatorKind): void {
    this.operators.push(new Operator(this.#world, this, this.operators.length, kind));
  }

  heal(): void {
    this.kernel.heal();
    this.ledger.onCall = () => undefined;
    for (const operator of this.operators) if (operator.isPaused) operator.resume();
  }

  get isBusy(): boolean {
    return this.operators.some(({ isAlive, hasExited }) => isAlive && !hasExited);
  }

  /** A repository that holds some checkpoints already, made before anything can go wrong. */
  async prepare({ earlier, isAbandoned }: StorageScenario): Promise<void> {
    const { initDirectoryRepository } = this.#world.machines.repository;
    await this.#asJudge(() => initDirectoryRepository(ROOT));
    await this.judge(async (repository) => {
      for (let counter = 1; counter <= earlier; counter += 1) {
        const one = this.ledger.begin(checkpointId(counter));
        const members = [];
        for (const { index } of this.#world.engines)
          members.push(
            gridMember(
              nameOf(index),
              await store(repository, one, index, contentsOf(index, counter - 1 - earlier)),
            ),
          );
        one.commit = 'asked';
        await repository.commit(gridManifest(one.id, members));
        this.ledger.committed(one);
      }
      if (isAbandoned)
        await store(repository, this.ledger.begin(checkpointId(earlier + 1)), 0, contentsOf(0, 1));
    });
  }

  /** Somebody who takes no time, and whom nothing fails. */
  judge(body: (repository: Repository) => Promise<void>): Promise<void> {
    return this.#asJudge(async () => body(await this.#open()));
  }

  async #asJudge(body: () => Promise<unknown>): Promise<void> {
    const { kernel } = this;
    let isDone = false;
    kernel.isInstant = true;
    this.#world.tasks.wake(this.#judge, () => {
      body().then(
        () => (isDone = true),
        (error: Error) => this.#world.tasks.broke(error),
      );
    });
    await this.#world.tasks.settle();
    kernel.isInstant = false;
    if (!isDone) throw new Error('the judge waits for what never happens');
  }

  /** Its own handle for each life of each process. */
  repositoryOf(process: Process): Promise<Repository> {
    const known = this.#handles.get(process);
    if (known?.life === process.life) return known.repository;
    const repository = this.#open();
    this.#handles.set(process, { life: process.life, repository });
    repository.catch(() => this.#handles.delete(process));
    return repository;
  }

  /** Runs as this process. Whatever it rejects with that is no word of the repository is a crash. */
  run(
    process: Process,
    body: (repository: Repository) => Promise<void>,
    failed: (failure: Rejected) => void,
  ): void {
    this.#world.tasks.wake(process, () => {
      this.repositoryOf(process)
        .then(body)
        .catch((error: unknown) => failed(this.rejected(error)))
        .catch((error: Error) => this.#world.tasks.broke(error));
    });
  }

  rejected(error: unknown): Rejected {
    if (error instanceof Broken) throw error;
    const failure = error instanceof Error && 'failure' in error ? (error.failure as Rejected) : null;
    if (failure === null) throw error;
    return failure;
  }

  #open(): Promise<Repository> {
    const { openDirectoryRepository } = this.#world.machines.repository;
    return openDirectoryRepository(ROOT, {
      threads: 0,
      chunkBytes: CHUNK_BYTES,
    });
  }

  // What coordinators do, in the order of coordinator/checkpoint.ts.

  /** From the claims to the exit of the command. `drive` runs the machine, with the number to use. */
  session(
    coordinator: SimulatedCoordinator,
    highest: number,
    drive: (counter: number) => Promise<Ending>,
    refuse: (failure: Rejected) => void,
  ): void {
    const ended = (): void => this.#exited(coordinator);
    this.run(
      coordinator,
      async (repository) => {
        await repository.probe();
        const counter = Math.max(highest, (await repository.highestNumber(GRID)).counter) + 1;
        await repository.freeBytes();
        const { name } = coordinator;
        const id = checkpointId(counter).replace('nightly', name.replace(' ', '-'));
        const lease = await repository.beginOperation({
          grid: GRID,
          id: name.replace(' ', '-'),
          holder: name,
        });
        const refreshing = setInterval(() => void lease.refresh().catch(() => undefined), REFRESH_MS);
        try {
          await repository.expectLeftovers(GRID, id);
          await this.#sweep(repository);
          this.#checkpoints.set(name, id);
          this.ledger.begin(id);
          const ending = await drive(counter);
          if (ending.kind !== 'committed') await this.#bestEffort(() => repository.discard(GRID, id));
        } finally {
          clearInterval(refreshing);
          await this.#bestEffort(() => lease.end());
        }
        ended();
      },
      (failure) => {
        refuse(failure);
        ended();
      },
    );
  }

  async #sweep(repository: Repository): Promise<void> {
    for (const { state, checkpoint } of await repository.list(GRID))
      if (state === 'uncommitted') await this.#bestEffort(() => repository.discard(GRID, checkpoint));
  }

  async #bestEffort(sweep: () => Promise<unknown>): Promise<void> {
    try {
      await sweep();
    } catch (error) {
      this.rejected(error);
    }
  }

  #exited(coordinator: SimulatedCoordinator): void {
    const { name, ending } = coordinator;
    this.#world.note(name, 71, 0, () => `exits: ${ending?.kind ?? 'without an end'}`);
    const id = this.#checkpoints.get(name);
    const isKnown = id !== undefined && this.ledger.begin(id).commit !== 'asked';
    if (ending?.kind !== 'committed' && isKnown && this.#isCommitted(id))
      throw new Broken('ending', `${name} says ${ending?.kind} in the end, and ${id} is committed`);
    coordinator.hasExited = true;
  }

  /** By the files: the commit object is there, and is not the word that there will be none. */
  #isCommitted(id: string): boolean {
    const { disk } = this.kernel;
    return disk.files().some(([path, { links }]) => path === gridPath(id) && links === 1);
  }

  store(
    agent: SimulatedAgent,
    attempted: Attempted,
    isWanted: () => boolean,
    answer: (result: EngineResult) => void,
  ): void {
    const id = this.#checkpoints.get(attempted.operation);
    if (id === undefined) throw new Error(`${attempted.operation} has no checkpoint`);
    const one = this.ledger.begin(id);
    this.run(
      agent,
      async (repository) => {
        const captured = contentsOf(agent.index, attempted.cut ?? 0);
        const stored = await store(repository, one, agent.index, captured, attempted.token, isWanted);
        answer({ type: 'collected', ...stored });
      },
      ({ code, message }) => answer({ type: 'failed', failure: { code, message, hint: 'none' } }),
    );
  }

  commit(
    coordinator: SimulatedCoordinator,
    proof: CommitProof,
    done: () => void,
    failed: (failure: Rejected) => void,
  ): void {
    const id = this.#checkpoints.get(coordinator.name) as string;
    const one = this.ledger.begin(id);
    one.commit = 'asked';
    const members = proof.members.map(({ name, manifestDigest, sizeBytes, storedBytes }) =>
      gridMember(name.replace(' ', '-'), { manifestDigest, sizeBytes, storedBytes }),
    );
    const manifest = { ...gridManifest(id, members), counter: counterOf(id), token: proof.token };
    this.run(
      coordinator,
      async (repository) => {
        await repository.commit(manifest);
        this.ledger.committed(one);
        done();
      },
      (failure) => {
        // Where it says that it does not know, either may be true.
        if (failure.code !== 'commit-unknown') one.commit = 'failed';
        failed(failure);
      },
    );
  }
}

function nameOf(member: number): string {
  return `agent-${member}`;
}

/** As engines do: several files at once, then the manifest. Nothing more of it when nobody wants it any more. */
async function store(
  repository: Repository,
  one: Recorded,
  member: number,
  captured: Captured,
  token: Token | null = null,
  isWanted: () => boolean = () => true,
): Promise<{ manifestDigest: string; sizeBytes: number; storedBytes: number }> {
  const name = nameOf(member);
  one.members.set(name, captured);
  const writer = repository.beginMember(GRID, one.id);
  writer.directory({ path: 'base', mode: 0o700 });
  const files = [...captured].map(([path, bytes]) =>
    writer.file({ path, mode: 0o600, mtimeMs: 1_790_000_000_000 }, whileWanted(bytes, isWanted)),
  );
  await Promise.all(files);
  if (!isWanted()) throw aborted();
  const head = memberHead(one.id, name);
  return writer.finish(token === null ? head : { ...head, token });
}

async function* whileWanted(bytes: Uint8Array, isWanted: () => boolean): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES) {
    if (!isWanted()) throw aborted();
    yield bytes.subarray(at, at + CHUNK_BYTES);
  }
}

function aborted(): Error {
  return Object.assign(new Error('aborted'), { failure: { code: 'aborted', message: 'aborted' } });
}

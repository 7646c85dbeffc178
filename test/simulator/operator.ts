import type { Repository } from '../../shared/repository/repository.ts';
import { GRID } from '../repository/samples.ts';
import { Process } from './process.ts';
import { Broken } from './promises.ts';
import type { Rejected, Storage } from './storage.ts';
import type { OperatorKind } from './storage-scenario.ts';
import type { World } from './world.ts';

const REFRESH_MS = 30_000;
const MOST_PAUSE_MS = 100;

/** A person's command beside the checkpoints: deletes, prunes, collects or verifies, as `coordinator/` does. */
export class Operator extends Process {
  readonly kind: OperatorKind;
  hasExited = false;
  isInterrupted = false;
  readonly #storage: Storage;

  constructor(world: World, storage: Storage, number: number, kind: OperatorKind) {
    super(world, `operator ${number}`);
    this.kind = kind;
    this.#storage = storage;
    world.note(this.name, 72, number, () => `starts to ${kind}`);
    storage.run(
      this,
      async (repository) => {
        await this.#work(repository);
        this.#exits(null);
      },
      (failure) => this.#exits(failure),
    );
  }

  /** Ctrl-C. */
  cancel(): void {
    this.world.note(this.name, 44, 0, () => 'Ctrl-C');
    this.isInterrupted = true;
  }

  #exits(failure: Rejected | null): void {
    this.hasExited = true;
    this.world.note(this.name, 73, 0, () => (failure === null ? 'is done' : `fails: ${failure.message}`));
    // A disk that gives no bytes back is told as that; whether they rotted nobody can know.
    const isUnread = failure?.message.includes('(EIO)') ?? false;
    const isDamage = failure?.code === 'manifest-damaged' || failure?.code === 'chunk-damaged';
    if (isDamage && !isUnread && !this.#storage.ledger.isRotten)
      throw new Broken(
        'says-damage',
        `${this.name} is told of damage, and nothing rotted: ${failure.message}`,
      );
    const excused = ['repository-busy', 'checkpoint-missing', 'interrupted'];
    if (failure !== null && this.#isStorageSound && !excused.includes(failure.code))
      throw new Broken('no-reason', `${this.name} cannot ${this.kind}: ${failure.message}`);
  }

  /** Nothing befalls the disk; where a commit is to fail, it is full from then on. */
  get #isStorageSound(): boolean {
    const { storage, faults } = this.world.scenario;
    return storage?.faults.length === 0 && faults.every(({ kind }) => kind !== 'commitFails');
  }

  #work(repository: Repository): Promise<void> {
    const work = {
      delete: () => this.#delete(repository),
      prune: () => this.#prune(repository),
      collect: () => this.#collect(repository),
      verify: () => this.#verify(repository),
      restore: () => this.#restore(repository),
    };
    return work[this.kind]();
  }

  async #delete(repository: Repository): Promise<void> {
    const entries = (await repository.list(GRID)).filter(({ state }) => state !== 'uncommitted');
    if (entries.length > 0) await this.#deleteOne(repository, this.world.random.pick(entries).checkpoint);
  }

  async #deleteOne(repository: Repository, id: string): Promise<void> {
    this.#storage.ledger.deleting(id);
    await repository.deleteCheckpoint(GRID, id);
    this.#storage.ledger.deleted(id);
  }

  /** Keeps the newest, as `deleteAll` of coordinator/prune.ts. */
  async #prune(repository: Repository): Promise<void> {
    const valid = (await repository.list(GRID)).filter(({ state }) => state === 'valid');
    const pruned = valid.slice(1).toReversed();
    if (pruned.length === 0) return;
    const id = `prune-${this.name.replace(' ', '-')}`;
    const lease = await repository.beginOperation({ grid: GRID, id, holder: this.name });
    const refreshing = setInterval(() => void lease.refresh().catch(() => undefined), REFRESH_MS);
    try {
      for (const { checkpoint } of pruned) {
        if (this.isInterrupted) throw interrupted();
        await this.#deleteOne(repository, checkpoint);
      }
    } finally {
      clearInterval(refreshing);
      await lease.end();
    }
    await repository.collectGarbage(GRID);
  }

  /** What nobody had committed when it began is gone, where it says that it was not skipped. */
  async #collect(repository: Repository): Promise<void> {
    const { ledger } = this.#storage;
    const before = ledger.uncommitted();
    const { skipped } = await repository.collectGarbage(GRID);
    // Where a fault made a living store look dead, it may go on and leave something again.
    const isSure = !skipped && this.#isStorageSound;
    const stayed = isSure ? ledger.uncommitted().find((id) => before.includes(id)) : undefined;
    if (stayed !== undefined)
      throw new Broken(
        'space-comes-back',
        `${stayed} stays when garbage is collected, and was not committed`,
      );
  }

  /** Reads every file of one checkpoint, as agents stage them, while it has said that it reads it. */
  async #restore(repository: Repository): Promise<void> {
    const valid = (await repository.list(GRID)).filter(({ state }) => state === 'valid');
    const [entry] = valid.length === 0 ? [] : [this.world.random.pick(valid)];
    if (entry === undefined || entry.manifest === null) return;
    const { checkpoint, manifest } = entry;
    const id = `restore-${this.name.replace(' ', '-')}`;
    const lease = await repository.beginOperation({ grid: GRID, id, holder: this.name, reads: checkpoint });
    const refreshing = setInterval(() => void lease.refresh().catch(() => undefined), REFRESH_MS);
    try {
      for (const { name, manifestDigest } of manifest.members) {
        // A restore takes long: others come meanwhile.
        await new Promise((resolve) => setTimeout(resolve, this.world.random.below(MOST_PAUSE_MS)));
        const member = await repository.readMember(GRID, checkpoint, name, manifestDigest);
        for (const { kind, path } of member.artifacts) {
          if (this.isInterrupted) throw interrupted();
          if (kind === 'file') for await (const _ of repository.readFile(member, path));
        }
      }
    } catch (error) {
      const { code, message } = this.#storage.rejected(error);
      // Whom a leaping clock made look dead, the checkpoint was taken from: that is no damage, and it is known.
      const isOurs = await lease.refresh().catch(() => true);
      if (!isOurs) throw takenForDead();
      if (this.#isStorageSound && code !== 'interrupted')
        throw new Broken('restores', `${this.name} reads ${checkpoint}, and it is taken away: ${message}`);
      throw error;
    } finally {
      clearInterval(refreshing);
      await lease.end();
    }
  }

  async #verify(repository: Repository): Promise<void> {
    const { ledger } = this.#storage;
    for (const { state, checkpoint } of await repository.list(GRID)) {
      if (state !== 'valid') continue;
      const damage = await repository.verify(GRID, checkpoint, () => undefined);
      const isSound = !ledger.isRotten && this.#isStorageSound;
      if (damage.length > 0 && isSound && ledger.begin(checkpoint).deletion === 'none')
        throw new Broken('restores', `${checkpoint} is damaged: ${damage[0]?.file}: ${damage[0]?.cause}`);
    }
  }
}

function takenForDead(): Error {
  const message = 'taken for dead';
  return Object.assign(new Error(message), { failure: { code: 'repository-busy', message } });
}

function interrupted(): Error {
  return Object.assign(new Error('interrupted'), {
    failure: { code: 'interrupted', message: 'interrupted' },
  });
}

import type { Approach, Backup, Stamp } from '../../shared/domain/backup-set.ts';
import type { HoldPurpose } from '../../shared/domain/purpose.ts';
import { sameToken } from '../../shared/domain/token.ts';
import type { SimulatedAgent } from './agent.ts';
import type { SimulatedCoordinator } from './coordinator.ts';
import { copyOf, type Copied } from './job.ts';
import { Broken } from './promises.ts';
import type { OperatorsBackup } from './hold-scenario.ts';
import type { World } from './world.ts';

interface Ended {
  readonly copied: Copied;
  readonly backup: Backup;
  readonly begunAt: number;
  readonly endedAt: number;
}

interface Committed {
  readonly coordinator: SimulatedCoordinator;
  readonly purpose: HoldPurpose;
  readonly epoch: number;
  readonly counter: number;
  /** Where the member was cut, when it was fenced and let go of. */
  readonly attemptOf: (engine: Copied['engine']) => Copied['engine']['attempts'][number] | undefined;
}

const JOURNAL_FILE = 'j';

/**
 * Operators who copy one member at any time, whatever goes on, and tell its agent of begin and end. The real rule says
 * what each copy can be restored to; it is judged by what really is in it.
 */
export class OperatorsBackups {
  readonly #world: World;
  readonly #ended: Ended[] = [];
  readonly #committed: Committed[] = [];

  constructor(world: World) {
    this.#world = world;
    for (const backup of world.scenario.hold?.backups ?? [])
      if (!backup.isWhileHeld) world.timeline.after(backup.at, () => this.#begin(backup));
  }

  holdBegan(): void {
    const { scenario, timeline } = this.#world;
    for (const backup of scenario.hold?.backups ?? [])
      if (backup.isWhileHeld) timeline.after(backup.at, () => this.#begin(backup));
  }

  /** As it becomes durable. */
  committed(coordinator: SimulatedCoordinator): void {
    const { commits } = this.#world.repository;
    const token = commits.find(({ operation }) => operation === coordinator.name)?.proof.token;
    const { type } = coordinator.job.purpose;
    if (token === undefined || type === 'checkpoint') return;
    const committed: Committed = {
      coordinator,
      purpose: type,
      epoch: token.epoch,
      counter: token.counter,
      attemptOf: ({ attempts }) =>
        attempts.findLast((one) => one.operation === coordinator.name && sameToken(one.token, token)),
    };
    this.#committed.push(committed);
    for (const ended of this.#ended) this.#judge(ended, committed);
  }

  #begin({ member, takes }: OperatorsBackup): void {
    const agent = this.#world.agents[member] as SimulatedAgent;
    if (!agent.isAlive || agent.isPaused) return;
    const begun = stampOf(agent);
    const begunAt = this.#world.now;
    this.#world.note('operator', 70, member, () => `begins to copy member ${member}`);
    this.#world.clientsWanted(3000);
    this.#world.timeline.after(takes, () => {
      const copied = copyOf(agent.engine, begunAt, this.#world.now);
      this.#world.clientsWanted(3000);
      // Told by another command, a moment later.
      agent.after(this.#world.random.between(50, 3000), () => this.#end(agent, copied, { begun, begunAt }));
    });
  }

  #end(
    agent: SimulatedAgent,
    copied: Copied,
    { begun, begunAt }: { readonly begun: Stamp; readonly begunAt: number },
  ): void {
    const backup: Backup = {
      member: agent.name,
      begun,
      ended: { type: 'ended', image: 'image', stamp: stampOf(agent), begunBefore: [] },
      image: {
        digest: 'd',
        engine: 'postgres',
        dataIdentity: '',
        files: 1,
        sizeBytes: 1,
        firstJournalFile: JOURNAL_FILE,
        journalFiles: [JOURNAL_FILE],
      },
    };
    const ended = { copied, backup, begunAt, endedAt: this.#world.now };
    this.#world.note('operator', 71, agent.index, () => `has copied member ${agent.index}`);
    this.#ended.push(ended);
    for (const committed of this.#committed) this.#judge(ended, committed);
  }

  #judge(ended: Ended, committed: Committed): void {
    const { backup, copied } = ended;
    const { coordinator, purpose, epoch, counter } = committed;
    const checkpoint = coordinator.name;
    const hasJournal = copied.logged >= (committed.attemptOf(copied.engine)?.cut ?? Infinity);
    const journalFile = hasJournal ? JOURNAL_FILE : 'not whole in the image';
    const member = { name: backup.member, journalFile, dataIdentity: '', stoppedAs: null };
    const set = { grid: 'grid', name: 'set', backups: [backup] };
    const hold = { type: 'committed', checkpoint, purpose, epoch, counter, members: [member] } as const;
    const { approach } = this.#world.machines.judgeSet.judge(set, hold);
    if (approach === null) this.#mayBeRefused(ended, committed);
    else this.#mustBeWhole(approach, ended, committed);
  }

  /** One that was over before the job began, or made all the while it had the grid, is of some use to it. */
  #mayBeRefused({ backup, begunAt, endedAt }: Ended, { coordinator, purpose }: Committed): void {
    const { heldFrom, letGoAt } = coordinator.job;
    const told = `the backup of ${backup.member} is refused for ${coordinator.name}`;
    if (purpose !== 'quiesce' && endedAt < coordinator.startedAt)
      throw new Broken('stamp', `${told}, which began after it had ended`);
    if (heldFrom !== null && letGoAt !== null && begunAt > heldFrom && endedAt < letGoAt)
      throw new Broken('stamp', `${told}, which held all the while`);
  }

  #mustBeWhole(approach: Approach, { backup, copied }: Ended, committed: Committed): void {
    const { markedAt = null, openedAt = null, cut = null } = committed.attemptOf(copied.engine) ?? {};
    const told = `the backup of ${backup.member} is taken for ${committed.coordinator.name}, ${approach}`;
    const { from, until, logged, inFiles, changedAt, engine } = copied;
    if (markedAt === null || openedAt === null || cut === null) throw new Broken('stamp', `${told}: no mark`);
    if (approach === 'journals' && logged > cut)
      throw new Broken('stamp', `${told}: it ends at ${logged}, and its mark is at ${cut}`);
    if (approach === 'quiesce' && (from < markedAt || until > openedAt))
      throw new Broken('stamp', `${told}: it was not made all the while that it held`);
    const isFixed = approach === 'freeze' || (approach === 'quiesce' && engine.model === 'writeFence');
    if (isFixed && changedAt > from) throw new Broken('stamp', `${told}: a file changed while it was copied`);
    if (approach === 'freeze' && inFiles > cut)
      throw new Broken('stamp', `${told}: ${inFiles} is in its files, and its mark is at ${cut}`);
  }
}

/** As agent/backups.ts makes it of a member that runs. */
function stampOf({ claim, disk, name, engine }: SimulatedAgent): Stamp {
  const { held } = claim;
  const heldFor = held?.work.checkpoint.heldForJob(name) ?? null;
  const { epoch = 0, counter = 0 } = disk.recorded ?? {};
  return {
    epoch,
    counter,
    heldBy: held === null || heldFor === null ? null : { operation: held.operation, ...heldFor },
    incarnation: engine.incarnation,
    stoppedAs: null,
  };
}

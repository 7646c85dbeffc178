import type { HeldJob, Occupation } from '../../coordinator/jobs/held-job.ts';
import { lastsUntilLetGo, type Purpose } from '../../shared/domain/purpose.ts';
import { checkTold } from './hold-checks.ts';
import type { SimulatedCoordinator } from './coordinator.ts';
import type { SimulatedEngine } from './engine.ts';

/** What an operator's own tool has of one member, as it really is. */
export interface Copied {
  readonly engine: SimulatedEngine;
  readonly from: number;
  readonly until: number;
  /** So much of the member's log was there at its end. */
  readonly logged: number;
  /** So much of it was in its database files then. */
  readonly inFiles: number;
  /** When a database file had changed last. */
  readonly changedAt: number;
}

/** What a coordinator is run for: it copies every member by its own tools when it has the grid, then lets go. */
export class Job {
  readonly purpose: Purpose;
  /** When it was told that it has the grid; null before. */
  heldFrom: number | null = null;
  /** When it let go; null before. */
  letGoAt: number | null = null;
  readonly copied: Copied[] = [];
  readonly #coordinator: SimulatedCoordinator;
  readonly #worksFor: number;
  #held: HeldJob | null = null;

  constructor(coordinator: SimulatedCoordinator, purpose: Purpose, worksFor: number) {
    this.#coordinator = coordinator;
    this.purpose = purpose;
    this.#worksFor = worksFor;
  }

  /** By its coordinator's machine. */
  told(attempt: number): void {
    const { world, name } = this.#coordinator;
    checkTold(world, this.#coordinator, attempt);
    this.heldFrom = world.now;
    world.note(name, 46, attempt, () => 'has the grid');
    world.holdBegan();
  }

  /** What its driver is told; null for a checkpoint. */
  begin(): HeldJob | null {
    const { purpose } = this;
    const { world, name } = this.#coordinator;
    const { type } = purpose;
    if (type === 'checkpoint') return null;
    this.#held = new world.machines.heldJob.HeldJob({
      occupation: lastsUntilLetGo(purpose) ? this.#occupation() : null,
      waitsForMembers: type === 'quiesce',
      grid: ({ token: { epoch, counter } }) => {
        const told = { job: name, purpose: type, checkpoint: name, epoch, number: counter };
        return { ...told, grid: 'grid', heldSince: '', journalMap: {}, members: [] };
      },
      reached: () => world.tasks.promise(this.#coordinator, (resolve) => resolve(undefined)),
    });
    return this.#held;
  }

  terminated(): void {
    this.#held?.terminated();
  }

  #occupation(): Occupation {
    const { world } = this.#coordinator;
    let isDone = (): void => undefined;
    return {
      begin: () =>
        world.tasks.promise(this.#coordinator, (resolve) => {
          isDone = () => resolve(undefined);
          for (const engine of world.engines) if (engine.observed === null) this.#copies(engine);
          this.#coordinator.after(this.#worksFor, isDone);
        }),
      letGoAsked: () => isDone(),
      end: () => Promise.resolve(),
    };
  }

  /** Its tool is a process of its own, and goes on whatever becomes of the job. */
  #copies(engine: SimulatedEngine): void {
    const { world } = this.#coordinator;
    const { random, timeline } = world;
    const delay = random.between(0, this.#worksFor / 2);
    const takes = random.between(0, this.#worksFor - delay - 1);
    timeline.after(delay, () => {
      const from = world.now;
      world.clientsWanted(3000);
      timeline.after(takes, () => {
        this.copied.push(copyOf(engine, from, world.now));
        world.clientsWanted(3000);
      });
    });
  }

  letsGo(): void {
    const { world, name } = this.#coordinator;
    this.letGoAt = world.now;
    world.note(name, 47, 0, () => 'lets go');
  }
}

export function copyOf(engine: SimulatedEngine, from: number, until: number): Copied {
  const { log, daemon } = engine;
  return {
    engine,
    from,
    until,
    logged: log.length,
    inFiles: daemon.files.length,
    changedAt: daemon.changes.at(-1) ?? -1,
  };
}

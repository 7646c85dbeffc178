import { Disk, systemError, type FileNode } from './disk.ts';
import type { Process } from './process.ts';
import { Broken } from './promises.ts';
import type { World } from './world.ts';

/** 20 November 2026, as in the manifests of all tests. */
const EPOCH_MS = Date.UTC(2026, 10, 20, 12);

/** What the disk does wrong, until it is told to stop. */
export interface DiskFaults {
  /** How many calls of a hundred fail with EIO. */
  errors: number;
  isFull: boolean;
  isReadOnly: boolean;
  isSlow: boolean;
}

/** What is done to the disk, as those see it who judge. */
export interface Watcher {
  /** A call is about to be made; it is number `call` of the run. */
  called(call: number, name: string, caller: Process): void;
  replaced(path: string): void;
  unlinked(path: string): void;
  written(path: string): void;
}

/**
 * Between processes and the disk. Each call of a process is an event of the world: it takes a while, then it has
 * its effect, then the process hears of it, if it lives and is not stopped.
 */
export class Kernel {
  readonly disk = new Disk();
  readonly faults: DiskFaults = { errors: 0, isFull: false, isReadOnly: false, isSlow: false };
  /** So that nothing that a judge does can fail or takes time. */
  isInstant = false;
  watcher: Watcher | null = null;
  calls = 0;
  readonly #world: World;
  #clockAheadMs = 0;
  #failsNext = false;
  #uuids = 0;
  #timers = 0;
  readonly #cancelled = new Set<number>();
  /** In which of its lives each process was when the power was cut. */
  #cutAt = new Map<Process, number>();

  constructor(world: World) {
    this.#world = world;
  }

  get awake(): Process {
    const { awake } = this.#world.tasks;
    if (awake === null) throw new Error('nobody is awake, and somebody calls');
    return awake;
  }

  // Clocks and chance.

  /** By the disk: what files are dated with. */
  get diskMs(): number {
    return EPOCH_MS + this.#clockAheadMs + this.#world.now / 1000;
  }

  /** By the host of whoever is awake. */
  get wallMs(): number {
    return Math.floor(this.diskMs + (this.#world.tasks.awake?.clockAheadMs ?? 0));
  }

  get monotonicMs(): number {
    return this.#world.tasks.awake?.nowMs ?? this.#world.now / 1000;
  }

  /** All clocks; who waits for a time to pass does not notice. */
  setClocksAhead(byMs: number): void {
    this.#clockAheadMs += byMs;
  }

  uuid(): string {
    this.#uuids += 1;
    return `00000000-0000-4000-8000-${this.#uuids.toString(16).padStart(12, '0')}`;
  }

  startTimer(ring: () => void, ms: number, again: boolean): number {
    this.#timers += 1;
    const id = this.#timers;
    const process = this.awake;
    const wait = (): void =>
      process.after(Math.max(1, ms) * 1000, () => {
        if (this.#cancelled.delete(id)) return;
        this.#world.tasks.wake(process, ring);
        if (again) wait();
      });
    wait();
    return id;
  }

  stopTimer(id: number): void {
    this.#cancelled.add(id);
  }

  // Calls.

  /** `needs`: whether it changes the disk, and whether it needs room there. */
  call<T>(name: string, path: string, needs: 'nothing' | 'change' | 'room', effect: () => T): Promise<T> {
    if (this.isInstant) return new Promise((resolve) => resolve(this.#perform(effect)));
    const process = this.awake;
    const { life } = process;
    const { timeline, random } = this.#world;
    this.calls += 1;
    const number = this.calls;
    this.watcher?.called(number, name, process);
    return new Promise((resolve, reject) => {
      const takes = this.faults.isSlow ? random.scaled(500, 200_000) : random.scaled(2, 200);
      timeline.after(takes, () => {
        // Of a dead process it happened or not; one that is stopped has made its call.
        if (process.life !== life && (this.#lostPower(life, process) || random.chance(0.5))) return;
        let settle: () => void;
        try {
          this.#mayFail(name, path, needs);
          const result = this.#perform(effect);
          settle = () => resolve(result);
        } catch (error) {
          settle = () => reject(error);
        }
        this.#world.tasks.throwIfBroken();
        this.#world.note(process.name, 70, number, () => `${name} ${path}`);
        if (process.life === life) process.happen(() => this.#world.tasks.wake(process, settle));
      });
    });
  }

  /** Nothing that was on its way to the disk arrives there. */
  cutPower(): void {
    this.#cutAt = new Map(this.#world.processes().map((process) => [process, process.life]));
    this.disk.cutPower(this.#world.random);
  }

  #lostPower(life: number, process: Process): boolean {
    return life <= (this.#cutAt.get(process) ?? -1);
  }

  /** One call, whichever comes next, fails with EIO. */
  failNext(): void {
    this.#failsNext = true;
  }

  /** Nothing fails any more. */
  heal(): void {
    this.#failsNext = false;
    Object.assign(this.faults, { errors: 0, isFull: false, isReadOnly: false, isSlow: false });
  }

  #mayFail(name: string, path: string, needs: 'nothing' | 'change' | 'room'): void {
    const { errors, isFull, isReadOnly } = this.faults;
    if (this.#failsNext) {
      this.#failsNext = false;
      throw systemError('EIO', name, path);
    }
    if (errors > 0 && this.#world.random.below(100) < errors) throw systemError('EIO', name, path);
    if (isReadOnly && needs !== 'nothing') throw systemError('EROFS', name, path);
    if (isFull && needs === 'room') throw systemError('ENOSPC', name, path);
  }

  /** Code that goes on after any error shall not go on after this one. */
  #perform<T>(effect: () => T): T {
    try {
      return effect();
    } catch (error) {
      if (error instanceof Broken) this.#world.tasks.broke(error);
      throw error;
    }
  }

  // What each call does.

  makeDirectories(path: string): string | undefined {
    let first: string | undefined;
    let at = '';
    for (const part of path.split('/').filter((one) => one !== '')) {
      at = `${at}/${part}`;
      if (this.disk.makeDirectory(at, this.diskMs)) first ??= at;
    }
    return first;
  }

  link(from: string, to: string): void {
    this.disk.link(from, to, this.diskMs);
  }

  rename(from: string, to: string): void {
    if (this.disk.exists(to)) this.watcher?.replaced(to);
    this.disk.rename(from, to, this.diskMs);
  }

  unlink(path: string): void {
    this.watcher?.unlinked(path);
    this.disk.unlink(path, this.diskMs);
  }

  write(path: string, file: FileNode, bytes: Uint8Array, at: number): void {
    this.watcher?.written(path);
    this.disk.write(file, bytes, at, this.diskMs);
  }
}

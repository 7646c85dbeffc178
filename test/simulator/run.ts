import { Coverage } from './coverage.ts';
import type { TraceLine } from './event-log.ts';
import { MAX_ARMS, MAX_ATTEMPTS } from './limits.ts';
import { MAX_DRIFT } from './process.ts';
import { MACHINES, type Machines } from './machines.ts';
import { Broken, type Promised } from './promises.ts';
import { LONGEST, type Fault, type Scenario } from './scenario.ts';
import { checkStorage } from './storage-checks.ts';
import { underKernel } from './file-calls.ts';
import { World } from './world.ts';

export interface RunFailure {
  readonly promise: Promised;
  readonly message: string;
}

export interface Run {
  readonly failure: RunFailure | null;
  /** Two runs with the same hash are the same run. */
  readonly hash: string;
  readonly events: number;
  readonly trace: readonly TraceLine[];
  /** How the coordinators ended, one after the other. */
  readonly endings: readonly string[];
}

const HEAL_AT = 12_000_000;
const ENDS_WITHIN = LONGEST + 16_000_000;
/** Of a member to which nothing happens, with its messages. */
const RESTS_WITHIN = 20_000;
const NEXT_WITHIN = 6_000_000;
const RETRY_EVERY = 200_000;
const COLLECTION_IS_BELIEVED = 60_000_000;
/** A run that needs more than this is caught in a circle. */
const MOST_EVENTS = 120_000;

/** None of these is a reason not to commit. */
const HARMLESS: readonly Fault['kind'][] = [
  'duplicateMessages',
  'loseAcknowledgements',
  'blindComes',
  'askWithWrongToken',
];
/** One of these spoils one attempt at most. */
const SPOILING: readonly Fault['kind'][] = ['leak'];
/** After these every agent can be reached long before an abort is given up. */
const CONFIRMABLE: readonly Fault['kind'][] = [
  'reorderMessages',
  'loseConnection',
  'engineFails',
  'engineHangs',
  'diskFails',
  'killGuard',
  'commitFails',
];

const PHASE_OF = {
  prepare: 'prepare',
  pause: 'prepare',
  disarm: 'prepare',
  arm: 'prepare',
  freeze: 'freeze',
  thaw: 'thaw',
  collect: 'collect',
} as const;

export interface RunOptions {
  readonly machines?: Machines;
  readonly coverage?: Coverage;
  readonly isTraced?: boolean;
}

/** One whole run: a checkpoint, its faults, the end of all faults, and another checkpoint. */
export async function simulate(scenario: Scenario, options: RunOptions = {}): Promise<Run> {
  const { machines = MACHINES, coverage = new Coverage(), isTraced = false } = options;
  const world = new World(scenario, machines, coverage, isTraced);
  let failure: RunFailure | null = null;
  try {
    const story = new Story(world);
    if (world.storage === null) await story.play();
    else await underKernel(world.storage.kernel, () => story.play());
  } catch (error) {
    failure =
      error instanceof Broken
        ? { promise: error.promise, message: error.message }
        : { promise: 'no-crash', message: error instanceof Error ? error.message : String(error) };
    world.note('world', 62, 0, () => `${failure?.promise}: ${failure?.message}`);
  }
  return {
    failure,
    hash: world.log.hash,
    events: world.log.count,
    trace: world.log.trace,
    endings: world.coordinators.map(({ ending }) => ending?.kind ?? 'killed'),
  };
}

/** It is tried again. */
function spoilsAnArm(fault: Fault): boolean {
  return fault.kind === 'diskFails' || (fault.kind === 'engineFails' && fault.call === 'arm');
}

class Story {
  readonly #world: World;
  #events = 0;

  constructor(world: World) {
    this.#world = world;
  }

  async play(): Promise<void> {
    const world = this.#world;
    const { storage, scenario } = world;
    if (scenario.storage !== null) await storage?.prepare(scenario.storage);
    const { worksFor = 0 } = scenario.hold ?? {};
    world.startCoordinator(0);
    await this.#until(HEAL_AT + worksFor, () => !world.isBusy);
    this.#judgeFirst();
    // What it left is left alone for a while, or not at all.
    await this.#until(world.now + world.random.scaled(1000, 3_000_000), () => false);
    world.heal();
    await this.#until(world.now + this.#patience(ENDS_WITHIN + worksFor), () => !world.isBusy);
    const late = world.coordinators.find(({ isOver }) => !isOver);
    if (late !== undefined) throw new Broken('ends', `${late.name} does not end`);
    await this.#next();
    world.checks.atTheEnd();
    if (storage !== null) await checkStorage(storage);
  }

  /** After faults that it must put up with, the first coordinator has no excuse. */
  #judgeFirst(): void {
    const { coordinators, scenario } = this.#world;
    if ((scenario.storage?.faults.length ?? 0) > 0) return;
    const kind = coordinators[0]?.ending?.kind ?? 'never';
    const only = (...kinds: readonly Fault['kind'][]): boolean =>
      scenario.faults.every(
        (fault) => kinds.includes(fault.kind) || (fault.kind === 'consumerComes' && scenario.allowsLogical),
      );
    const end = `the first one ended ${kind}`;
    if (only(...HARMLESS) && kind !== 'committed') throw new Broken('no-reason', end);
    const spoilers = scenario.faults.filter((fault) => SPOILING.includes(fault.kind));
    const arms = scenario.faults.filter(spoilsAnArm);
    const others = scenario.faults.filter((fault) => !spoilsAnArm(fault));
    // What leaks when a job has the grid already is held for it no more.
    const isTriedAgain = spoilers.length === 0 || scenario.hold?.purpose.type !== 'quiesce';
    const isOnly = others.every(({ kind: one }) => [...HARMLESS, ...SPOILING].includes(one));
    if (
      isTriedAgain &&
      isOnly &&
      arms.length < MAX_ARMS &&
      spoilers.length < MAX_ATTEMPTS &&
      kind !== 'committed'
    )
      throw new Broken('tries-again', end);
    this.#judgeTime();
    const mayBeAway = scenario.isPatient && !this.#world.isLostLate;
    const isAway = mayBeAway && only(...HARMLESS, 'loseConnection');
    if (isAway && kind !== 'committed') throw new Broken('resumes', end);
    // A host whose guard died after it collected is heard before the commit, and hears nothing after it.
    const isUnheard = ['killGuard', 'commitFails'].every((one) =>
      scenario.faults.some((fault) => fault.kind === one),
    );
    if (only(...HARMLESS, ...SPOILING, ...CONFIRMABLE) && kind === 'maybeFrozen' && !isUnheard)
      throw new Broken('confirms', end);
    this.#judgeName();
  }

  /** What comes to rest in its time is waited for. */
  #judgeTime(): void {
    const { coordinators, scenario } = this.#world;
    const { purpose } = scenario.hold ?? {};
    if (purpose?.type !== 'quiesce') return;
    const limit = purpose.timeOutMs * 1000 * (1 - 2 * MAX_DRIFT) - RESTS_WITHIN;
    const isInTime = scenario.faults.every(
      (fault) => fault.kind === 'engineSlow' && fault.call === 'freeze' && fault.forTime < limit,
    );
    const kind = coordinators[0]?.ending?.kind ?? 'never';
    if (isInTime && kind !== 'committed') throw new Broken('time-out', `the first one ended ${kind}`);
  }

  /** Where only one thing went wrong there is no doubt what the first failure was. */
  #judgeName(): void {
    const { coordinators, scenario } = this.#world;
    const [fault, ...others] = scenario.faults;
    const ending = coordinators[0]?.ending;
    if (
      (fault?.kind !== 'engineFails' && fault?.kind !== 'engineRefuses') ||
      spoilsAnArm(fault) ||
      others.length > 0 ||
      ending?.kind !== 'aborted'
    )
      return;
    const { member, phase, code } = ending.failure;
    if (member !== `agent ${fault.member}` || phase !== PHASE_OF[fault.call] || code !== 'modelled')
      throw new Broken(
        'names',
        `${fault.call} failed on agent ${fault.member}; told: ${code} in ${phase} on ${member}`,
      );
  }

  /** The claim of a dead one may still stand; nothing else may be in the way. */
  async #next(): Promise<void> {
    const world = this.#world;
    const until = world.now + this.#patience(NEXT_WITHIN);
    for (;;) {
      world.startCoordinator(0);
      await this.#until(until, () => !world.isBusy);
      const { ending } = world.coordinators.at(-1) ?? { ending: null };
      if (ending?.kind === 'committed') return;
      if (ending?.kind !== 'refused' || world.now >= until) {
        const why = ending !== null && 'failure' in ending ? `: ${ending.failure.message}` : '';
        throw new Broken('next-succeeds', `the next one ended ${ending?.kind ?? 'not at all'}${why}`);
      }
      await this.#until(world.now + RETRY_EVERY, () => false);
    }
  }

  /** The marker of a collection that was killed is believed for twenty seconds. */
  #patience(within: number): number {
    return this.#world.storage === null ? within : within + COLLECTION_IS_BELIEVED;
  }

  async #until(moment: number, isDone: () => boolean): Promise<void> {
    const { timeline, tasks } = this.#world;
    // Something was done to the world meanwhile, and whom it woke goes on before time does.
    await tasks.settle();
    while (!isDone() && timeline.advance(moment)) {
      if (tasks.hasReady) await tasks.settle();
      tasks.throwIfBroken();
      this.#events += 1;
      if (this.#events > MOST_EVENTS) throw new Broken('ends', 'it runs in a circle');
    }
  }
}

import type { CoordinatorEvent, CoordinatorPhase } from '../../shared/protocol/coordinator-machine.ts';
import type { MemberEvent, MemberPhase } from '../../shared/protocol/member-machine.ts';

type Changes<Phase extends string> = Readonly<Record<Phase, readonly Phase[]>>;

/**
 * Every change of phase that a machine can make while the other is right. One that no run makes is a gap in the
 * simulator. (A stream that closes before its first command has been answered finds an answer in the member's
 * machine too; no coordinator makes it happen.)
 */
const COORDINATOR: Changes<CoordinatorPhase['name']> = {
  idle: ['preparing'],
  preparing: ['pausing', 'arming', 'aborting', 'over'],
  pausing: ['arming', 'aborting', 'over'],
  arming: ['freezing', 'thawing', 'disarming', 'waiting', 'aborting', 'over'],
  disarming: ['waiting', 'aborting', 'over'],
  waiting: ['pausing', 'arming', 'aborting', 'over'],
  freezing: ['freezing', 'holding', 'thawing', 'aborting', 'over'],
  thawing: ['holding', 'collecting', 'pausing', 'arming', 'aborting', 'over'],
  holding: ['thawing', 'collecting', 'aborting', 'over'],
  collecting: ['committing', 'aborting', 'over'],
  committing: ['over', 'aborting'],
  aborting: ['over'],
  over: [],
};

const MEMBER: Changes<MemberPhase['name']> = {
  idle: ['preparing', 'aborting'],
  preparing: ['prepared', 'aborting'],
  prepared: ['pausing', 'arming', 'disarmed', 'aborting', 'collecting'],
  pausing: ['paused', 'aborting'],
  paused: ['arming', 'disarmed', 'aborting'],
  arming: ['armed', 'disarming', 'aborting'],
  armed: ['freezing', 'thawing', 'releasing', 'disarming', 'aborting'],
  disarming: ['disarmed', 'aborting'],
  disarmed: ['pausing', 'arming', 'aborting'],
  freezing: ['frozen', 'aborting'],
  frozen: ['thawing', 'releasing', 'aborting'],
  thawing: ['thawed', 'aborting'],
  releasing: ['released', 'disarming', 'aborting'],
  released: ['pausing', 'arming', 'disarmed', 'aborting'],
  thawed: ['pausing', 'arming', 'collecting', 'disarmed', 'aborting'],
  collecting: ['collected', 'aborting'],
  collected: ['aborting'],
  aborting: ['aborted', 'closed'],
  aborted: ['closed'],
  closed: [],
};

/** They take a coincidence that few thousand runs need not show; test/protocol makes each of them. */
const RARE: readonly string[] = [
  'coordinator: pausing → over',
  'coordinator: waiting → over',
  'member: prepared → disarmed',
  'member: paused → disarmed',
  'member: releasing → disarming',
  'member: released → pausing',
  'member: released → arming',
  'member: released → disarmed',
  'member: thawed → disarmed',
];

const WIDTH = 32;
const COORDINATOR_PHASES = new Map(Object.keys(COORDINATOR).map((name, index) => [name, index]));
const MEMBER_PHASES = new Map(Object.keys(MEMBER).map((name, index) => [name, index]));

/** How often each change of phase was made, by both machines, over any number of runs. */
export class Coverage {
  readonly counts: Uint32Array;

  constructor(counts: Uint32Array = new Uint32Array(2 * WIDTH * WIDTH)) {
    this.counts = counts;
  }

  coordinatorStepped(from: string, to: string): number {
    return this.#count(0, COORDINATOR_PHASES.get(from), COORDINATOR_PHASES.get(to));
  }

  memberStepped(from: string, to: string): number {
    return this.#count(WIDTH * WIDTH, MEMBER_PHASES.get(from), MEMBER_PHASES.get(to));
  }

  add(other: Uint32Array): void {
    for (const [index, count] of other.entries()) this.counts[index] = (this.counts[index] ?? 0) + count;
  }

  /** Changes that the machines can make and no run made. */
  neverMade(): string[] {
    return this.#changes().flatMap(({ name, count, isKnown }) =>
      isKnown && count === 0 && !RARE.includes(name) ? [name] : [],
    );
  }

  /** Changes that were made and are not listed above. */
  unknown(): string[] {
    return this.#changes().flatMap(({ name, count, isKnown }) => (!isKnown && count > 0 ? [name] : []));
  }

  describe(): string[] {
    return this.#changes()
      .filter(({ count, isKnown }) => count > 0 || isKnown)
      .map(({ name, count }) => `${name.padEnd(42)} ${count}`);
  }

  #changes(): { name: string; count: number; isKnown: boolean }[] {
    return [
      ...changesOf('coordinator', COORDINATOR, this.counts.subarray(0, WIDTH * WIDTH)),
      ...changesOf('member', MEMBER, this.counts.subarray(WIDTH * WIDTH)),
    ];
  }

  #count(base: number, from = WIDTH - 1, to = WIDTH - 1): number {
    const index = base + from * WIDTH + to;
    this.counts[index] = (this.counts[index] ?? 0) + 1;
    return index;
  }
}

function changesOf(
  machine: string,
  changes: Changes<string>,
  counts: Uint32Array,
): { name: string; count: number; isKnown: boolean }[] {
  const phases = Object.keys(changes);
  return phases.flatMap((from, fromIndex) =>
    phases.flatMap((to, toIndex) => {
      const isKnown = changes[from]?.includes(to) ?? false;
      const count = counts[fromIndex * WIDTH + toIndex] ?? 0;
      // Staying is no change, but for the one phase that has rounds.
      return from === to && !isKnown ? [] : [{ name: `${machine}: ${from} → ${to}`, count, isKnown }];
    }),
  );
}

const EVENTS: readonly string[] = [
  'started',
  'answerReceived',
  'memberLost',
  'memberReconnected',
  'cancelled',
  'committed',
  'commitFailed',
  'timePassed',
  'commandReceived',
  'messageReceived',
  'streamClosed',
  'streamResumed',
  'operationEnded',
  'engineAnswered',
  'letGo',
];

/** For the event log's hash. */
export function numberOf(event: CoordinatorEvent | MemberEvent): number {
  return EVENTS.indexOf(event.type);
}

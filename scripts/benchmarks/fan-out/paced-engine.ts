import type { CheckpointContext, Engine, Hold } from '../../../agent/engines/engine.ts';
import type { Restoration } from '../../../agent/engines/engine.ts';
import { ABLE } from '../../../shared/domain/purpose.ts';
import type { MemberDescription } from '../../../shared/domain/grid.ts';

/** Where a member may go wrong, in the order of a checkpoint. */
export const STEPS = ['describe', 'prepare', 'arm', 'freeze', 'thaw', 'collect'] as const;
export type Step = (typeof STEPS)[number];

/** What a member does where it is told to go wrong: its agent dies, it never answers, or says what is not so. */
export const FAULTS = ['lost', 'slow', 'lying'] as const;
export type Fault = (typeof FAULTS)[number];

export interface Pace {
  /** What a step takes. */
  readonly stepMs: number;
  /** A step is begun or ended, at a time of the clock that all processes of this machine share. */
  noted(step: Step, member: string, at: 'begun' | 'ended'): void;
  /** What this member does wrong at this step; null: nothing. */
  fault(step: Step, member: string): Fault | null;
  /** The process of the agent dies. Does not return. */
  die(): never;
  /** The member is held, or is not any more. */
  held(member: string, isHeld: boolean): void;
}

/** A member that is nothing but the time that its steps take: what a checkpoint costs besides. */
export function pacedEngine(name: string, address: string, pace: Pace): Engine {
  const step = async <T>(which: Step, answer: T, lie: T): Promise<T> => {
    pace.noted(which, name, 'begun');
    const fault = pace.fault(which, name);
    if (fault === 'lost') pace.die();
    if (fault === 'slow') await new Promise(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, pace.stepMs));
    pace.noted(which, name, 'ended');
    return fault === 'lying' ? lie : answer;
  };
  const described: MemberDescription = {
    ...DESCRIPTION,
    name,
    address,
    dataIdentity: name,
    traits: { ...TRAITS, domain: name },
  };
  const absent = (): never => {
    throw new Error('a member of the bench has checkpoints and nothing else');
  };
  return {
    describe: () => step('describe', described, { ...described, frozen: true, leftFrozen: true }),
    diagnose: () => Promise.resolve([]),
    freeBytes: () => Promise.resolve(null),
    begin: (context) => ({
      hold: pacedHold(name, context, pace, step),
      copy: {
        begin: () => Promise.resolve(),
        async finish() {
          const text = await step('collect', name, '');
          await context.artifacts.file({ path: 'name', mode: 0o600, mtimeMs: 0 }, once(Buffer.from(text)));
          return null;
        },
        abandon: () => Promise.resolve(),
      },
      journal: null,
    }),
    undo: () => Promise.resolve(null),
    restoration: (): Restoration => absent(),
    recoverRestore: absent,
    restorePlace: absent,
    localCopies: null,
    images: null,
    archives: null,
    messages: null,
    realm: null,
    stop: absent,
    isRunning: () => Promise.resolve(true),
  };
}

function pacedHold(
  name: string,
  context: CheckpointContext,
  pace: Pace,
  step: <T>(which: Step, answer: T, lie: T) => Promise<T>,
): Hold {
  const release = async (): Promise<void> => {
    pace.held(name, false);
    await context.saveUndo(null);
  };
  return {
    prepare: () => step('prepare', undefined, undefined),
    async arm() {
      await context.saveUndo({ kind: 'paced' });
      return step('arm', { incarnation: INCARNATION }, { incarnation: 'another' });
    },
    disarm: release,
    async freeze(token) {
      pace.held(name, true);
      const fencedAt = performance.now();
      const incarnation = await step('freeze', INCARNATION, 'another');
      const mark = { journalFile: null, position: '1', name: `${token.counter} ${token.attempt}` };
      return { incarnation, mark, fencedAt, markedAt: performance.now() };
    },
    async thaw(_token, released) {
      const incarnation = await step('thaw', INCARNATION, 'another');
      await release();
      released();
      return { type: 'held', incarnation };
    },
    release,
  };
}

const INCARNATION = 'first';

const TRAITS = {
  copies: 'each',
  standbys: 'none',
  maintenance: false,
  inRealm: false,
  renamable: false,
  maxMembers: 1,
  compatibility: '1',
  marksJournalFile: false,
  restoresRunning: false,
  archive: null,
} as const;

const DESCRIPTION = {
  role: 'node',
  copyset: null,
  engine: 'paced',
  version: '1',
  running: true,
  primary: true,
  incarnation: INCARNATION,
  frozen: false,
  leftFrozen: false,
  freezeKind: 'fenced',
  dataDirectory: '',
  sizeBytes: 100,
  journalBytesPerSecond: 0,
  copyBytesPerSecond: 0,
  problems: [],
  warnings: [],
  localCheckpoints: [],
  realm: null,
  quorum: null,
  abilities: ABLE,
  updatesHaveRoomMs: null,
} as const;

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

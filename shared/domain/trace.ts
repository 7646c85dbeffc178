import type { Phase } from './errors.ts';
import type { MemberAnswer, MemberCommand } from './messages.ts';

// What is traced of a checkpoint: moments of the coordinator, of agents and of what engines ask their servers. A renewal
// of a lease is none: there may be any number of them.

const COMMANDS = ['prepare', 'pause', 'arm', 'disarm', 'freeze', 'thaw', 'collect', 'abort'] as const;
const ANSWERS = [
  'prepared',
  'paused',
  'armed',
  'disarmed',
  'marked',
  'released',
  'thawed',
  'collected',
  'aborted',
  'failed',
  'refused',
] as const;
/** Phases that the coordinator enters. */
const ENTERED = ['preflight', 'prepare', 'freeze', 'thaw', 'collect', 'commit'] as const;

/**
 * Between a receipt and an answer, where a hold has them. Of `fence`, `mark`, `look` and `open`: the server is asked, and
 * has answered. `fence closed`: nothing new becomes visible or acknowledged once the server has taken that up, which the
 * mark sees. `open ordered`: whoever acknowledges is told to go on; `acknowledged`: it has done so.
 */
const ENGINE_STEPS = [
  'fence asked',
  'fence answered',
  'fence closed',
  'mark asked',
  'mark answered',
  'look asked',
  'look answered',
  'open ordered',
  'acknowledged',
  'open asked',
  'open answered',
] as const;

type Word = MemberCommand['type'] | MemberAnswer['type'];
export type EngineStep = (typeof ENGINE_STEPS)[number];
export type Step = `${Word} sent` | `${Word} received` | `${Phase} entered` | EngineStep;

/** Put together once, so that nothing is while members are held. */
const WORDS: readonly Word[] = [...COMMANDS, ...ANSWERS];
function table(words: readonly string[], verb: string): Readonly<Record<string, Step>> {
  return Object.fromEntries(words.map((word) => [word, `${word} ${verb}` as Step]));
}

/** By the type of a command or an answer; none for what is not traced. */
export const SENT = table(WORDS, 'sent');
export const RECEIVED = table(WORDS, 'received');
/** By the phase. */
export const PHASE_ENTERED = table(ENTERED, 'entered');

/** All of them. A process keeps a step as its place in here; over the wire goes its name. */
export const STEPS: readonly Step[] = [
  ...Object.values(SENT),
  ...Object.values(RECEIVED),
  ...Object.values(PHASE_ENTERED),
  ...ENGINE_STEPS,
];

/** What the server of a member is asked: from `… asked` to `… answered` it is its turn. */
export const QUESTIONS = ['fence', 'mark', 'look', 'open'] as const;

/** A moment of a process, by its machine's monotonic clock. */
export interface TracedStep {
  /** Empty: of no single member. */
  readonly member: string;
  /** One of `STEPS`, or of a newer version's. */
  readonly step: string;
  readonly atMs: number;
}

/** How much the main thread of a process has had of a processor up to then, and for how long it has waited for one. */
export interface ProcessorSample {
  readonly atMs: number;
  readonly ranMs: number;
  readonly waitedMs: number;
}

/** What one process has noted. */
export interface ProcessTrace {
  readonly processId: number;
  /** Equal where two processes have the same monotonic clock; empty where that is not known. */
  readonly machine: string;
  readonly steps: readonly TracedStep[];
  /** Empty where the system does not tell. */
  readonly samples: readonly ProcessorSample[];
  /** Collections of garbage, in which nothing else runs in its main thread. */
  readonly collections: readonly { readonly atMs: number; readonly durationMs: number }[];
  /** Steps and samples for which there was no room. */
  readonly lost: number;
}

import {
  QUESTIONS,
  RECEIVED,
  SENT,
  type ProcessorSample,
  type ProcessTrace,
  type Step,
  type TracedStep,
} from '../../shared/domain/trace.ts';

/**
 * Of what the time went into from the freeze being sent to a member to the coordinator knowing that it is released. The
 * first four are the whole; in milliseconds.
 */
export interface WindowParts {
  /** Messages on their way, with what encodes and decodes them. */
  readonly wireMs: number;
  readonly agentMs: number;
  /** The member's own server was asked and had not answered yet. */
  readonly serverMs: number;
  /** It was marked, and others were not. */
  readonly othersMs: number;
  /** Of all that: its agent wanted a processor and had none. Null where the system does not tell. */
  readonly waitedMs: number | null;
}

/** How a process was served by its machine for a while. */
export interface ProcessorUse {
  readonly ranMs: number;
  readonly waitedMs: number;
}

/** Of the member's last attempt; null where it was never held in it, or one of the two does not know. */
export function windowParts(
  member: string,
  coordinator: ProcessTrace,
  agent: ProcessTrace,
): WindowParts | null {
  const ours = lastAttempt(coordinator.steps, member, SENT['freeze']);
  const theirs = lastAttempt(agent.steps, member, RECEIVED['freeze']);
  const asked = {
    freeze: momentOf(ours, SENT['freeze']),
    marked: momentOf(ours, RECEIVED['marked']),
    thaw: momentOf(ours, SENT['thaw']),
    released: momentOf(ours, RECEIVED['released']),
  };
  const done = {
    freeze: momentOf(theirs, RECEIVED['freeze']),
    marked: momentOf(theirs, SENT['marked']),
    thaw: momentOf(theirs, RECEIVED['thaw']),
    released: momentOf(theirs, SENT['released']),
  };
  const atAgent = done.marked - done.freeze + (done.released - done.thaw);
  const wireMs = asked.marked - asked.freeze + (asked.released - asked.thaw) - atAgent;
  const serverMs = askedFor(theirs, done.freeze, done.marked) + askedFor(theirs, done.thaw, done.released);
  const othersMs = asked.thaw - asked.marked;
  if (Number.isNaN(wireMs) || Number.isNaN(othersMs)) return null;
  const held = processorUse(agent.samples, done.freeze, done.marked);
  const letGo = processorUse(agent.samples, done.thaw, done.released);
  const waitedMs = held === null || letGo === null ? null : held.waitedMs + letGo.waitedMs;
  return { wireMs, agentMs: atAgent - serverMs, serverMs, othersMs, waitedMs };
}

/** From the first freeze of the last attempt to the last release; null where nobody was released. */
export function windowOf(
  coordinator: ProcessTrace,
): { readonly fromMs: number; readonly toMs: number } | null {
  const { steps } = coordinator;
  const toMs = steps.findLast(({ step }) => step === RECEIVED['released'])?.atMs;
  if (toMs === undefined) return null;
  const frozen = steps.filter(({ step, atMs }) => step === SENT['freeze'] && atMs < toMs);
  const last = new Map(frozen.map(({ member, atMs }) => [member, atMs]));
  return last.size === 0 ? null : { fromMs: Math.min(...last.values()), toMs };
}

/** By the samples that are nearest to both ends; null where there is none between them. */
export function processorUse(
  samples: readonly ProcessorSample[],
  fromMs: number,
  toMs: number,
): ProcessorUse | null {
  const first = nearest(samples, fromMs);
  const last = nearest(samples, toMs);
  if (first === null || last === null || first === last) return null;
  return { ranMs: last.ranMs - first.ranMs, waitedMs: last.waitedMs - first.waitedMs };
}

function nearest(samples: readonly ProcessorSample[], atMs: number): ProcessorSample | null {
  return samples.reduce<ProcessorSample | null>(
    (found, one) => (found === null || Math.abs(one.atMs - atMs) < Math.abs(found.atMs - atMs) ? one : found),
    null,
  );
}

function lastAttempt(steps: readonly TracedStep[], member: string, begin: Step | undefined): TracedStep[] {
  const own = steps.filter((step) => step.member === member);
  const from = own.findLastIndex(({ step }) => step === begin);
  return from === -1 ? [] : own.slice(from);
}

/** NaN where it did not come to that. */
function momentOf(steps: readonly TracedStep[], step: Step | undefined): number {
  return steps.find((one) => one.step === step)?.atMs ?? Number.NaN;
}

/** For how long the server was asked in that time. */
function askedFor(steps: readonly TracedStep[], fromMs: number, toMs: number): number {
  const within = steps.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs);
  let sumMs = 0;
  for (const question of QUESTIONS) {
    let askedAt: number | null = null;
    for (const { step, atMs } of within) {
      if (step === `${question} asked`) askedAt = atMs;
      if (step !== `${question} answered` || askedAt === null) continue;
      sumMs += atMs - askedAt;
      askedAt = null;
    }
  }
  return sumMs;
}

import type { ProcessTrace } from '../domain/trace.ts';
import { toDuration } from './codec-values.ts';
import type * as wire from './generated/agent.ts';

// What a process has noted of its steps: domain ↔ wire.

export function fromTrace(id: number, trace: ProcessTrace): wire.Traced {
  const { processId, machine, steps, samples, collections, lost } = trace;
  return {
    id,
    processId,
    machine,
    steps: [...steps],
    samples: [...samples],
    collections: [...collections],
    lost,
  };
}

/** Throws `bad-message` for a moment that is none. */
export function toTrace({
  processId,
  machine,
  steps,
  samples,
  collections,
  lost,
}: wire.Traced): ProcessTrace {
  return {
    processId,
    machine,
    steps: steps.map(({ member, step, atMs }) => ({ member, step, atMs: moment(atMs) })),
    samples: samples.map(({ atMs, ranMs, waitedMs }) => ({
      atMs: moment(atMs),
      ranMs: moment(ranMs),
      waitedMs: moment(waitedMs),
    })),
    collections: collections.map(({ atMs, durationMs }) => ({
      atMs: moment(atMs),
      durationMs: moment(durationMs),
    })),
    lost,
  };
}

function moment(ms: number): number {
  return toDuration(ms, 'moment of a trace');
}

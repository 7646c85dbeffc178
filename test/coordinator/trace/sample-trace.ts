import { STEPS, type ProcessTrace, type TracedStep } from '../../../shared/domain/trace.ts';

/** `0.5 freeze sent` → a step of this member. Fails on a step that nobody notes. */
export function steps(member: string, lines: string): TracedStep[] {
  return lines
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => {
      const [, atMs = '', step = ''] = /^(\S+) (.*)$/.exec(line) ?? [];
      if (!(STEPS as readonly string[]).includes(step)) throw new Error(`there is no step '${step}'`);
      return { member, step, atMs: Number(atMs) };
    });
}

export function processTrace(noted: readonly TracedStep[], change: Partial<ProcessTrace> = {}): ProcessTrace {
  const inOrder = noted.toSorted((one, other) => one.atMs - other.atMs);
  return {
    processId: 4711,
    machine: 'm',
    steps: inOrder,
    samples: [],
    collections: [],
    lost: 0,
    ...change,
  };
}

/** One member's attempt that is broken, and one that is not: the coordinator's steps and its agent's. */
export const COORDINATOR_STEPS = `
  1 prepare sent
  20 prepared received
  30 arm sent
  39 armed received
  40 freeze sent
  43 marked received
  44 thaw sent
  48 released received
  49 thawed received
  50 arm sent
  59 armed received
  60 freeze sent
  66 marked received
  70 thaw sent
  79 released received
  85 thawed received
  86 collect sent
  90 collected received`;

export const AGENT_STEPS = `
  2 prepare received
  19 prepared sent
  31 arm received
  38 armed sent
  41 freeze received
  42 marked sent
  45 thaw received
  47 released sent
  48.5 thawed sent
  51 arm received
  58 armed sent
  61 freeze received
  61.5 fence closed
  62 mark asked
  63 mark answered
  63.5 mark asked
  64 mark answered
  65 marked sent
  72 thaw received
  73 look asked
  74 look answered
  74.5 open ordered
  75 acknowledged
  75.5 open asked
  77 open answered
  78 released sent
  84 thawed sent
  87 collect received
  89 collected sent`;

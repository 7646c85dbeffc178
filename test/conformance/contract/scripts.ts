import type { Role } from '../../../shared/domain/grid.ts';
import { ContractMachine, type Asked } from './machine.ts';
import type { CallName, HoldName } from './table.ts';
import { lineOf, type Step } from './sequence-file.ts';

// Sequences of calls as an agent makes them, and as they go wrong. What is answered, the model says (recorded below): the
// files in proto/sequences are made of both, and stillpoint-conformance --replay holds a process against them.

interface Script {
  readonly file: string;
  readonly role: Role;
  readonly says: string;
  readonly steps: readonly (Asked | { readonly lapses: HoldName })[];
}

const OURS = 'A';
const LEASE_MS = 30_000;
const SHORT_MS = 300;
const token = (attempt: number) => ({ epoch: 0, counter: 1, attempt });

const call = (name: CallName): Asked => ({ call: name, operation: OURS });
const quiesce = (attempt: number, leaseMs = 5000): Asked => ({
  ...call('quiesce'),
  token: token(attempt),
  timeoutMs: 3000,
  leaseMs,
});
const mark = (attempt: number): Asked => ({ ...call('switchJournal'), token: token(attempt) });
const resume = (attempt: number): Asked => ({ ...call('resume'), token: token(attempt) });
const suspend: Asked = { ...call('suspendWriting'), leaseMs: LEASE_MS };
const retain: Asked = { ...call('resumeWriting'), retainJournal: true, leaseMs: LEASE_MS };
const describe: Asked = { call: 'describe' };
const twice = (asked: Asked): Asked[] => [asked, asked];

const PREPARED = [describe, call('renew'), suspend, call('renew'), retain, describe];
const FINISHED = [call('releaseJournal'), call('release'), describe];

const SCRIPTS: readonly Script[] = [
  {
    file: 'node-good',
    role: 'node',
    says: 'A checkpoint of a node that goes well.',
    steps: [...PREPARED, quiesce(1), mark(1), resume(1), call('renew'), ...FINISHED],
  },
  {
    file: 'node-maintenance',
    role: 'node',
    says: 'A checkpoint of a node whose clients may not write meanwhile.',
    steps: [
      { ...call('enterMaintenance'), leaseMs: LEASE_MS },
      ...PREPARED,
      quiesce(1),
      mark(1),
      resume(1),
      call('releaseJournal'),
      call('leaveMaintenance'),
      call('release'),
      describe,
    ],
  },
  {
    file: 'node-attempts',
    role: 'node',
    says: 'The first attempt of a freeze is given up, and the second one holds; the first is not taken up again.',
    steps: [
      ...PREPARED,
      quiesce(1),
      resume(1),
      quiesce(2),
      mark(2),
      resume(2),
      quiesce(1),
      resume(1),
      ...FINISHED,
    ],
  },
  {
    file: 'node-abort',
    role: 'node',
    says: 'A checkpoint that is aborted while the node rests: a Release ends all of it, and what comes late finds nothing.',
    steps: [
      ...PREPARED,
      quiesce(1),
      mark(1),
      call('release'),
      describe,
      resume(1),
      mark(1),
      quiesce(1),
      call('releaseJournal'),
      suspend,
      call('release'),
      describe,
    ],
  },
  {
    file: 'node-lost-answers',
    role: 'node',
    says: 'Every answer is lost once, and every call is made again: nothing else happens.',
    steps: [
      ...twice(suspend),
      ...twice(retain),
      ...twice(quiesce(1)),
      ...twice(mark(1)),
      ...twice(resume(1)),
      ...twice(call('releaseJournal')),
      ...twice(call('release')),
      describe,
    ],
  },
  {
    file: 'node-lease-over',
    role: 'node',
    says: 'The coordinator is gone while the node rests: it goes on by its own clock, and says so.',
    steps: [
      ...PREPARED,
      quiesce(1, SHORT_MS),
      mark(1),
      { lapses: 'quiesced' },
      describe,
      resume(1),
      ...FINISHED,
    ],
  },
  {
    file: 'node-overtaken',
    role: 'node',
    says: 'A Resume comes before its Quiesce, which was under way for long: it must not freeze any more.',
    steps: [...PREPARED, resume(1), quiesce(1), describe, quiesce(2), mark(2), resume(2), ...FINISHED],
  },
  {
    file: 'keeper-good',
    role: 'state-keeper',
    says: 'A checkpoint of a state keeper that goes well.',
    steps: [
      describe,
      call('renew'),
      quiesce(1),
      mark(1),
      resume(1),
      call('saveKeeperState'),
      call('release'),
      describe,
    ],
  },
  {
    file: 'realm-good',
    role: 'realm-service',
    says: 'A checkpoint of the primary realm service that goes well.',
    steps: [
      describe,
      call('renew'),
      quiesce(1),
      mark(1),
      resume(1),
      call('backUpDatabase'),
      call('release'),
      describe,
    ],
  },
];

/** Every file, by its name, as it is to be. */
export function recordedFiles(): ReadonlyMap<string, string> {
  return new Map(SCRIPTS.map((script) => [`${script.file}.calls`, recorded(script)]));
}

/** The script with the model's answers. */
function recorded({ says, role, steps }: Script): string {
  const machine = new ContractMachine(role);
  const lines = steps.map((step): string => {
    if ('lapses' in step) {
      machine.lapse(step.lapses);
      return lineOf({ lapses: step.lapses });
    }
    const decision = machine.decide(step);
    machine.apply(step, decision);
    const isTaken = step.call === 'quiesce' && decision.status === 'OK';
    if (isTaken) machine.settle(true);
    const expected: Step = {
      asked: step,
      status: decision.status,
      held: decision.held,
      holder: step.call === 'describe' ? machine.operation : null,
    };
    return lineOf(expected);
  });
  return [`# ${says}`, `role ${role}`, ...lines, ''].join('\n');
}

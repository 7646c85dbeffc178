import type { Role } from '../../../shared/domain/grid.ts';
import type { Asked } from './machine.ts';
import { protoName, ROLES_OF, type CallName, type HoldName, type Status } from './table.ts';

/** One call of a recorded sequence, and what is answered. */
interface Called {
  readonly asked: Asked;
  readonly status: Status;
  readonly held: boolean | null;
  /** Of Describe: for which operation it is held; null where that is not looked at. */
  readonly holder: string | null;
}

/** Or: its lease runs out. */
export type Step = Called | { readonly lapses: HoldName };

export interface Sequence {
  readonly role: Role;
  readonly steps: readonly Step[];
}

const ROLES: readonly Role[] = ['realm-service', 'state-keeper', 'node', 'proxy'];
const HOLDS: readonly HoldName[] = ['quiesced', 'writingSuspended', 'journalRetained', 'maintenance'];
const STATUSES: readonly Status[] = [
  'OK',
  'INVALID_ARGUMENT',
  'UNIMPLEMENTED',
  'FAILED_PRECONDITION',
  'ABORTED',
];
const CALLS = Object.keys(ROLES_OF) as CallName[];

/** `Quiesce operation=A token=1 timeout_ms=3000 lease_ms=5000 -> OK`, as the files have it. */
export function lineOf(step: Step): string {
  if ('lapses' in step) return `lease of ${step.lapses} runs out`;
  const { call, operation, token, timeoutMs, leaseMs, retainJournal } = step.asked;
  const words = [
    protoName(call),
    operation !== undefined && `operation=${operation}`,
    token !== undefined && `token=${token.attempt}`,
    timeoutMs !== undefined && `timeout_ms=${timeoutMs}`,
    leaseMs !== undefined && `lease_ms=${leaseMs}`,
    retainJournal === true && 'retain_journal=true',
    '->',
    step.status,
    step.held !== null && `held=${step.held}`,
    step.holder !== null && `operation=${step.holder}`,
  ];
  return words.filter((word) => word !== false).join(' ');
}

/** Throws with the line that is not understood. */
export function readSequence(text: string): Sequence {
  let role: Role | undefined;
  const steps: Step[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const named = /^role (\S+)$/.exec(line)?.[1];
    if (named === undefined) steps.push(stepOf(line, index + 1));
    else role = ROLES.find((one) => one === named);
  }
  if (role === undefined) throw new Error('there is no line: role node (or another)');
  return { role, steps };
}

function stepOf(line: string, number: number): Step {
  const lapses = /^lease of (\S+) runs out$/.exec(line)?.[1];
  const hold = HOLDS.find((one) => one === lapses);
  if (hold !== undefined) return { lapses: hold };
  const [request = '', answer = ''] = line.split(' -> ');
  const [name = '', ...words] = request.split(' ');
  const [said = '', ...facts] = answer.split(' ');
  const call = CALLS.find((one) => protoName(one) === name);
  const status = STATUSES.find((one) => one === said);
  if (call === undefined || status === undefined)
    throw new Error(`line ${number} is not understood: ${line}`);
  const given = new Map(words.map((word) => [word.split('=')[0], word.split('=')[1] ?? '']));
  const expected = new Map(facts.map((word) => [word.split('=')[0], word.split('=')[1] ?? '']));
  const count = (key: string): number | undefined => {
    const value = given.get(key);
    if (value !== undefined && !/^\d+$/.test(value))
      throw new Error(`line ${number}: ${key} is no number: ${line}`);
    return value === undefined ? undefined : Number(value);
  };
  const [attempt, operation, timeoutMs, leaseMs] = [
    count('token'),
    given.get('operation'),
    count('timeout_ms'),
    count('lease_ms'),
  ];
  const held = expected.get('held');
  return {
    asked: {
      call,
      ...(operation !== undefined && { operation }),
      ...(attempt !== undefined && { token: { epoch: 0, counter: 1, attempt } }),
      ...(timeoutMs !== undefined && { timeoutMs }),
      ...(leaseMs !== undefined && { leaseMs }),
      ...(given.get('retain_journal') === 'true' && { retainJournal: true }),
    },
    status,
    held: held === undefined ? null : held === 'true',
    holder: expected.get('operation') ?? null,
  };
}

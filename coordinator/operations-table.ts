import type { Failure } from '../shared/domain/errors.ts';
import type { HostDescription } from '../shared/domain/grid.ts';
import { table } from './output.ts';
import type { AbleMember } from './reports.ts';

/** In the order of the columns. */
const OPERATIONS = [
  ['journalCheckpoint', 'JOURNAL CHECKPOINT'],
  ['quiesce', 'QUIESCE'],
  ['quiesceAllowingReads', 'QUIESCE, READS ALLOWED'],
  ['freeze', 'FREEZE'],
] as const;

/** What the members that store data can be held for, for tools of their operator's own. */
export function operationsOf(hosts: readonly HostDescription[]): AbleMember[] {
  return hosts.flatMap(({ host, members }) =>
    members
      .filter(({ role, freezeKind }) => role === 'node' && freezeKind !== 'observer')
      .map(({ name, engine, abilities }) => ({ name, host, engine, ...abilities })),
  );
}

/** A column for each operation; why a member cannot, and what to use instead, stands below, once for each reason. */
export function operationsInWords(members: readonly AbleMember[]): string[] {
  if (members.length === 0) return [];
  const reasons: Failure[] = [];
  const cell = (failure: Failure | null): string => {
    if (failure === null) return 'yes';
    const known = reasons.findIndex(({ message }) => message === failure.message);
    return `no (${known < 0 ? reasons.push(failure) : known + 1})`;
  };
  const rows = members.map((member) => [
    member.name,
    member.engine,
    ...OPERATIONS.map(([operation]) => cell(member[operation])),
  ]);
  return [
    table([['MEMBER', 'ENGINE', ...OPERATIONS.map(([, heading]) => heading)], ...rows]),
    ...reasons.map(({ message, hint }, index) => `(${index + 1}) ${message}\n  instead: ${hint}`),
  ];
}

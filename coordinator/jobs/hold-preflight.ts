import { EXIT, StillpointError, type Failure } from '../../shared/domain/errors.ts';
import type { MemberDescription } from '../../shared/domain/grid.ts';
import type { Abilities, Purpose } from '../../shared/domain/purpose.ts';
import type { Warning } from '../../shared/domain/warning.ts';
import { assign } from '../assignment.ts';
import { checkCopysets, checkNames, checkProcesses, checkSupported } from '../membership.ts';
import {
  assignedTo,
  checkBelonging,
  checkNobodyFrozen,
  checkProblems,
  placed,
  type PreflightInput,
  type PreflightReport,
} from '../preflight.ts';
import { checkNodesDefined, type PlacedMember } from '../realm-preflight.ts';
import { checkViewers } from '../viewer-preflight.ts';

/** Of whom such an operation is, and who is left out of it. */
export type HoldPreflight = Omit<PreflightReport, 'sizeBytes'>;

export type HoldPreflightInput = Pick<
  PreflightInput,
  'grid' | 'copysets' | 'realm' | 'hosts' | 'repositoryId' | 'allowLogical'
> & { readonly purpose: Purpose };

/**
 * Looks at everything before anybody is held. Only members that store data take part, and those that show it to clients;
 * of these each must be able to. Nothing is copied, so no room is asked for, and no realm service or state keeper need run.
 * Throws the first reason against it, exit code 3. A pure function of what the agents described.
 */
export function preflightHold(input: HoldPreflightInput): HoldPreflight {
  const all = placed(input.hosts);
  checkBelonging(input);
  checkNames(all);
  checkProcesses(all);
  checkNodesDefined(all, input.realm);
  const nodes = all.filter(({ description }) => description.role === 'node');
  checkCopysets(input.copysets, nodes);
  const running = nodes.filter(({ description }) => description.running);
  checkProblems(running);
  checkNobodyFrozen(running);
  checkSupported(running);
  checkAbilities(running, input.purpose);
  checkViewers(running, input.allowLogical ?? false);
  const assignments = assign(running.map(({ description }) => description));
  return {
    members: running.map(({ host, description }) => {
      const { assignment, heldBy } = assignedTo(description, assignments);
      return {
        host,
        description,
        kind: description.freezeKind,
        assignment: { ...assignment, part: 'none' },
        heldBy,
      };
    }),
    absent: nodes
      .filter(({ description }) => !description.running)
      .map(({ host, description }) => ({ host, name: description.name })),
    copysets: [...new Set(input.copysets ?? running.flatMap(({ description }) => description.copyset ?? []))],
    warnings: [
      ...nodes.flatMap(({ description }) => description.warnings),
      ...running.flatMap(({ description }) => shortOfMemory(description, input.purpose)),
    ],
  };
}

/** Its clients go on in memory while its files are frozen: for as long as they are to, or for less. */
function shortOfMemory({ name, updatesHaveRoomMs }: MemberDescription, purpose: Purpose): Warning[] {
  if (purpose.type !== 'freeze' || updatesHaveRoomMs === null || updatesHaveRoomMs >= purpose.timeOutMs)
    return [];
  const seconds = (ms: number): string => `${Math.floor(ms / 1000)} s`;
  return [
    {
      code: 'memory-short',
      about: name,
      text: `at their present pace updates fill its memory in about ${seconds(updatesHaveRoomMs)} of a freeze, and wait from then on; they were to go on for ${seconds(purpose.timeOutMs)}`,
      hint: 'copy in less time than that, freeze when less is written, or give it more memory; none of the updates is lost',
    },
  ];
}

/** The first member that cannot take part, with its reason, and what its engine offers instead. */
function checkAbilities(running: readonly PlacedMember[], purpose: Purpose): void {
  for (const { host, description } of running) {
    const failure = inability(description.abilities, purpose);
    if (failure === null) continue;
    throw new StillpointError(
      { ...failure, host, member: description.name, phase: 'preflight' },
      EXIT.refused,
    );
  }
}

function inability(abilities: Abilities, purpose: Purpose): Failure | null {
  switch (purpose.type) {
    case 'quiesce':
      return purpose.allowReads ? abilities.quiesceAllowingReads : abilities.quiesce;
    case 'freeze':
      return abilities.freeze;
    case 'journalCheckpoint':
      return abilities.journalCheckpoint;
    default:
      return null;
  }
}

import { ABLE, type Abilities } from '../../../shared/domain/purpose.ts';
import { StillpointError, type Failure } from '../../../shared/domain/errors.ts';
import type { FreezeKind, MemberDescription, Traits } from '../../../shared/domain/grid.ts';
import type { ParticipantDescription } from '../../../shared/domain/participant.ts';
import type { Warning } from '../../../shared/domain/warning.ts';
import { answers } from '../restore/processes.ts';
import { withParticipant } from './link.ts';
import { completeCheckpoints } from './local-checkpoint.ts';
import { hasOpenFiles } from './native-process.ts';
import { liveOf, type NativeSettings } from './settings.ts';
import { strangersIn } from './strangers.ts';
import { describeStopped } from './stopped.ts';

const MOST_NODES_OF_A_COPYSET = 3;

/** What the process says of itself, held against what the agent's file says of it. `ours`: we hold it now. */
export async function describeNative(settings: NativeSettings, ours: boolean): Promise<MemberDescription> {
  const localCheckpoints = settings.role === 'node' ? await completeCheckpoints(settings.data) : [];
  try {
    const said = await withParticipant(settings, (participant) => participant.describe());
    const described = running(settings, said, ours);
    const problems = [...described.problems, ...(await strangersIn(settings))];
    return { ...described, problems, localCheckpoints };
  } catch (error) {
    if (!(error instanceof StillpointError)) throw error;
    const down = { ...unknown(settings), ...(await describeStopped(settings)), localCheckpoints };
    if (error.failure.code !== 'participant-unreachable')
      return { ...down, running: true, problems: [error.failure] };
    if (await answers(settings.address))
      return { ...down, running: true, problems: [notTakingPart(settings, error.failure)] };
    if (settings.role === 'proxy' || !(await hasOpenFiles(liveOf(settings)))) return down;
    return { ...down, running: true, problems: [notThereYet(settings)] };
  }
}

/** How a member is held still: proxies and satellites only show what others store. */
function freezeKindOf(role: NativeSettings['role'], primary: boolean): FreezeKind {
  return role === 'proxy' || (role === 'realm-service' && !primary) ? 'observer' : 'fenced';
}

/**
 * Nodes and keepers are peers: the keepers say who is primary. Satellites follow the primary realm service, and a proxy
 * stores nothing. All bear the names by which the realm knows them.
 */
function traitsOf({ name, role }: NativeSettings, version: string): Traits {
  return {
    domain: name,
    copies: role === 'proxy' ? 'nobody' : 'each',
    standbys: role === 'proxy' ? 'none' : role === 'realm-service' ? 'follow' : 'peer',
    maintenance: true,
    inRealm: true,
    renamable: false,
    maxMembers: role === 'node' ? MOST_NODES_OF_A_COPYSET : null,
    compatibility: majorOf(version),
    marksJournalFile: role === 'node',
    restoresRunning: false,
    archive: null,
  };
}

function majorOf(version: string): string {
  return version.split('.')[0] ?? '';
}

function running(settings: NativeSettings, said: ParticipantDescription, ours: boolean): MemberDescription {
  const { definition, highestEpoch, highestCounter } = said;
  return {
    ...unknown(settings),
    running: true,
    primary: said.primary,
    freezeKind: freezeKindOf(settings.role, said.primary),
    traits: traitsOf(settings, said.version),
    incarnation: said.incarnation,
    version: said.version,
    dataIdentity: said.dataIdentity,
    sizeBytes: said.sizeBytes,
    problems: [
      ...differences(settings, said),
      ...holds(settings, said, ours),
      ...recovering(settings, said),
      ...said.problems,
    ],
    warnings: warningsOf(settings, said),
    realm: definition === null ? null : { ...definition, highestEpoch, highestCounter },
    quorum: said.quorum,
    updatesHaveRoomMs: said.updatesHaveRoomMs,
  };
}

function unknown(settings: NativeSettings): MemberDescription {
  return {
    name: settings.name,
    role: settings.role,
    copyset: settings.copyset ?? null,
    engine: 'native',
    address: settings.address,
    running: false,
    primary: false,
    frozen: false,
    leftFrozen: false,
    freezeKind: freezeKindOf(settings.role, true),
    traits: traitsOf(settings, ''),
    incarnation: '',
    version: '',
    dataIdentity: '',
    sizeBytes: 0,
    journalBytesPerSecond: 0,
    copyBytesPerSecond: 0,
    problems: [],
    warnings: [],
    dataDirectory: settings.data,
    localCheckpoints: [],
    realm: null,
    quorum: null,
    abilities: abilitiesOf(settings),
    updatesHaveRoomMs: null,
  };
}

/** Nodes alone have rows, and so files that an operator copies. */
function abilitiesOf({ name, role }: NativeSettings): Abilities {
  if (role === 'node') return ABLE;
  const failure: Failure = {
    code: 'takes-no-part',
    message: `${name} is a ${role} and stores no rows: a hold is of nodes`,
    hint: 'nothing is to be done: it goes on while nodes are held; stillpoint checkpoint create stores its state',
  };
  return { journalCheckpoint: failure, quiesce: failure, quiesceAllowingReads: failure, freeze: failure };
}

/** After a crash a start may take long: that is no failure, and nothing to begin with either. */
function recovering({ name }: NativeSettings, { recovering: what }: ParticipantDescription): Failure[] {
  if (what === null) return [];
  return [
    {
      code: 'member-recovering',
      message: `${name} is recovering: ${what}`,
      hint: 'wait: it has not failed, and says how far it is; it takes part when it is there',
    },
  ];
}

function warningsOf(
  { name }: NativeSettings,
  { unjournaled, held }: ParticipantDescription,
): MemberDescription['warnings'] {
  const warnings: Warning[] = [];
  if (unjournaled.length > 0)
    warnings.push({
      code: 'database-not-journaled',
      about: name,
      text: `not every update of ${unjournaled.join(', ')} is journaled: what is not is in no mark, and all of it since a freeze began is LOST where the process crashes during that`,
      hint: 'journal these databases, or do not freeze the grid',
    });
  if (held.updatesWait)
    warnings.push({
      code: 'updates-wait',
      about: name,
      text: 'its clients wait with updates: its write daemon is suspended, and memory ran out, or the time is over',
      hint: 'stillpoint thaw, when the copies are made; the next time give more memory, or a longer --time-out',
    });
  return warnings;
}

/** A socket that leads to another process than the one named would make a checkpoint of the wrong thing. */
function differences(settings: NativeSettings, said: ParticipantDescription): Failure[] {
  const pairs: [string, string, string][] = [
    ['name', settings.name, said.name],
    ['role', settings.role, said.role],
    ['copyset', settings.copyset ?? 'none', said.copyset ?? 'none'],
    ['address', settings.address, said.address],
    ['data', settings.data, said.dataDirectory],
  ];
  return pairs
    .filter(([, ours, theirs]) => ours !== theirs)
    .map(([key, ours, theirs]) => ({
      code: 'participant-differs',
      message: `the process at ${settings.participant} says that its ${key} is ${theirs}; the agent's file says ${ours}`,
      hint: `correct ${key} of ${settings.name} in the agent's file, or the process that it names`,
    }));
}

function holds(settings: NativeSettings, { held }: ParticipantDescription, ours: boolean): Failure[] {
  if (held.operation === '' || ours) return [];
  return [
    {
      code: 'participant-held',
      message: `${settings.name} is held for another operation (${held.operation})`,
      hint: 'wait: it lets go by itself when nobody renews the hold',
    },
  ];
}

/** A process that says nothing while it starts shows by its files that it is there. */
function notThereYet({ name, participant }: NativeSettings): Failure {
  return {
    code: 'member-recovering',
    message: `a process has the files of ${name} open, and does not answer at ${participant}: it is starting, or recovering`,
    hint: 'wait: after a crash a start may take long; see its log for how far it is',
  };
}

function notTakingPart(settings: NativeSettings, { message }: Failure): Failure {
  return {
    code: 'participant-silent',
    message: `something answers at ${settings.address}, but not at ${settings.participant}: ${message}`,
    hint: 'let the process serve the participant contract there, or correct `participant` in the agent file',
  };
}

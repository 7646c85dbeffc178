import type { Assignment } from '../domain/assignment.ts';
import { StillpointError, type Failure, type MemberState, type Phase } from '../domain/errors.ts';
import type {
  DefinedProcess,
  HostDescription,
  Mark,
  MemberDescription,
  Realm,
  Traits,
} from '../domain/grid.ts';
import { NAME } from '../domain/name.ts';
import type { Token } from '../domain/token.ts';
import type { Abilities } from '../domain/purpose.ts';
import type { Viewing } from '../domain/viewing.ts';
import type { Warning } from '../domain/warning.ts';
import {
  NAMED_ADDRESS_STATES,
  type AddressMove,
  type AddressMoves,
  type NamedAddress,
} from '../domain/wire.ts';
import type * as wire from './generated/agent.ts';

/** Values that several messages share, domain ↔ wire. What is not understood is a `bad-message`. */

export function badMessage(what: string): StillpointError {
  return new StillpointError({
    code: 'bad-message',
    message: `a message was not understood: ${what}`,
    hint: 'run the same version of stillpoint everywhere',
  });
}

export function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw badMessage(`${what} is missing`);
  return value;
}

export function oneOf<const T extends string>(value: string, allowed: readonly T[], what: string): T {
  const found = allowed.find((one) => one === value);
  if (found === undefined) throw badMessage(`${what} is '${value.slice(0, 40)}'`);
  return found;
}

/** It becomes part of lines on terminals and of manifests. */
function toName(value: string, what: string): string {
  if (!NAME.test(value)) throw badMessage(`${what} is '${value.slice(0, 40)}'`);
  return value;
}

const PHASES: readonly Phase[] = [
  'preflight',
  'prepare',
  'freeze',
  'thaw',
  'collect',
  'commit',
  'plan',
  'stop check',
  'stage',
  'switch',
  'start',
  'verify',
  'check',
  'tear down',
];
export const STATES: readonly MemberState[] = ['running', 'frozen', 'stopped', 'unknown'];

export function toToken(token: wire.Token | undefined): Token {
  const { epoch, counter, attempt } = present(token, 'token');
  return { epoch, counter, attempt };
}

export function toFailure(value: wire.Failure | undefined): Failure {
  const { code, message, hint, host, member, phase, members } = present(value, 'failure');
  return {
    code,
    message,
    hint,
    ...(host !== undefined && { host }),
    ...(member !== undefined && { member }),
    ...(phase !== undefined && { phase: oneOf(phase, PHASES, 'phase') }),
    ...(members.length > 0 && {
      members: members.map((one) => ({ name: one.name, state: oneOf(one.state, STATES, 'state') })),
    }),
  };
}

export function fromFailure(failure: Failure): wire.Failure {
  return {
    code: failure.code,
    message: failure.message,
    hint: failure.hint,
    host: failure.host,
    member: failure.member,
    phase: failure.phase,
    members: (failure.members ?? []).map(({ name, state }) => ({ name, state })),
  };
}

export function toWarning({ code, about, text, hint, doubtful }: wire.Warning): Warning {
  return { code, about: about ?? null, text, hint, ...(doubtful && { doubtful }) };
}

export function fromWarning({ code, about, text, hint, doubtful = false }: Warning): wire.Warning {
  return { code, about: about ?? undefined, text, hint, doubtful };
}

export function toMoves(moves: wire.AddressMoves | undefined): AddressMoves | null {
  const toMove = ({ from, to }: wire.AddressMove): AddressMove => ({ from, to });
  return moves === undefined ? null : { members: moves.members.map(toMove), hosts: moves.hosts.map(toMove) };
}

export function fromMoves(moves: AddressMoves | null): wire.AddressMoves | undefined {
  if (moves === null) return undefined;
  return {
    members: moves.members.map((move) => ({ ...move })),
    hosts: moves.hosts.map((move) => ({ ...move })),
  };
}

export function toNamedAddress(value: wire.NamedAddress): NamedAddress {
  const { database, kind, name, from, to, why } = value;
  const state = oneOf(value.state, NAMED_ADDRESS_STATES, 'state of an address');
  return { database, kind, name, from, to, state, why };
}

export function toMark(mark: wire.Mark | undefined): Mark | null {
  return mark === undefined
    ? null
    : { journalFile: mark.journalFile ?? null, position: mark.position, name: mark.name };
}

export function fromMark(mark: Mark | null): wire.Mark | undefined {
  return mark === null ? undefined : { ...mark, journalFile: mark.journalFile ?? undefined };
}

/** Sizes travel as 64 bits and are numbers here: exact up to 9 petabytes, and none is larger. */
export function toCount(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw badMessage('a number that is too large');
  return Number(value);
}

/** Milliseconds of something that has happened. */
export function toDuration(value: number, what: string): number {
  if (value >= 0 && Number.isFinite(value)) return value;
  throw badMessage(`${what} is ${value}`);
}

/** Milliseconds for which a member may be held, or a host be claimed. How many, the agent's own file says. */
export function toLease(value: number): number {
  if (value > 0 && Number.isFinite(value)) return value;
  throw badMessage(`lease is ${value}`);
}

export function fromCount(value: number): bigint {
  return BigInt(Math.max(0, Math.round(value)));
}

function toMember(member: wire.MemberDescription): MemberDescription {
  return {
    name: member.name,
    role: oneOf(member.role, ['realm-service', 'state-keeper', 'node', 'proxy'], 'role'),
    copyset: member.copyset ?? null,
    engine: toName(member.engine, 'engine'),
    address: member.address,
    running: member.running,
    primary: member.primary,
    frozen: member.frozen,
    leftFrozen: member.leftFrozen,
    freezeKind: oneOf(member.freezeKind, ['fenced', 'observer', 'instant'], 'freeze kind'),
    traits: toTraits(member.traits),
    incarnation: member.incarnation,
    version: member.version,
    dataIdentity: member.dataIdentity,
    sizeBytes: toCount(member.sizeBytes),
    journalBytesPerSecond: toCount(member.journalBytesPerSecond),
    copyBytesPerSecond: toCount(member.copyBytesPerSecond),
    problems: member.problems.map(toFailure),
    warnings: member.warnings.map(toWarning),
    dataDirectory: member.dataDirectory,
    localCheckpoints: member.localCheckpoints,
    realm: member.realm === undefined ? null : toRealm(member.realm),
    quorum: member.quorum === undefined ? null : toQuorum(member.quorum),
    abilities: toAbilities(member.abilities),
    updatesHaveRoomMs:
      member.updatesHaveRoomMs === undefined
        ? null
        : toDuration(member.updatesHaveRoomMs, 'room for updates'),
    ...toViewing(member.viewing),
  };
}

function toTraits(value: wire.Traits | undefined): Traits {
  const traits = present(value, 'traits');
  return {
    domain: traits.domain,
    copies: oneOf(traits.copies, ['each', 'one', 'nobody'], 'copies'),
    standbys: oneOf(traits.standbys, ['follow', 'peer', 'none'], 'standbys'),
    maintenance: traits.maintenance,
    inRealm: traits.inRealm,
    renamable: traits.renamable,
    maxMembers: traits.maxMembers ?? null,
    compatibility: traits.compatibility,
    marksJournalFile: traits.marksJournalFile,
    restoresRunning: traits.restoresRunning,
    archive: traits.archive ?? null,
  };
}

function fromTraits(traits: Traits): wire.Traits {
  return { ...traits, maxMembers: traits.maxMembers ?? undefined, archive: traits.archive ?? undefined };
}

function fromMember(member: MemberDescription): wire.MemberDescription {
  return {
    ...member,
    copyset: member.copyset ?? undefined,
    traits: fromTraits(member.traits),
    sizeBytes: fromCount(member.sizeBytes),
    journalBytesPerSecond: fromCount(member.journalBytesPerSecond),
    copyBytesPerSecond: fromCount(member.copyBytesPerSecond),
    problems: member.problems.map(fromFailure),
    warnings: member.warnings.map(fromWarning),
    localCheckpoints: [...member.localCheckpoints],
    realm: member.realm === null ? undefined : fromRealm(member.realm),
    quorum: member.quorum ?? undefined,
    abilities: fromAbilities(member.abilities),
    updatesHaveRoomMs: member.updatesHaveRoomMs ?? undefined,
    viewing: fromViewing(member.viewing),
  };
}

function fromAbilities(abilities: Abilities): wire.Abilities {
  const { journalCheckpoint, quiesce, quiesceAllowingReads, freeze } = abilities;
  const from = (why: Abilities['freeze']): wire.Failure | undefined =>
    why === null ? undefined : fromFailure(why);
  return {
    journalCheckpoint: from(journalCheckpoint),
    quiesce: from(quiesce),
    quiesceAllowingReads: from(quiesceAllowingReads),
    freeze: from(freeze),
  };
}

function toAbilities(value: wire.Abilities | undefined): Abilities {
  const { journalCheckpoint, quiesce, quiesceAllowingReads, freeze } = present(value, 'abilities');
  const to = (why: wire.Failure | undefined): Abilities['freeze'] =>
    why === undefined ? null : toFailure(why);
  return {
    journalCheckpoint: to(journalCheckpoint),
    quiesce: to(quiesce),
    quiesceAllowingReads: to(quiesceAllowingReads),
    freeze: to(freeze),
  };
}

/** For a spread: absent where it is not set. */
export function toViewing(viewing: wire.Viewing | undefined): { viewing?: Viewing } {
  if (viewing === undefined) return {};
  return {
    viewing: {
      streamsAs: viewing.streamsAs ?? null,
      subscriptions: viewing.subscriptions.map(({ name, key, publications }) => ({
        name,
        key,
        publications,
      })),
      viewers: viewing.viewers.map(({ kind, key, isBlind, words }) => ({
        kind: oneOf(kind, ['standby', 'logical'], 'kind of viewer'),
        key,
        isBlind,
        words,
      })),
    },
  };
}

export function fromViewing(viewing: Viewing | undefined): wire.Viewing | undefined {
  if (viewing === undefined) return undefined;
  return {
    streamsAs: viewing.streamsAs ?? undefined,
    subscriptions: viewing.subscriptions.map((one) => ({ ...one, publications: [...one.publications] })),
    viewers: viewing.viewers.map((one) => ({ ...one })),
  };
}

export function toAssignment(value: wire.Assignment | undefined): Assignment {
  const { hold, part } = present(value, 'assignment');
  return {
    hold: oneOf(hold, ['member', 'lead', 'none'], 'hold'),
    part: oneOf(part, ['whole', 'journal', 'none'], 'part'),
  };
}

export function toProcess({ name, address, dataDirectory, running }: wire.DefinedProcess): DefinedProcess {
  return { name, address, dataDirectory, running };
}

function toRealm(realm: wire.Realm): Realm {
  return {
    grid: realm.grid,
    version: toCount(realm.version),
    copysets: realm.copysets.map(({ name, nodes }) => ({ name, nodes: nodes.map(toProcess) })),
    keepers: realm.keepers.map(toProcess),
    proxies: realm.proxies.map(toProcess),
    realmServices: realm.realmServices.map(toProcess),
    foreign: realm.foreign,
    highestEpoch: realm.highestEpoch,
    highestCounter: realm.highestCounter,
  };
}

function fromRealm(realm: Realm): wire.Realm {
  const all = (processes: readonly DefinedProcess[]): wire.DefinedProcess[] =>
    processes.map((one) => ({ ...one }));
  return {
    ...realm,
    version: fromCount(realm.version),
    copysets: realm.copysets.map(({ name, nodes }) => ({ name, nodes: all(nodes) })),
    keepers: all(realm.keepers),
    proxies: all(realm.proxies),
    realmServices: all(realm.realmServices),
    foreign: [...realm.foreign],
  };
}

function toQuorum({ running, configured }: wire.Quorum): { running: number; configured: number } {
  return { running, configured };
}

export function toHost(value: wire.HostDescription | undefined): HostDescription {
  const host = present(value, 'host');
  return {
    host: host.host,
    grid: host.grid,
    agentVersion: host.agentVersion,
    highestEpoch: host.highestEpoch,
    highestCounter: host.highestCounter,
    stateFreeBytes: toCount(host.stateFreeBytes),
    lineage: host.lineage ?? null,
    members: host.members.map(toMember),
  };
}

export function fromHost(host: HostDescription): wire.HostDescription {
  return {
    ...host,
    stateFreeBytes: fromCount(host.stateFreeBytes),
    lineage: host.lineage ?? undefined,
    members: host.members.map(fromMember),
  };
}

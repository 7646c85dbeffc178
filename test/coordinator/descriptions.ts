import { ABLE } from '../../shared/domain/purpose.ts';
import { BY_ITSELF } from '../../shared/domain/assignment.ts';
import type { HostDescription, MemberDescription, Traits } from '../../shared/domain/grid.ts';
import { LINEAGE, serverTraits } from '../repository/samples.ts';
import type { GridManifest, GridManifestMember } from '../../shared/domain/manifest.ts';

/** What a member changes of a healthy one; of its traits only what differs. */
type Changes = Partial<Omit<MemberDescription, 'traits'>> & { readonly traits?: Partial<Traits> };

/** A healthy member, as an agent would describe it; tests change what they are about. */
export function describedMember(name: string, changes: Changes = {}): MemberDescription {
  const version = changes.version ?? '18.4';
  return {
    name,
    role: 'node',
    copyset: name.slice(0, -1),
    engine: 'postgres',
    address: `${name}.example:5432`,
    running: true,
    primary: true,
    frozen: false,
    leftFrozen: false,
    freezeKind: 'fenced',
    incarnation: `${name} started 12:00`,
    version,
    dataIdentity: name.slice(0, -1),
    sizeBytes: 1000,
    journalBytesPerSecond: 0,
    copyBytesPerSecond: 0,
    problems: [],
    warnings: [],
    dataDirectory: '',
    localCheckpoints: [],
    realm: null,
    quorum: null,
    abilities: ABLE,
    updatesHaveRoomMs: null,
    ...changes,
    traits: serverTraits(name, {
      compatibility: version.split('.')[0] ?? '',
      ...(changes.engine === 'native' && realmTraits(changes.role ?? 'node')),
      ...changes.traits,
    }),
  };
}

/** Of a process that the realm defines. */
function realmTraits(role: MemberDescription['role']): Partial<Traits> {
  return {
    copies: role === 'proxy' ? 'nobody' : 'each',
    standbys: role === 'proxy' ? 'none' : role === 'realm-service' ? 'follow' : 'peer',
    maintenance: true,
    inRealm: true,
    renamable: false,
    maxMembers: role === 'node' ? 3 : null,
    marksJournalFile: role === 'node',
    restoresRunning: false,
  };
}

export function standby(name: string, changes: Changes = {}): MemberDescription {
  return describedMember(name, { primary: false, freezeKind: 'observer', sizeBytes: 0, ...changes });
}

export function describedHost(host: string, members: readonly MemberDescription[]): HostDescription {
  return {
    host,
    grid: 'orders',
    agentVersion: '0.1.0',
    highestEpoch: 0,
    highestCounter: 0,
    stateFreeBytes: 2e9,
    lineage: LINEAGE,
    members,
  };
}

export function manifestOf(
  members: readonly { host: string; member: MemberDescription }[],
  absent: readonly string[] = [],
): GridManifest {
  return {
    format: 1,
    grid: 'orders',
    lineage: LINEAGE,
    checkpoint: '20261120T120000.123Z_00000000_00000007_nightly',
    epoch: 0,
    counter: 7,
    createdAt: '2026-11-20T12:00:00.123Z',
    token: { epoch: 0, counter: 7, attempt: 1 },
    windowMs: 1,
    durationMs: 1,
    sizeBytes: 1,
    storedBytes: 1,
    journalMap: {},
    copysets: [...new Set(members.flatMap(({ member }) => member.copyset ?? []))],
    absent,
    warnings: [],
    members: members.map(({ host, member }): GridManifestMember => ({
      name: member.name,
      host,
      role: member.role,
      copyset: member.copyset,
      engine: member.engine,
      address: member.address,
      primary: member.primary,
      traits: member.traits,
      assignment: BY_ITSELF,
      manifestDigest: 'd',
      mark: member.freezeKind === 'observer' ? null : { journalFile: 'j', position: '1', name: 'm' },
      incarnation: 'i',
      fenceMs: 1,
      markMs: 1,
      thawMs: 1,
      sizeBytes: 1,
      storedBytes: 1,
    })),
  };
}

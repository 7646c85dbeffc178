import { EXIT, StillpointError, type Failure } from '../shared/domain/errors.ts';
import type { DefinedProcess, MemberDescription, Realm, Role, Traits } from '../shared/domain/grid.ts';
import type { Warning } from '../shared/domain/warning.ts';

/** A member and the host that it is on. */
export interface PlacedMember {
  readonly host: string;
  readonly description: MemberDescription;
}

export interface RealmReport {
  /** As the primary realm service holds it. */
  readonly realm: Realm;
  readonly warnings: readonly Warning[];
}

interface Defined {
  readonly process: DefinedProcess;
  readonly role: Role;
  readonly copyset: string | null;
}

/** What production should have; fewer still make a quorum. */
const KEEPERS_ADVISED = 3;
/** Fewer realm services are a primary and its satellites, or no fault tolerance. */
const CLUSTER_ADVISED = 3;

/** What the grid file says of a realm: that there is none, or nothing (null), and then the members tell. */
export type RealmKey = 'none' | null;

/** To the refusals that ask for a realm: the key of the grid file for those who have none. */
export const OR_NO_REALM = 'where the grid has none, say so in the grid file: realm: none';

/** Is there to be a realm that defines this grid, or a part of it? */
export function hasRealm(
  members: readonly { readonly role: Role; readonly traits: Traits }[],
  realm: RealmKey,
): boolean {
  return realm !== 'none' && members.some((member) => isRealms(member) || member.traits.inRealm);
}

/** What is there for a realm only. */
function isRealms({ role }: { readonly role: Role }): boolean {
  return role === 'realm-service' || role === 'state-keeper';
}

/**
 * What a grid with a realm must have before a checkpoint: its realm service reachable and holding this grid
 * alone, a quorum of state keepers, and an agent for every process that is defined. Throws the first reason
 * against it, exit code 3. Null for a grid without a realm. A pure function of what the agents described.
 */
export function checkRealm(grid: string, all: readonly PlacedMember[], key: RealmKey): RealmReport | null {
  const unexpected =
    key === 'none' ? noRealmIn(all.map(({ host, description }) => ({ ...description, host }))) : null;
  if (unexpected !== null) throw refuse(unexpected);
  if (
    !hasRealm(
      all.map(({ description }) => description),
      key,
    )
  )
    return null;
  const realm = reachableRealm(all);
  checkAlone(grid, realm);
  checkKeepers(realm, all);
  checkDefinition(realm, all);
  return {
    realm,
    warnings: [
      ...versionWarnings(all),
      ...clusterWarnings(all),
      ...keeperWarnings(realm),
      ...singleNodeWarnings(realm),
    ],
  };
}

/** By name, with its role, copyset and address. */
export function isDefinedByRealm({ traits }: { readonly traits: Traits }, realm: RealmKey): boolean {
  return realm !== 'none' && traits.inRealm;
}

/** A realm that nobody looks at may define what the grid file leaves out, and is not told of a restore. */
export function noRealmIn(
  members: readonly { readonly name: string; readonly role: Role; readonly host: string }[],
): Failure | null {
  const found = members.find(isRealms);
  if (found === undefined) return null;
  const { name, role, host } = found;
  return {
    code: 'realm-unexpected',
    message: `${name} on ${host} is a ${role}, and the grid file says realm: none`,
    hint: 'take realm out of the grid file; or, where it is no part of this grid, take the member out of the agent file',
    host,
    member: name,
  };
}

/** The members that are realm services and run. */
export function runningRealmServices(all: readonly PlacedMember[]): PlacedMember[] {
  return all.filter(
    ({ description }) =>
      description.role === 'realm-service' && description.running && description.realm !== null,
  );
}

function reachableRealm(all: readonly PlacedMember[]): Realm {
  const services = all.filter(({ description }) => description.role === 'realm-service');
  const running = runningRealmServices(all);
  const primaries = running.filter(({ description }) => description.primary);
  const realm = newestOf(primaries);
  if (realm === null) {
    throw refuse({
      code: 'realm-unreachable',
      message:
        services.length === 0
          ? 'no agent of this grid has a realm service'
          : `no primary realm service is running${running.length === 0 ? '' : `; ${namesOf(running)} ${running.length === 1 ? 'is a satellite' : 'are satellites'}`}`,
      hint:
        services.length === 0
          ? `name the realm services in their hosts' agent files; ${OR_NO_REALM}`
          : `start the primary realm service; ${namesOf(services)} ${services.length === 1 ? 'is' : 'are'} configured`,
    });
  }
  checkCluster(realm, services, running);
  return realm;
}

/**
 * A cluster of realm services works while most of it runs, by its own count and by the agents'. It is one where its
 * services say so, where several take updates, and, unless the primary says that it stands alone, where there are
 * so many: one of three that takes itself for the primary may be the one that the others have lost.
 */
function checkCluster(
  realm: Realm,
  services: readonly PlacedMember[],
  running: readonly PlacedMember[],
): void {
  const primaries = running.filter(({ description }) => description.primary);
  const views = primaries.flatMap(({ description }) => description.quorum ?? []);
  const all = Math.max(services.length, realm.realmServices.length);
  const isCluster =
    primaries.length > 1 ||
    (views.length === 0 ? all >= CLUSTER_ADVISED : views.some(({ configured }) => configured > 1));
  if (!isCluster) return;
  const configured = Math.max(all, ...views.map((view) => view.configured));
  const seen = together(running, views);
  if (isMajority(seen, configured)) return;
  throw refuse({
    code: 'realm-unreachable',
    message: `${seen} of ${configured} realm services are running together; a cluster of them needs more than half`,
    hint: 'start the others, or see in their logs why they do not reach each other',
  });
}

function checkAlone(grid: string, realm: Realm): void {
  if (realm.grid !== grid) {
    throw refuse({
      code: 'wrong-realm',
      message: `the realm defines grid ${realm.grid}, not ${grid}`,
      hint: 'correct `grid` in the grid file, or the address of the realm service in its agent file',
    });
  }
  if (realm.foreign.length === 0) return;
  throw refuse({
    code: 'realm-not-alone',
    message: `the realm has more than grid ${grid}: ${realm.foreign.join(', ')}`,
    hint: 'take these out of the realm; a checkpoint is of a realm with one grid and nothing else',
  });
}

/** A quorum as the keepers see it themselves and as the agents see it: the lower of the two counts. */
function checkKeepers(realm: Realm, all: readonly PlacedMember[]): void {
  const keepers = all.filter(({ description }) => description.role === 'state-keeper');
  const running = keepers.filter(({ description }) => description.running);
  const views = running.flatMap(({ description }) => description.quorum ?? []);
  const configured = Math.max(keepers.length, realm.keepers.length, ...views.map((view) => view.configured));
  const seen = together(running, views);
  if (isMajority(seen, configured)) return;
  const down = keepers.filter(({ description }) => !description.running);
  throw refuse({
    code: 'keepers-below-quorum',
    message:
      configured === 0
        ? 'the grid has no state keeper'
        : `${seen} of ${configured} state keepers are running together; a quorum is ${Math.floor(configured / 2) + 1}`,
    hint:
      down.length === 0
        ? 'see in their logs why they do not reach each other; `grid status` shows each'
        : `${namesOf(down)} ${down.length === 1 ? 'is' : 'are'} down. Where copysets changed meanwhile, stop the others too, then start all of them`,
  });
}

/**
 * For operations that hold nodes alone: every node that the newest definition has must be a member, and every node be
 * defined. Where no realm service runs, nobody can tell: such an operation needs none.
 */
export function checkNodesDefined(all: readonly PlacedMember[], key: RealmKey): void {
  if (key === 'none') return;
  const realm = newestOf(runningRealmServices(all));
  const nodes = all.filter(({ description }) => description.role === 'node');
  if (realm !== null) checkDefinition({ ...realm, realmServices: [], keepers: [], proxies: [] }, nodes);
}

function newestOf(services: readonly PlacedMember[]): Realm | null {
  return services
    .flatMap(({ description }) => description.realm ?? [])
    .reduce<Realm | null>((best, one) => (best === null || one.version > best.version ? one : best), null);
}

function checkDefinition(realm: Realm, all: readonly PlacedMember[]): void {
  const defined = new Map(processesOf(realm).map((one) => [one.process.name, one]));
  const members = new Map(all.map((one) => [one.description.name, one]));
  for (const { process, role } of defined.values()) {
    if (members.has(process.name)) continue;
    throw refuse({
      code: 'member-not-configured',
      message: `the realm defines the ${role} ${process.name} at ${process.address}, but no agent has it`,
      hint: "name it in its host's agent file, and that agent in the grid file: a checkpoint is of the whole grid",
      member: process.name,
    });
  }
  for (const { host, description } of all) {
    if (!description.traits.inRealm) continue;
    const found = defined.get(description.name);
    if (found !== undefined && found.role === description.role && found.copyset === description.copyset)
      continue;
    throw refuse({
      code: 'member-not-defined',
      message:
        found === undefined
          ? `${description.name} on ${host} is not in the realm's definition of the grid`
          : `${description.name} on ${host} is a ${inWords(description)}; the realm defines it as a ${inWords(found)}`,
      hint: 'correct it in the agent file, or define it in the realm',
      host,
      member: description.name,
    });
  }
}

function processesOf(realm: Realm): Defined[] {
  const as = (role: Role, processes: readonly DefinedProcess[]): Defined[] =>
    processes.map((process) => ({ process, role, copyset: null }));
  return [
    ...as('realm-service', realm.realmServices),
    ...as('state-keeper', realm.keepers),
    ...realm.copysets.flatMap(({ name, nodes }) =>
      as('node', nodes).map((node) => ({ ...node, copyset: name })),
    ),
    ...as('proxy', realm.proxies),
  ];
}

function versionWarnings(all: readonly PlacedMember[]): Warning[] {
  const held = runningRealmServices(all).map(
    ({ description }) => `${description.name} has version ${description.realm?.version}`,
  );
  const versions = new Set(runningRealmServices(all).map(({ description }) => description.realm?.version));
  return versions.size <= 1
    ? []
    : [
        ofGrid(
          'realm-definitions-differ',
          `the realm services hold different definitions of the grid: ${held.join(', ')}`,
          'wait until those that are behind have the newest; restart one that does not get it',
        ),
      ];
}

/** Of realm services that all take updates: they are there to survive the loss of a machine. */
function clusterWarnings(all: readonly PlacedMember[]): Warning[] {
  const running = runningRealmServices(all).filter(({ description }) => description.primary);
  if (!running.some(({ description }) => (description.quorum?.configured ?? 1) > 1) && running.length < 2)
    return [];
  const services = all.filter(({ description }) => description.role === 'realm-service');
  const sharing = services.filter(({ host }) => services.filter((one) => one.host === host).length > 1);
  return [
    ...(services.length >= CLUSTER_ADVISED
      ? []
      : [
          ofGrid(
            'realm-services-few',
            `the realm is a cluster of ${services.length} services; it survives no loss with fewer than three`,
            'add one',
          ),
        ]),
    ...(sharing.length === 0
      ? []
      : [
          ofGrid(
            'realm-services-together',
            `the realm services ${namesOf(sharing)} share a host; one loss takes them together`,
            'move one of them to another host',
          ),
        ]),
  ];
}

function keeperWarnings({ keepers }: Realm): Warning[] {
  return keepers.length >= KEEPERS_ADVISED
    ? []
    : [
        ofGrid(
          'keepers-few',
          `the grid has ${keepers.length} state ${keepers.length === 1 ? 'keeper' : 'keepers'}; production needs three`,
          'add one',
        ),
      ];
}

function singleNodeWarnings({ copysets }: Realm): Warning[] {
  return copysets
    .filter(({ nodes }) => nodes.length === 1)
    .map(({ name }) =>
      ofGrid(
        'copyset-single',
        `copyset ${name} has a single node; its loss takes the rows with it`,
        'add a node on another host',
      ),
    );
}

function ofGrid(code: string, text: string, hint: string): Warning {
  return { code, about: null, text, hint };
}

/** Those that run together: as the agents see it and as they do themselves, the lower of the two counts. */
function together(running: readonly PlacedMember[], views: readonly { readonly running: number }[]): number {
  return views.length === 0
    ? running.length
    : Math.min(running.length, Math.max(...views.map((view) => view.running)));
}

function isMajority(some: number, all: number): boolean {
  return some * 2 > all;
}

function inWords({ role, copyset }: { role: Role; copyset: string | null }): string {
  return copyset === null ? role : `${role} of copyset ${copyset}`;
}

function namesOf(members: readonly PlacedMember[]): string {
  return members.map(({ description }) => description.name).join(', ');
}

function refuse(failure: Failure): StillpointError {
  return new StillpointError({ ...failure, phase: 'preflight' }, EXIT.refused);
}

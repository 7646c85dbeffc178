import { EXIT, StillpointError, type Failure } from '../shared/domain/errors.ts';
import type { HostDescription, MemberDescription } from '../shared/domain/grid.ts';
import type { GridManifest, GridManifestMember } from '../shared/domain/manifest.ts';
import type { Warning } from '../shared/domain/warning.ts';
import type { PlannedMember } from './planned-member.ts';
import { hasRealm, isDefinedByRealm, noRealmIn, OR_NO_REALM, type RealmKey } from './realm-preflight.ts';
import { relocationOf, type Relocation } from './relocation.ts';
import { leadOf, sourcesOf } from './restore-sources.ts';

export interface RestorePlan {
  readonly members: readonly PlannedMember[];
  /** What the realm must be told before anything else starts. */
  readonly relocation: Relocation | null;
  readonly warnings: readonly Warning[];
}

export interface RestorePlanInput {
  readonly manifest: GridManifest;
  /** Every host of the target grid, with the address of its agent. */
  readonly hosts: readonly { readonly agent: string; readonly host: HostDescription }[];
  /** Host in the checkpoint → host of the target. */
  readonly maps: ReadonlyMap<string, string>;
  /** Where addresses are rewritten, the maps may name other hosts too, which the data leads to. */
  readonly demands?: { readonly rewriteAddresses: boolean };
  /** Of the target. */
  readonly realm: RealmKey;
}

interface Target {
  readonly agent: string;
  readonly host: string;
  readonly description: MemberDescription;
}

/**
 * Finds a place for every member of the checkpoint and data for every member of the target. A pure function;
 * throws, exit code 3, unless all of the grid has its place: a restore is of the whole grid. Only what was imported, which
 * has the state of one group of members, is for that group alone.
 */
export function planRestore(input: RestorePlanInput): RestorePlan {
  const { manifest, hosts, maps, realm } = input;
  const all: Target[] = hosts.flatMap(({ agent, host }) =>
    host.members.map((description) => ({ agent, host: host.host, description })),
  );
  const isMeant = (target: Target): boolean =>
    manifest.imported === undefined || manifest.members.some((member) => isAlike(member, target));
  const targets = all.filter(isMeant);
  checkMaps(input);
  const unexpected = realm === 'none' ? noRealmIn(manifest.members) : null;
  if (unexpected !== null) throw refuse(unexpected);
  checkComplete(manifest, realm);
  checkAlone(manifest.grid, targets);
  const placed = new Map<string, GridManifestMember>();
  const leftOut: GridManifestMember[] = [];
  for (const member of manifest.members) {
    const alike = member.traits.copies === 'one' ? alikeTargetOf(member, targets, input, placed) : null;
    if (alike === null && mayBeLeftOut(member, targets)) {
      leftOut.push(member);
      continue;
    }
    const target = alike ?? targetOf(member, targets, maps, manifest);
    const other = placed.get(target.description.name);
    if (other !== undefined) {
      throw refuse({
        code: 'plan-conflict',
        message: `${other.name} and ${member.name} both have ${target.description.name} on ${target.host} as their target`,
        hint: 'give the target a member for each, with the same names, or map their hosts to different ones (--map OLD=NEW)',
        member: member.name,
      });
    }
    placed.set(target.description.name, member);
  }
  const targetFor = new Map(targets.map((target) => [placed.get(target.description.name), target]));
  const warnings: Warning[] = [];
  const members = inStartOrder(targets.map((target) => planned(target, placed, targetFor, input, warnings)));
  return {
    members,
    relocation: relocationOf(members),
    warnings: [
      ...warnings,
      ...withoutPlace(input, targets),
      ...leftOut.map(onFewerMembers),
      ...notImported(
        manifest,
        all.filter((target) => !isMeant(target)),
      ),
      ...sameHost(members),
    ],
  };
}

function checkMaps({ maps, manifest, hosts, demands }: RestorePlanInput): void {
  for (const [from, to] of maps) {
    const isMembers = manifest.members.some((member) => member.host === from);
    if (!isMembers && demands?.rewriteAddresses === true) continue;
    if (!isMembers) {
      throw refuse({
        code: 'map-unknown',
        message: `--map ${from}=${to}: the checkpoint has no host ${from}`,
        hint: `its hosts are ${[...new Set(manifest.members.map((member) => member.host))].join(', ')}`,
      });
    }
    if (!hosts.some(({ host }) => host.host === to)) {
      throw refuse({
        code: 'map-unknown',
        message: `--map ${from}=${to}: the target grid has no host ${to}`,
        hint: `its hosts are ${hosts.map(({ host }) => host.host).join(', ')}`,
      });
    }
  }
}

/** A grid with a realm comes back whole or not at all: its realm, its keepers, and each copyset. */
function checkComplete(manifest: GridManifest, realm: RealmKey): void {
  if (!hasRealm(manifest.members, realm)) return;
  const has = (role: GridManifestMember['role'], copyset: string | null = null): boolean =>
    leadOf({ role, copyset }, manifest) !== undefined;
  const missing = [
    ...(has('realm-service') ? [] : ['the primary realm service']),
    ...(has('state-keeper') ? [] : ['the state keepers']),
    ...manifest.copysets.filter((copyset) => !has('node', copyset)).map((name) => `copyset ${name}`),
  ];
  if (missing.length === 0) return;
  throw refuse({
    code: 'checkpoint-incomplete',
    message: `${manifest.checkpoint} lacks ${missing.join(', ')}`,
    hint: `restore a checkpoint that has the realm, the keepers and every copyset (stillpoint checkpoint list); ${OR_NO_REALM}`,
  });
}

/**
 * The realm of the target may hold what is no part of the grid: stopping it would take that down, and its database is
 * replaced. One that does not run is known by what its files say of it.
 */
function checkAlone(grid: string, targets: readonly Target[]): void {
  const other = targets.find(({ description: { realm } }) => realm !== null && realm.grid !== grid);
  if (other !== undefined) {
    throw refuse({
      code: 'wrong-realm',
      message: `${other.description.name} on ${other.host} holds the realm of grid ${other.description.realm?.grid}, not of ${grid}`,
      hint: `correct its agent file; where that realm is not needed any more, move its live/ away: below ${other.description.dataDirectory}`,
      host: other.host,
      member: other.description.name,
    });
  }
  const foreign = new Set(targets.flatMap(({ description }) => description.realm?.foreign ?? []));
  if (foreign.size === 0) return;
  throw refuse({
    code: 'realm-not-alone',
    message: `the realm of the target has more than this grid: ${[...foreign].join(', ')}`,
    hint: 'take these out of the realm; a restore is of a realm with one grid and nothing else',
  });
}

/** By name, on the host that --map gives (or on any); else the only one of its copyset and engine there. */
function targetOf(
  member: GridManifestMember,
  targets: readonly Target[],
  maps: ReadonlyMap<string, string>,
  manifest: GridManifest,
): Target {
  // A target that bears another member's name is that one's.
  const isTaken = ({ description }: Target): boolean =>
    manifest.members.some(({ name }) => name === description.name);
  const host = maps.get(member.host);
  const there = host === undefined ? targets : targets.filter((target) => target.host === host);
  const fits = (target: Target): boolean =>
    target.description.engine === member.engine && target.description.role === member.role;
  const named = there.find((target) => target.description.name === member.name && fits(target));
  if (named !== undefined) return named;
  const alike = there.filter(
    (target) =>
      fits(target) &&
      !isTaken(target) &&
      member.traits.renamable &&
      target.description.copyset === member.copyset &&
      member.copyset !== null,
  );
  const [only] = alike;
  if (only !== undefined && alike.length === 1) return only;
  throw refuse({
    code: 'plan-no-target',
    message: `${member.name} (${member.engine}, copyset ${member.copyset ?? 'none'}) has no target${host === undefined ? '' : ` on ${host}`}`,
    hint: `name a member ${member.name} in an agent file of the target grid, or map its host ${member.host} (--map ${member.host}=NEW)`,
    member: member.name,
  });
}

/** Members that share one copy of their data are alike: any of their copyset may take any place of it. */
function alikeTargetOf(
  member: GridManifestMember,
  targets: readonly Target[],
  { maps, manifest }: RestorePlanInput,
  placed: ReadonlyMap<string, GridManifestMember>,
): Target | null {
  const host = maps.get(member.host);
  const fit = targets.filter(
    (target) => isAlike(member, target) && (host === undefined || target.host === host),
  );
  const named = fit.find(({ description }) => description.name === member.name);
  const isOthers = ({ description: { name } }: Target): boolean =>
    placed.has(name) || manifest.members.some((other) => other.name === name);
  return named ?? fit.find((target) => !isOthers(target)) ?? null;
}

function isAlike({ engine, role, copyset }: GridManifestMember, { description }: Target): boolean {
  return description.engine === engine && description.role === role && description.copyset === copyset;
}

/** Their data is the same on fewer of them; somebody must be there to have it. */
function mayBeLeftOut(member: GridManifestMember, targets: readonly Target[]): boolean {
  return member.traits.copies === 'one' && targets.some((target) => isAlike(member, target));
}

/** What was imported is the state of one group of members: a restore of it is of that group, and of no grid. */
function notImported({ checkpoint }: GridManifest, others: readonly Target[]): Warning[] {
  if (others.length === 0) return [];
  return [
    {
      code: 'member-not-imported',
      about: null,
      text: `${checkpoint} was imported and has nothing of ${others.map(({ description }) => description.name).join(', ')}: they stay as they are, and the grid is of no one moment afterwards`,
      hint: 'see that what they hold goes with what is restored; a checkpoint of the whole grid brings all back as one',
    },
  ];
}

function onFewerMembers({ name, copyset }: GridManifestMember): Warning {
  return {
    code: 'member-without-place',
    about: name,
    text: `no member is left for it in the target grid: copyset ${copyset ?? 'none'} is restored onto fewer members than it had`,
    hint: 'see that those that are there have room for all of its data, or name one more in an agent file',
  };
}

function planned(
  target: Target,
  placed: ReadonlyMap<string, GridManifestMember>,
  targetFor: ReadonlyMap<GridManifestMember | undefined, Target>,
  { manifest, realm }: RestorePlanInput,
  warnings: Warning[],
): PlannedMember {
  const { description } = target;
  const found = placed.get(description.name) ?? null;
  const sources =
    found === null && !mayBeRebuilt(description, manifest, realm)
      ? null
      : sourcesOf(description, found, manifest);
  if (sources === null) {
    throw refuse({
      code: 'plan-no-source',
      message: `${description.name} on ${target.host} ${found === null ? 'is not in the checkpoint' : 'was held for the checkpoint and not copied'}, and nothing there can stand for it`,
      hint: 'take it out of the agent file, or restore a checkpoint that has it',
      host: target.host,
      member: description.name,
    });
  }
  const { source, own, follows } = sources;
  if (found === null && manifest.imported === undefined) {
    const absent = manifest.absent.includes(description.name);
    warnings.push({
      code: 'member-rebuilt',
      about: null,
      text: `${description.name} was ${absent ? 'down and is absent from' : 'not in'} the checkpoint: it is rebuilt from ${source.name}${description.role === 'node' ? ' of its copyset' : ''}`,
      hint: 'where that is not what you want, restore a checkpoint that has it',
    });
  }
  if (source.assignment.part === 'none' && source.role !== 'proxy') {
    warnings.push({
      code: 'member-not-copied',
      about: description.name,
      text: `nothing of it is in the checkpoint, which only has its mark: ${source.mark?.position ?? 'none'}`,
      hint: 'put your own copy of that mark in its place before the restore: what is there is not replaced',
    });
  }
  const from = found ?? source;
  return {
    name: description.name,
    role: description.role,
    copyset: found?.copyset ?? description.copyset,
    engine: description.engine,
    traits: description.traits,
    from: { member: from.name, host: from.host, address: from.address },
    to: {
      member: description.name,
      host: target.host,
      agent: target.agent,
      address: description.address,
      dataDirectory: description.dataDirectory,
    },
    wasAt: found?.address ?? null,
    source,
    own,
    follow: follows ? (targetFor.get(source)?.description.address ?? null) : null,
  };
}

/** A standby more or less is no matter. What a realm defines must have been in the checkpoint, or absent. */
function mayBeRebuilt(member: MemberDescription, manifest: GridManifest, realm: RealmKey): boolean {
  const { name, role, copyset } = member;
  if (role === 'node' && !isDefinedByRealm(member, realm)) return copyset !== null;
  return manifest.absent.includes(name);
}

function withoutPlace({ manifest, realm }: RestorePlanInput, targets: readonly Target[]): Warning[] {
  if (!hasRealm(manifest.members, realm)) return [];
  return manifest.absent
    .filter((name) => !targets.some(({ description }) => description.name === name))
    .map((name) => ({
      code: 'member-without-place',
      about: null,
      text: `${name} is absent from the checkpoint, and no agent of the target grid has it`,
      hint: 'name it in an agent file to have it back',
    }));
}

const START_ORDER = ['realm-service', 'state-keeper', 'node', 'proxy'] as const;

/** Realm services, state keepers, nodes, proxies; a primary before the standbys that follow it. */
function inStartOrder(members: readonly PlannedMember[]): PlannedMember[] {
  const rank = (member: PlannedMember): number =>
    START_ORDER.indexOf(member.role) * 2 + (member.follow === null ? 0 : 1);
  return [...members].sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
}

/** The steps of the start: members of one wave start together, the next when all are healthy. */
export function startWaves(members: readonly PlannedMember[]): PlannedMember[][] {
  const waves = new Map<string, PlannedMember[]>();
  for (const member of members) {
    const key = `${member.role} ${member.follow === null ? 'primary' : 'standby'}`;
    waves.set(key, [...(waves.get(key) ?? []), member]);
  }
  return [...waves.values()];
}

function sameHost(members: readonly PlannedMember[]): Warning[] {
  return members.flatMap((member, index) =>
    members
      .slice(index + 1)
      .filter(
        (other) =>
          member.copyset !== null && other.copyset === member.copyset && other.to.host === member.to.host,
      )
      .map((other) => ({
        code: 'same-host',
        about: `copyset ${member.copyset}`,
        text: `${member.name} and ${other.name} would be on the same host ${member.to.host}`,
        hint: 'map one of them to another host',
      })),
  );
}

function refuse(failure: Failure): StillpointError {
  return new StillpointError({ ...failure, phase: 'plan' }, EXIT.refused);
}

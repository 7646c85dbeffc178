import { EXIT, StillpointError, type Failure } from '../shared/domain/errors.ts';
import type { HostDescription, MemberDescription } from '../shared/domain/grid.ts';
import { assign, notCopied, type Assigned, type TakingPart } from './assignment.ts';
import { checkCopysets, checkNames, checkProcesses, checkSupported } from './membership.ts';
import type { Warning } from '../shared/domain/warning.ts';
import { checkRealm, type PlacedMember, type RealmKey } from './realm-preflight.ts';
import {
  forecastRoom,
  inWords,
  journalWarning,
  megabytes,
  spoolBytes,
  type EarlierCheckpoint,
  type RoomForecast,
} from './room-forecast.ts';
import { checkViewers } from './viewer-preflight.ts';

interface DescribedHost {
  readonly host: HostDescription;
  readonly repositoryId: string;
}

export interface PreflightReport {
  readonly members: readonly TakingPart[];
  /** Members that are down; another of their copyset or kind runs. */
  readonly absent: readonly { readonly host: string; readonly name: string }[];
  /** In the order of definition: the realm's first, as it has them, then the others. */
  readonly copysets: readonly string[];
  readonly warnings: readonly Warning[];
  readonly sizeBytes: number;
}

export interface PreflightInput {
  readonly grid: string;
  /** Definition order; null where the grid file names none. */
  readonly copysets: readonly string[] | null;
  readonly realm: RealmKey;
  /** Are clients' writes to be refused meanwhile? */
  readonly maintenance: boolean;
  /** May consumers of logical replication outside of the grid go on? */
  readonly allowLogical?: boolean;
  readonly hosts: readonly DescribedHost[];
  readonly repositoryId: string;
  readonly repositoryFreeBytes: number;
  /** The newest in the repository, whose chunks will be used again; null where none can be read. */
  readonly earlier: EarlierCheckpoint | null;
}

/**
 * Looks at everything before anything is touched. Throws the first reason against a checkpoint, exit code 3.
 * A pure function of what the agents described.
 */
export function preflight(input: PreflightInput): PreflightReport {
  const all = placed(input.hosts);
  checkBelonging(input);
  checkSpool(input.hosts);
  checkNames(all);
  checkProcesses(all);
  const realm = checkRealm(input.grid, all, input.realm);
  const running = all.filter(({ description }) => description.running);
  checkProblems(running);
  checkNobodyFrozen(running);
  checkCopysets(input.copysets, all);
  checkSupported(all);
  if (input.maintenance) checkMaintenance(running);
  checkViewers(running, input.allowLogical ?? false);
  const descriptions = running.map(({ description }) => description);
  const assignments = assign(descriptions);
  const copied = copiedMembers(descriptions);
  const forecast = forecastRoom(copied, input.earlier);
  checkSpace(input.repositoryFreeBytes, forecast);
  return {
    members: running.map(({ host, description }) => ({
      host,
      description,
      kind: description.freezeKind,
      ...assignedTo(description, assignments),
    })),
    absent: all
      .filter(({ description }) => !description.running)
      .map(({ host, description }) => ({ host, name: description.name })),
    copysets: unique([
      ...(realm?.realm.copysets.map(({ name }) => name) ?? []),
      ...(input.copysets ?? running.flatMap(({ description }) => description.copyset ?? [])),
    ]),
    warnings: [
      ...(realm?.warnings ?? []),
      ...all.flatMap(({ description }) => description.warnings),
      ...sameHostWarnings(all),
      ...sameDataWarnings(running),
      ...[journalWarning(forecast) ?? []].flat(),
      ...notCopied(descriptions, assignments),
    ],
    sizeBytes: copied.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

export function assignedTo({ name }: MemberDescription, assignments: ReturnType<typeof assign>): Assigned {
  const found = assignments.get(name);
  if (found === undefined) throw new Error(`nothing is assigned to ${name}`);
  return found;
}

/** Whose data the repository will hold: of a domain that is copied once, the largest says how much that is. */
function copiedMembers(running: readonly MemberDescription[]): MemberDescription[] {
  const stored = running.filter(
    ({ freezeKind, traits }) => freezeKind !== 'observer' && traits.copies !== 'nobody',
  );
  return stored.filter(
    (member) =>
      member.traits.copies === 'each' ||
      member ===
        stored
          .filter(({ traits }) => traits.domain === member.traits.domain)
          .reduce((largest, one) => (one.sizeBytes > largest.sizeBytes ? one : largest)),
  );
}

/**
 * The same for `grid doctor`: all that speaks against a checkpoint, and that no member says of itself. Each check
 * names the first it finds. `repositoryId`: null where it could not be opened from here.
 */
export function gridProblems(
  input: Pick<PreflightInput, 'grid' | 'copysets' | 'hosts'> & {
    readonly repositoryId: string | null;
    readonly agents: Parameters<typeof checkHosts>[0];
  },
): Failure[] {
  const { repositoryId, hosts } = input;
  const all = placed(hosts);
  const checks = [
    () => checkHosts(input.agents),
    () => (repositoryId === null ? undefined : checkBelonging({ ...input, repositoryId })),
    () => checkSpool(hosts),
    () => checkNames(all),
    () => checkProcesses(all),
    () => checkCopysets(input.copysets, all),
    () => checkSupported(all),
  ];
  return checks.flatMap((check) => {
    try {
      check();
      return [];
    } catch (error) {
      if (error instanceof StillpointError) return [error.failure];
      throw error;
    }
  });
}

/** Refuses a host of another grid, or one that stores elsewhere. */
export function checkBelonging(input: Pick<PreflightInput, 'grid' | 'hosts' | 'repositoryId'>): void {
  for (const { host, repositoryId } of input.hosts) {
    if (host.grid !== input.grid) {
      throw refuse({
        code: 'wrong-grid',
        message: `the agent on ${host.host} belongs to grid ${host.grid}, not to ${input.grid}`,
        hint: 'take its address out of the grid file, or correct `grid` in one of the two files',
        host: host.host,
      });
    }
    if (repositoryId !== input.repositoryId) {
      throw refuse({
        code: 'repository-differs',
        message: `the agent on ${host.host} stores in another repository than the one of the grid file`,
        hint: 'let `repository` in grid file and agent files name the same directory, mounted on every host',
        host: host.host,
      });
    }
  }
}

/**
 * An agent that says it is the host of another agent of the grid file: one of the two is wrong, and what it
 * stored would be restored there. `asked` is the host of the address in the grid file.
 */
export function checkHosts(agents: readonly { readonly asked: string; readonly said: string }[]): void {
  for (const { asked, said } of agents) {
    if (said === asked || !agents.some((other) => other.asked === said)) continue;
    throw refuse({
      code: 'host-differs',
      message: `the agent on ${asked} says that it is the one on ${said}, which the grid file has besides`,
      hint: `correct \`host\` or \`listen\` in the agent file on ${asked}`,
      host: asked,
    });
  }
}

/** What a member says against it by itself. */
export function checkProblems(running: readonly PlacedMember[]): void {
  for (const { host, description } of running) {
    const problem = description.problems[0];
    if (problem !== undefined) throw refuse({ ...problem, host, member: description.name });
  }
}

/** Whoever asks holds the grid, and has frozen nobody. */
export function checkNobodyFrozen(running: readonly PlacedMember[]): void {
  const frozen = running.find(({ description }) => description.frozen);
  if (frozen === undefined) return;
  const { host, description } = frozen;
  throw refuse({
    code: 'member-frozen',
    message: `the agent on ${host} says that ${description.name} is frozen, and no operation of ours has frozen it`,
    hint: `systemctl restart stillpoint-agent on ${host}: it lets go of everything; journalctl -u stillpoint-agent says who held it`,
    host,
    member: description.name,
  });
}

function checkSpool(hosts: readonly DescribedHost[]): void {
  for (const { host } of hosts) {
    const needed = spoolBytes(host.members);
    if (host.stateFreeBytes >= needed) continue;
    throw refuse({
      code: 'agent-disk-full',
      message: `the agent on ${host.host} has ${megabytes(host.stateFreeBytes)} free for received journals; it may need ${megabytes(needed)}`,
      hint: `make room on the disk of its state directory (df /var/lib/stillpoint on ${host.host}), or name one on a larger disk: state in the agent file`,
      host: host.host,
    });
  }
}

/** Clients write to nodes: each must be able to refuse that. */
function checkMaintenance(running: readonly PlacedMember[]): void {
  const without = running.find(
    ({ description }) => description.role === 'node' && !description.traits.maintenance,
  );
  if (without === undefined) return;
  const { name, engine } = without.description;
  throw refuse({
    code: 'maintenance-unsupported',
    message: `${name} on ${without.host} is of engine ${engine}, which has no maintenance mode`,
    hint: 'create the checkpoint without --maintenance: clients may go on writing',
    host: without.host,
    member: name,
  });
}

function checkSpace(freeBytes: number, { dataBytes, journalBytes, copySeconds }: RoomForecast): void {
  if (freeBytes >= dataBytes + journalBytes) return;
  const journal =
    journalBytes === 0
      ? ''
      : `: ${megabytes(dataBytes)} of data, and ${megabytes(journalBytes)} of journal, which the members write in the ${inWords(copySeconds)} that the copy may take`;
  throw refuse({
    code: 'repository-full',
    message: `the repository has ${megabytes(freeBytes)} free; this checkpoint may need ${megabytes(dataBytes + journalBytes)}${journal}`,
    hint: 'stillpoint checkpoint prune --keep 7 deletes all but the newest seven; or make room on its disk',
  });
}

function sameHostWarnings(all: readonly PlacedMember[]): Warning[] {
  const places = new Map<string, string[]>();
  for (const { host, description } of all) {
    if (description.copyset === null) continue;
    const key = `${description.copyset}\n${host}`;
    places.set(key, [...(places.get(key) ?? []), description.name]);
  }
  return [...places].flatMap(([key, names]) => {
    const [copyset, host] = key.split('\n');
    if (names.length < 2) return [];
    const text = `${names.join(' and ')} are on the same host ${host}; one loss takes both`;
    return [
      { code: 'same-host', about: `copyset ${copyset}`, text, hint: 'move one of them to another host' },
    ];
  });
}

/** Grids whose copysets began as copies of one server exist; more often somebody has named a node twice. */
function sameDataWarnings(running: readonly PlacedMember[]): Warning[] {
  const primaries = running.filter(({ description }) => description.role === 'node' && description.primary);
  return primaries.flatMap(({ description: { name, dataIdentity } }, index) => {
    const other = primaries
      .slice(0, index)
      .find(({ description }) => description.dataIdentity === dataIdentity);
    if (other === undefined || dataIdentity === '') return [];
    const text = `${other.description.name} and ${name} say that their data is the same (${dataIdentity})`;
    const hint = 'is one a copy of the other? Else see whether one server is named twice';
    return [{ code: 'same-data', about: null, text, hint }];
  });
}

export function placed(hosts: readonly DescribedHost[]): PlacedMember[] {
  return hosts.flatMap(({ host }) => host.members.map((description) => ({ host: host.host, description })));
}

function refuse(failure: Failure): StillpointError {
  return new StillpointError({ ...failure, phase: 'preflight' }, EXIT.refused);
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}

import { EXIT, StillpointError, type Failure } from '../shared/domain/errors.ts';
import type { PlacedMember } from './realm-preflight.ts';

export function checkNames(all: readonly PlacedMember[]): void {
  if (all.length === 0) {
    throw refuse({
      code: 'no-members',
      message: 'no agent of this grid has a member',
      hint: "name the members in each host's agent file",
    });
  }
  for (const key of ['name', 'address'] as const) {
    const seen = new Map<string, string>();
    for (const { host, description } of all) {
      const other = seen.get(description[key]);
      if (other !== undefined) {
        throw refuse({
          code: 'duplicate-member',
          message: `two members have the ${key} ${description[key]}, on ${other} and on ${host}`,
          hint: `give each member of the grid a ${key} of its own in the agent files`,
          host,
          member: description.name,
        });
      }
      seen.set(description[key], host);
    }
  }
}

/** Two members that are one process, by whatever names: it would be frozen for both and thawed by the first. */
export function checkProcesses(all: readonly PlacedMember[]): void {
  const seen = new Map<string, PlacedMember>();
  for (const member of all) {
    const { host, description } = member;
    const { name, engine, incarnation, dataIdentity, dataDirectory } = description;
    const keys = [
      ...(incarnation === '' ? [] : [`process ${engine} ${dataIdentity} ${incarnation}`]),
      ...(dataDirectory === '' ? [] : [`directory ${host} ${dataDirectory}`]),
    ];
    for (const key of keys) {
      const other = seen.get(key);
      seen.set(key, member);
      if (other === undefined) continue;
      throw refuse({
        code: 'duplicate-member',
        message: `${other.description.name} on ${other.host} and ${name} on ${host} are the same ${key.split(' ')[0]}`,
        hint: 'name each process once in the agent files; where nobody named it twice, look at who runs these agents',
        host,
        member: name,
      });
    }
  }
}

export function checkCopysets(named: readonly string[] | null, all: readonly PlacedMember[]): void {
  const nodes = all.filter(({ description }) => description.role === 'node');
  for (const { host, description } of nodes) {
    if (named === null || description.copyset === null || named.includes(description.copyset)) continue;
    throw refuse({
      code: 'foreign-copyset',
      message: `${description.name} on ${host} is of copyset ${description.copyset}, which the grid file does not name`,
      hint: 'add it to `copysets` of the grid file, or take the member out of the agent file',
      host,
      member: description.name,
    });
  }
  const copysets = named ?? unique(nodes.flatMap(({ description }) => description.copyset ?? []));
  for (const copyset of copysets) {
    checkCopyset(
      copyset,
      nodes.filter(({ description }) => description.copyset === copyset),
    );
  }
  for (const { host, description } of nodes) {
    if (description.copyset === null && !description.running)
      throw refuse(notRunning(description.name, host));
  }
}

function checkCopyset(copyset: string, nodes: readonly PlacedMember[]): void {
  const running = nodes.filter(({ description }) => description.running);
  const primaries = running.filter(({ description }) => description.primary);
  const fail = (code: string, message: string, hint: string): never => {
    throw refuse({ code, message, hint });
  };
  if (nodes.length === 0) {
    fail(
      'copyset-missing',
      `no agent has a node of copyset ${copyset}`,
      'name its nodes in the agent files, or take it out of the grid file',
    );
  }
  const most = Math.min(...nodes.map(({ description }) => description.traits.maxMembers ?? Infinity));
  if (nodes.length > most) {
    fail(
      'copyset-too-large',
      `copyset ${copyset} has ${nodes.length} nodes; at most ${most} are allowed`,
      'take a node out of the agent files',
    );
  }
  if (running.length === 0) {
    fail(
      'copyset-down',
      `no node of copyset ${copyset} is running`,
      `start one of ${nodes.map(({ description }) => description.name).join(', ')}`,
    );
  }
  if (primaries.length === 0) {
    fail(
      'copyset-without-primary',
      `no running node of copyset ${copyset} is its primary`,
      `start its primary, or promote one of ${running.map(({ description }) => description.name).join(', ')}`,
    );
  }
  if (primaries.length > 1) {
    const names = primaries.map(({ description }) => description.name).join(' and ');
    fail(
      'copyset-split',
      `copyset ${copyset} has two primaries: ${names}`,
      'stop the one that must not be, and rebuild it as a standby',
    );
  }
  const identities = new Set(running.map(({ description }) => description.dataIdentity));
  if (identities.size > 1) {
    fail(
      'copyset-differs',
      `the nodes of copyset ${copyset} are not copies of the same data`,
      `no one of them can stand for the others: ${running.map(({ description }) => `${description.name} has ${description.dataIdentity}`).join(', ')}; correct copyset in the agent file of the one that is different`,
    );
  }
  const words = new Set(running.map(({ description }) => description.traits.compatibility));
  if (words.size > 1) {
    fail(
      'version-mismatch',
      `the nodes of copyset ${copyset} run versions ${[...words].join(' and ')}`,
      'bring them to one version',
    );
  }
}

export function checkSupported(all: readonly PlacedMember[]): void {
  const instants = all.filter(({ description }) => description.freezeKind === 'instant');
  const domains = new Set(instants.map(({ description }) => description.traits.domain));
  if (domains.size <= 1) return;
  throw refuse({
    code: 'two-instant-domains',
    message: `${instants.map(({ description }) => description.name).join(' and ')} can only be marked at an instant, and belong to different clusters`,
    hint: 'a grid may have one such cluster: no order holds between two instants',
  });
}

function notRunning(member: string, host: string): Failure {
  return {
    code: 'member-down',
    message: `${member} on ${host} is not running, and no other member holds its data`,
    hint: `start it, or see why it is down: its server's log on ${host}`,
    host,
    member,
  };
}

function refuse(failure: Failure): StillpointError {
  return new StillpointError({ ...failure, phase: 'preflight' }, EXIT.refused);
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}

import { EXIT, StillpointError } from '../../../../shared/domain/errors.ts';
import type { ArchiveContent } from '../archive/archive.ts';
import type { ContainerInfo } from '../server/answers.ts';
import type { RestoreRecord } from './work-room.ts';

/* Why a cluster is not restored. */

export function noFacts(member: string, missing: string): StillpointError {
  return failure(
    'infinispan-facts',
    `the checkpoint does not say what the archive of ${member} holds: ${missing}`,
    'restore another checkpoint, or with the release of stillpoint that made this one',
  );
}

export function elsewhere(member: string, directory: string): StillpointError {
  return failure(
    'infinispan-elsewhere',
    `${member}: its server keeps its state in ${directory}, which is not on this host`,
    'a restore goes through the agent on the host of the server: correct url in the agent file',
  );
}

export function notWhole(member: string, status: string): StillpointError {
  return failure(
    'infinispan-degraded',
    `${member}: the cluster says of itself that it is ${status}`,
    'see the logs of its servers, and let all of them join; then restore again',
  );
}

export function moving(member: string, seconds: number): StillpointError {
  return failure(
    'infinispan-rebalancing',
    `${member}: entries are still on their way between servers after ${seconds} s`,
    'wait until the cluster has come to rest, then restore again',
  );
}

/** `start`: how its owner starts it, where that is known. */
export function notRunning(member: string, cause: string, start: string | null): StillpointError {
  return failure(
    'infinispan-not-running',
    `${member} cannot be restored: ${cause}`,
    `start every server of the cluster${start === null ? '' : ` (here: ${start})`}, then restore again: what they hold is in memory, so they are restored while they run; an empty cluster will do`,
  );
}

export function olderServer(member: string, archive: string, server: string): StillpointError {
  return failure(
    'infinispan-older',
    `${member}: the archive is of version ${archive}, and the server of ${server}: a server reads no archive of a later release`,
    'restore it on servers of that release, or of a later one',
  );
}

export function otherContainer(member: string, archive: string, server: string): StillpointError {
  return failure(
    'infinispan-container',
    `${member}: the archive is of cache container ${archive}, and the server has ${server}`,
    'a server restores a container under its own name: call that of the target the same',
  );
}

export function otherLead({ node, coordinator }: ContainerInfo): StillpointError {
  return failure(
    'infinispan-changed',
    `the cluster was led by ${node} when the restore began, and is by ${coordinator} now`,
    'see which server left the cluster; then restore again',
  );
}

export function lostCache(cache: string, { node }: ContainerInfo): StillpointError {
  return failure(
    'restore-not-verified',
    `server ${node} has no cache ${cache} after the restore`,
    'are the servers of the agents members of one cluster? Compare url in the agent files with its list of members',
  );
}

/** A cluster that has lost a server meanwhile may have lost entries with it. */
export function mustBeSameServers({ servers }: RestoreRecord, { members }: ContainerInfo): void {
  if (servers.toSorted().join() === members.toSorted().join()) return;
  throw failure(
    'infinispan-changed',
    `the cluster was ${servers.join(', ')} when the restore began, and is ${members.join(', ')}`,
    'see the log of the server that left or came; then restore again',
  );
}

/** What lies in the repository was read and counted when it was stored: what comes from there is the same. */
export function mustBeArchiveOf(facts: ArchiveContent, found: ArchiveContent): void {
  const kinds = ['caches', 'counters', 'templates', 'protoSchemas', 'tasks'] as const;
  const kind = kinds.find((one) => JSON.stringify(facts[one]) !== JSON.stringify(found[one]));
  if (kind === undefined && facts.version === found.version && facts.container === found.container) return;
  throw new StillpointError(
    {
      code: 'infinispan-archive',
      message: `the archive is not what the checkpoint says of it${kind === undefined ? '' : `: its ${kind} are others`}`,
      hint: 'verify the checkpoint (stillpoint checkpoint verify), and restore another one',
    },
    EXIT.invalid,
  );
}

function failure(code: string, message: string, hint: string): StillpointError {
  return new StillpointError({ code, message, hint });
}

import { EXIT, StillpointError } from '../../shared/domain/errors.ts';
import type { Kind } from '../../shared/documents/document.ts';

/** What keeps a document from being taken, carried out or deleted. */
function failure(code: string, message: string, hint: string): StillpointError {
  return new StillpointError({ code, message, hint }, EXIT.refused);
}

export function clusterUnknown(name: string): StillpointError {
  return failure(
    'cluster-unknown',
    `spec.cluster: Not found: "${name}": no such cluster stands in the agent's file`,
    "documents.clusters in an agent's file names the clusters that documents can be applied to",
  );
}

export function wrongService(name: string, service: string): StillpointError {
  return failure(
    'service-type',
    `spec.cluster: Invalid value: "${name}": its spec.service.type is ${service}, and backups need DataGrid`,
    'apply it to a cluster of the service type DataGrid',
  );
}

export function classUnknown(name: string | undefined, known: readonly string[]): StillpointError {
  return failure(
    'storage-class-unknown',
    name === undefined
      ? 'spec.volume.storageClassName: Required value: no storage class is the default'
      : `spec.volume.storageClassName: Not found: "${name}"`,
    known.length === 0
      ? "write documents.storageClasses into the agent's file"
      : `the agent's file has ${known.join(', ')} (documents.storageClasses)`,
  );
}

export function noQuota(name: string, storage: string, left: string): StillpointError {
  return failure(
    'storage-quota',
    `spec.volume.storage: Invalid value: "${storage}": storage class ${name} has ${left} of its quota left`,
    'delete backups that are not needed, ask for less, or raise its quota in the file of the agent',
  );
}

export function noRoom(directory: string, asked: string, free: string): StillpointError {
  return failure(
    'storage-full',
    `${directory} has ${free} free, less than spec.volume.storage, which is ${asked}`,
    'make room there, or ask for less',
  );
}

export function tooLarge(name: string, storage: string): StillpointError {
  return failure(
    'storage-exceeded',
    `the archive of ${name} is larger than spec.volume.storage, which is ${storage}`,
    'apply it under a new name with more storage, or with fewer resources',
  );
}

export function volumeUnusable(directory: string, cause: string): StillpointError {
  return failure(
    'storage-unusable',
    `${directory} of the storage class cannot be used: ${cause}`,
    'see that the directory is there, mounted and not full, that the agent may write to it, and member.user go through it (chmod 711)',
  );
}

export function archiveInTheWay(path: string): StillpointError {
  return failure(
    'archive-exists',
    `${path} is there already, and no document is kept for it`,
    'move it away, or give the document another name',
  );
}

export function replicatedEmpty(cache: string, entries: number): StillpointError {
  return failure(
    'backup-replicated',
    `cache ${cache} is replicated and has ${entries} entries, and the archive has none of them: a server without capacity backs none up`,
    'make it a distributed cache, or name in spec.resources what is to be backed up without it; stillpoint checkpoint create has all of it',
  );
}

export function archiveMissing(path: string, cause: string): StillpointError {
  return failure(
    'archive-missing',
    `the archive of the backup cannot be read: ${path}: ${cause}`,
    'where it was made on another host, mount the directory of its storage class here too',
  );
}

export function archiveChanged(path: string): StillpointError {
  return failure(
    'archive-damaged',
    `${path} is not what the backup wrote: its digest is another`,
    'restore from another backup: this archive has changed since, or was cut off',
  );
}

export function backupUnknown(name: string): StillpointError {
  return failure(
    'backup-unknown',
    `spec.backup: Not found: "${name}"`,
    'stillpoint get backups lists those that are kept',
  );
}

export function backupNotReady(name: string, phase: string): StillpointError {
  return failure(
    'backup-not-ready',
    `spec.backup: Invalid value: "${name}": it is ${phase}, and only one that is Succeeded can be restored`,
    phase === 'Failed'
      ? 'apply the backup again under a new name'
      : `apply the Restore when stillpoint get backup ${name} says Succeeded`,
  );
}

export function documentMissing(kind: string, name: string): StillpointError {
  return failure(
    'document-missing',
    `${kind.toLowerCase()}s.infinispan.org "${name}" not found`,
    'stillpoint get lists what is kept',
  );
}

export function beingDeleted(kind: Kind, name: string): StillpointError {
  return failure(
    'document-terminating',
    `${kind} ${name} is being deleted`,
    'wait until stillpoint get does not list it any more',
  );
}

export function tooMany(most: number): StillpointError {
  return failure(
    'too-many-documents',
    `this agent keeps ${most} documents, and no more`,
    'delete those that are not needed any more',
  );
}

export function notZeroCapacity(template: string): StillpointError {
  return failure(
    'member-capacity',
    `the template ${template} makes no member without capacity: no file in its conf has zero-capacity-node="true"`,
    'write zero-capacity-node="true" at its cache-container: else it would take data of the cluster, and take it away again',
  );
}

export function templateUnusable(template: string, cause: string): StillpointError {
  return failure(
    'member-template',
    `the template ${template} cannot be read: ${cause}`,
    'member.template is the root of a server: a directory with conf and the configuration in it',
  );
}

export function memberFailed(why: string): StillpointError {
  return failure(
    'member-failed',
    why,
    "stillpoint logs shows what it said; the agent's file has its command (documents.clusters)",
  );
}

export function memberRemains(pids: readonly number[]): StillpointError {
  return failure(
    'member-remains',
    `the member does not end (pid ${pids.join(', ')}): not by SIGKILL either`,
    'see on its host what holds it, a disk that does not answer for one',
  );
}

export function clusterDegraded(status: string, caches: readonly string[]): StillpointError {
  return failure(
    'cluster-degraded',
    `the cluster is ${status}${caches.length === 0 ? '' : ` (${caches.slice(0, 5).join(', ')})`}: it may not have all entries`,
    'bring its members back, then apply the document under a new name',
  );
}

export function jobFailed(what: string): StillpointError {
  return failure(
    'member-failed',
    `the server has not completed the ${what}`,
    'stillpoint logs has the cause, as the server logged it',
  );
}

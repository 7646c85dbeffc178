import type { KeptDocument, Kind } from '../../shared/documents/document.ts';
import { EXIT, StillpointError, type Failure } from '../../shared/domain/errors.ts';

export function noSuchKind(word: string): StillpointError {
  return new StillpointError({
    code: 'usage',
    message: `the server doesn't have a resource type "${word}"`,
    hint: 'write backup or restore',
  });
}

/** Where an agent does not answer, it may be there that the document is: then nobody says that it is not. */
export function missing(kind: Kind | null, name: string, unreached: readonly Failure[]): StillpointError {
  const [silent] = unreached;
  if (silent !== undefined) return new StillpointError(silent, EXIT.refused);
  const kinds = kind === null ? 'documents' : `${kind.toLowerCase()}s.infinispan.org`;
  return new StillpointError(
    {
      code: 'document-missing',
      message: `${kinds} "${name}" not found`,
      hint: 'stillpoint get lists what is kept',
    },
    EXIT.refused,
  );
}

export function ambiguous(name: string): StillpointError {
  return new StillpointError({
    code: 'usage',
    message: `there is a Backup ${name} and a Restore ${name}`,
    hint: 'say which: backup or restore before the name',
  });
}

export function clusterNowhere(name: string, known: readonly string[]): StillpointError {
  return new StillpointError(
    {
      code: 'cluster-unknown',
      message: `spec.cluster: Not found: "${name}": no agent of this grid has it`,
      hint:
        known.length === 0
          ? 'write documents.clusters into the file of the agent that is to carry documents out: docs/documents.md'
          : `agents have ${known.join(', ')}; documents.clusters in an agent's file names them`,
    },
    EXIT.refused,
  );
}

export function clusterTwice(name: string, hosts: readonly string[]): StillpointError {
  return new StillpointError(
    {
      code: 'cluster-twice',
      message: `spec.cluster: Invalid value: "${name}": the agents on ${hosts.join(' and ')} have it both`,
      hint: 'let one agent alone have it in documents.clusters: only one may carry out what it stands for',
    },
    EXIT.refused,
  );
}

export function backupNowhere(name: string): StillpointError {
  return new StillpointError(
    {
      code: 'backup-unknown',
      message: `spec.backup: Not found: "${name}"`,
      hint: 'stillpoint get backups lists those that are kept',
    },
    EXIT.refused,
  );
}

export function notSucceeded({ kind, metadata, status }: KeptDocument): StillpointError {
  return new StillpointError(
    {
      code: 'document-failed',
      message: `${kind} ${metadata.name} has failed: ${status.reason ?? 'its agent does not say why'}`,
      hint: `stillpoint logs ${kind.toLowerCase()} ${metadata.name} shows the cause; then apply it again under a new name`,
    },
    EXIT.aborted,
  );
}

/** The same failure, with what was taken before it. */
export function after(applied: readonly string[], error: unknown): unknown {
  if (!(error instanceof StillpointError) || applied.length === 0) return error;
  const { failure, exitCode } = error;
  return new StillpointError(
    { ...failure, message: `${failure.message} (applied before it: ${applied.join(', ')})` },
    exitCode,
    { cause: error },
  );
}

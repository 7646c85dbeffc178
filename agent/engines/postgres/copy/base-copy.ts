import type { ArtifactSink } from '../../engine.ts';
import { isOnlyDamage, type CopyWarnings } from './copy-warnings.ts';
import { ArchiveReceiver, type BaseCopy } from './archive-receiver.ts';
import type { ConnectionSettings } from '../server/connection.ts';
import { parseLsn, type Lsn } from '../journal/lsn.ts';
import { baseBackup } from './base-backup-command.ts';
import { ReplicationConnection } from '../server/replication-connection.ts';
import type { PostgresSettings } from '../settings.ts';

/**
 * Copies the whole server with BASE_BACKUP over the replication protocol
 * (https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP): no
 * access to its files, nobody blocked. Each file of the tar streams becomes an artifact of its own, and is
 * checked against the server's own backup manifest.
 */
export async function copyBase(input: {
  settings: ConnectionSettings & Pick<PostgresSettings, 'copy'>;
  label: string;
  /** `server_version_num`. */
  serverVersion: number;
  artifacts: ArtifactSink;
  signal: AbortSignal;
  progress: (bytesDone: number, bytesTotal: number) => void;
  warnings: CopyWarnings;
  /** Called when it is known where in the journal the copy starts, long before it ends. */
  started: (start: Lsn) => void;
}): Promise<BaseCopy> {
  const { settings, label, signal } = input;
  const connection = await ReplicationConnection.open(settings, 'stillpoint-base');
  const receiver = new ArchiveReceiver(input);
  const abort = (): void => connection.close();
  signal.addEventListener('abort', abort, { once: true });
  try {
    // It may have come while the connection was opened.
    signal.throwIfAborted();
    const { command, adapt } = baseBackup({ settings, label, serverVersion: input.serverVersion });
    // First where it starts; then a row for each tablespace, with its size in kB; after the streams where it ends.
    const messages = connection.copyOut(
      command,
      (fields, index) => {
        if (index === 0) return input.started(parseLsn(fields[0] ?? ''));
        receiver.expect(Number(fields[2]) * 1024);
        adapt?.tablespace(fields[0] ?? '');
      },
      {
        warning: (said) => input.warnings.note(said),
        mayEndWith: (error) => settings.copy.damagedPages === 'mark' && isOnlyDamage(error),
        ...(adapt !== null && { stream: (index) => adapt.stream(index) }),
      },
    );
    for (;;) {
      const next = await messages.next();
      if (next.done === true) return await receiver.finish(next.value);
      for (const message of adapt?.messages(next.value) ?? [next.value]) await receiver.receive(message);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
    connection.close();
    receiver.end();
  }
}

import type { ArtifactSink } from '../engine.ts';
import { ArchiveReceiver, type BaseCopy } from './archive-receiver.ts';
import type { ConnectionSettings } from './connection.ts';
import { ReplicationConnection } from './replication-connection.ts';

/**
 * Copies the whole server with BASE_BACKUP over the replication protocol
 * (https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP): no
 * access to its files, nobody blocked. Each file of the tar streams becomes an artifact of its own, and is
 * checked against the server's own backup manifest.
 */
export async function copyBase(input: {
  settings: ConnectionSettings;
  label: string;
  artifacts: ArtifactSink;
  signal: AbortSignal;
  progress: (bytesDone: number, bytesTotal: number) => void;
  totalBytes: number;
}): Promise<BaseCopy> {
  const { settings, label, signal } = input;
  const connection = await ReplicationConnection.open(settings, 'stillpoint-base');
  const receiver = new ArchiveReceiver(input);
  const abort = (): void => connection.close();
  signal.addEventListener('abort', abort, { once: true });
  try {
    // It may have come while the connection was opened.
    signal.throwIfAborted();
    const options = [
      `LABEL '${label.replaceAll("'", "''")}'`,
      'PROGRESS',
      "CHECKPOINT 'fast'",
      // The journal comes over a stream of its own: an archive that is behind, or broken, must not hold us up.
      'WAIT false',
      'TABLESPACE_MAP',
      "MANIFEST 'yes'",
      "MANIFEST_CHECKSUMS 'SHA256'",
    ];
    const messages = connection.copyOut(`BASE_BACKUP (${options.join(', ')})`);
    for (;;) {
      const next = await messages.next();
      if (next.done === true) return await receiver.finish(next.value);
      await receiver.receive(next.value);
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

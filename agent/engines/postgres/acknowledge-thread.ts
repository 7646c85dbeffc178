import { parentPort, workerData } from 'node:worker_threads';
import type { ConnectionSettings } from './connection.ts';
import { parseLsn } from './lsn.ts';
import { parseStreamMessage, ReplicationConnection, standbyStatus } from './replication-connection.ts';

/**
 * The synchronous standby that is the fence. While it is armed every commit of the server waits for the word
 * of this thread, so it does nothing else: it receives the journal, throws it away, and acknowledges. Frozen,
 * it repeats its last acknowledgement and nothing newer; thawed, it acknowledges the latest at once.
 */
export type ToAcknowledger = 'freeze' | 'thaw' | 'stop';

export type FromAcknowledger =
  | { readonly type: 'streaming'; readonly processId: number }
  /** From now on nothing newer than `position` is acknowledged. */
  | { readonly type: 'frozen'; readonly position: bigint }
  | { readonly type: 'thawed'; readonly position: bigint }
  | { readonly type: 'lost'; readonly cause: string };

const STATUS_EVERY_MS = 1000;

async function main(settings: ConnectionSettings, applicationName: string): Promise<void> {
  const port = parentPort;
  if (port === null) throw new Error('the acknowledging thread needs its parent');
  const say = (message: FromAcknowledger): void => port.postMessage(message);

  const connection = await ReplicationConnection.open(settings, applicationName);
  const { position } = await connection.identify();
  let received = parseLsn(position);
  let acknowledged = received;
  let frozen = false;

  const acknowledge = (): void => {
    if (!frozen) acknowledged = received;
    connection.send(standbyStatus(acknowledged, acknowledged, acknowledged));
  };
  const receive = (bytes: Buffer): void => {
    const message = parseStreamMessage(bytes);
    if (message.type === 'data') {
      const end = message.start + BigInt(message.bytes.length);
      if (end > received) received = end;
      if (!frozen) acknowledge();
    } else if (message.replyWanted) acknowledge();
  };
  port.on('message', (order: ToAcknowledger) => {
    if (order === 'stop') {
      connection.close();
      process.exit(0);
    }
    frozen = order === 'freeze';
    if (frozen) return say({ type: 'frozen', position: acknowledged });
    acknowledge();
    return say({ type: 'thawed', position: acknowledged });
  });

  await connection.startStreaming(`START_REPLICATION PHYSICAL ${position}`, receive, (error) => {
    say({ type: 'lost', cause: error.message });
    process.exit(0);
  });
  acknowledge();
  // The server drops a standby that says nothing for wal_sender_timeout.
  setInterval(acknowledge, STATUS_EVERY_MS);
  say({ type: 'streaming', processId: connection.processId });
}

const { settings, applicationName } = workerData as { settings: ConnectionSettings; applicationName: string };
try {
  await main(settings, applicationName);
} catch (error) {
  parentPort?.postMessage({
    type: 'lost',
    cause: error instanceof Error ? error.message : String(error),
  } satisfies FromAcknowledger);
  process.exit(0);
}

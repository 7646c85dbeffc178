import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import type { ConnectionSettings } from './connection.ts';
import { parseLsn } from './lsn.ts';
import { ReplicationConnection } from './replication-connection.ts';
import { parseStreamMessage, standbyStatus } from './stream-messages.ts';

/**
 * The synchronous standby that is the fence. While it is armed every commit of the server waits for the word
 * of this thread, so it does nothing else: it receives the journal, throws it away, and acknowledges. Frozen,
 * it repeats its last acknowledgement and nothing newer; thawed, it acknowledges the latest at once.
 */
export type ToAcknowledger = 'connect' | 'freeze' | 'thaw';

export type FromAcknowledger =
  | { readonly type: 'streaming'; readonly processId: number }
  /** From now on nothing newer than `position` is acknowledged. */
  | { readonly type: 'frozen'; readonly position: bigint }
  | { readonly type: 'thawed'; readonly position: bigint }
  | { readonly type: 'lost'; readonly cause: string };

/** The server drops a standby that says nothing for wal_sender_timeout. */
const STATUS_EVERY_MS = 1000;

class Standby {
  readonly #port: MessagePort;
  readonly #settings: ConnectionSettings;
  readonly #applicationName: string;
  #connection: ReplicationConnection | null = null;
  #received = 0n;
  #acknowledged = 0n;
  #frozen = false;

  constructor(port: MessagePort, settings: ConnectionSettings, applicationName: string) {
    this.#port = port;
    this.#settings = settings;
    this.#applicationName = applicationName;
    port.on('message', (order: ToAcknowledger) => this.#obey(order));
  }

  #obey(order: ToAcknowledger): void {
    if (order === 'connect') {
      this.#connect().catch((error: unknown) =>
        this.#say({ type: 'lost', cause: error instanceof Error ? error.message : String(error) }),
      );
      return;
    }
    this.#frozen = order === 'freeze';
    if (order === 'thaw') this.#acknowledge();
    this.#say({ type: order === 'freeze' ? 'frozen' : 'thawed', position: this.#acknowledged });
  }

  async #connect(): Promise<void> {
    const connection = await ReplicationConnection.open(this.#settings, this.#applicationName);
    const { position } = await connection.identify();
    this.#received = parseLsn(position);
    this.#connection = connection;
    await connection.startStreaming(
      `START_REPLICATION PHYSICAL ${position}`,
      (bytes) => this.#receive(bytes),
      (error) => this.#say({ type: 'lost', cause: error.message }),
    );
    this.#acknowledge();
    setInterval(() => this.#acknowledge(), STATUS_EVERY_MS);
    this.#say({ type: 'streaming', processId: connection.processId });
  }

  #receive(bytes: Buffer): void {
    const message = parseStreamMessage(bytes);
    if (message.type === 'data') {
      const end = message.start + BigInt(message.bytes.length);
      if (end > this.#received) this.#received = end;
      if (!this.#frozen) this.#acknowledge();
    } else if (message.replyWanted) {
      this.#acknowledge();
    }
  }

  #acknowledge(): void {
    if (!this.#frozen) this.#acknowledged = this.#received;
    this.#connection?.send(standbyStatus(this.#acknowledged, this.#acknowledged, this.#acknowledged));
  }

  #say(message: FromAcknowledger): void {
    this.#port.postMessage(message);
  }
}

const { settings, applicationName } = workerData as { settings: ConnectionSettings; applicationName: string };
if (parentPort !== null) void new Standby(parentPort, settings, applicationName);

import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { machineMs } from '../../../../shared/runtime/clock.ts';
import { AcknowledgementGate } from './acknowledgement-gate.ts';
import type { ConnectionSettings } from '../server/connection.ts';
import { parseLsn } from '../journal/lsn.ts';
import { ReplicationConnection } from '../server/replication-connection.ts';
import { parseStreamMessage, standbyStatus } from '../journal/stream-messages.ts';

/**
 * The synchronous standby that is the fence. While it is armed every commit of the server waits for the word
 * of this thread, so it does nothing else: it receives the journal, throws it away, and acknowledges. While the
 * gate is closed it repeats its last acknowledgement and nothing newer.
 */
export type ToAcknowledger =
  | 'connect'
  /** Acknowledge now what the gate lets pass, and say which position that was. */
  | 'thaw'
  /** The same, with no answer. */
  | 'release';

export type FromAcknowledger =
  | { readonly type: 'streaming'; readonly processId: number }
  /** `atMs`: by the machine's clock. */
  | { readonly type: 'thawed'; readonly position: bigint; readonly atMs: number }
  | { readonly type: 'lost'; readonly cause: string };

export interface AcknowledgerData {
  readonly settings: ConnectionSettings;
  readonly applicationName: string;
  /** Silent for so long, it is dropped by the server; undefined: as every session of ours. */
  readonly timeoutMs: number | undefined;
  /** The memory of the gate. */
  readonly gate: SharedArrayBuffer;
}

/** The server drops a standby that says nothing for wal_sender_timeout. */
const STATUS_EVERY_MS = 1000;

class Standby {
  readonly #port: MessagePort;
  readonly #settings: ConnectionSettings;
  readonly #applicationName: string;
  readonly #timeoutMs: number | undefined;
  readonly #gate: AcknowledgementGate;
  #connection: ReplicationConnection | null = null;
  #received = 0n;

  constructor(port: MessagePort, { settings, applicationName, timeoutMs, gate }: AcknowledgerData) {
    this.#port = port;
    this.#settings = settings;
    this.#applicationName = applicationName;
    this.#timeoutMs = timeoutMs;
    this.#gate = new AcknowledgementGate(gate);
    port.on('message', (order: ToAcknowledger) => this.#obey(order));
  }

  #obey(order: ToAcknowledger): void {
    if (order === 'connect') {
      this.#connect().catch((error: unknown) =>
        this.#say({ type: 'lost', cause: error instanceof Error ? error.message : String(error) }),
      );
      return;
    }
    const position = this.#acknowledge();
    if (order === 'thaw') this.#say({ type: 'thawed', position, atMs: machineMs() });
  }

  async #connect(): Promise<void> {
    const connection = await ReplicationConnection.open(
      this.#settings,
      this.#applicationName,
      this.#timeoutMs,
    );
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
      this.#acknowledge();
    } else if (message.replyWanted) {
      this.#acknowledge();
    }
  }

  #acknowledge(): bigint {
    return this.#gate.acknowledge(this.#received, (position) =>
      this.#connection?.send(standbyStatus(position, position, position)),
    );
  }

  #say(message: FromAcknowledger): void {
    this.#port.postMessage(message);
  }
}

if (parentPort !== null) void new Standby(parentPort, workerData as AcknowledgerData);

import { parseLsn } from '../../../../agent/engines/postgres/journal/lsn.ts';
import { ReplicationConnection } from '../../../../agent/engines/postgres/server/replication-connection.ts';
import {
  parseStreamMessage,
  standbyStatus,
} from '../../../../agent/engines/postgres/journal/stream-messages.ts';
import type { PostgresServer } from '../../../lab/postgres.ts';

/**
 * A synchronous standby of the owner: acknowledges what it receives, and can be told to stop. With `replays: false` it is
 * a receiver that writes files alone, and says so.
 */
export class FakeStandby {
  readonly #connection: ReplicationConnection;
  readonly #status: NodeJS.Timeout;
  #received = 0n;
  #acknowledged = 0n;
  readonly #replays: boolean;
  silent = false;

  private constructor(connection: ReplicationConnection, replays: boolean) {
    this.#connection = connection;
    this.#replays = replays;
    this.#status = setInterval(() => this.#acknowledge(), 50);
  }

  static async join(
    server: PostgresServer,
    name: string,
    { replays = true }: { readonly replays?: boolean } = {},
  ): Promise<FakeStandby> {
    const connection = await ReplicationConnection.open({ name, connection: server.url }, name);
    const standby = new FakeStandby(connection, replays);
    const { position } = await connection.identify();
    // A standby says where it is with its first word.
    standby.#received = parseLsn(position);
    await connection.startStreaming(
      `START_REPLICATION PHYSICAL ${position}`,
      (bytes) => standby.#receive(bytes),
      () => undefined,
    );
    standby.#acknowledge();
    return standby;
  }

  leave(): void {
    clearInterval(this.#status);
    this.#connection.close();
  }

  #receive(bytes: Buffer): void {
    const message = parseStreamMessage(bytes);
    if (message.type === 'data') this.#received = message.start + BigInt(message.bytes.length);
    this.#acknowledge();
  }

  #acknowledge(): void {
    if (!this.silent) this.#acknowledged = this.#received;
    const at = this.#acknowledged;
    this.#connection.send(standbyStatus(at, at, this.#replays ? at : 0n));
  }
}

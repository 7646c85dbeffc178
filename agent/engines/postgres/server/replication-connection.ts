import type { Duplex } from 'node:stream';
import type { Client, QueryResultRow } from 'pg';
import { connect, connectionError, processIdOf, type ConnectionSettings } from './connection.ts';

/** What we use of pg's connection besides its documented part. */
interface RawConnection {
  readonly stream: Duplex;
  query(text: string): void;
  sendCopyFromChunk(chunk: Uint8Array): void;
  once(event: 'replicationStart', listener: () => void): void;
  on(event: 'copyOutResponse', listener: () => void): void;
}

/** `routine`: of the server's sources that says it; the words are in the language of the server. */
export interface ServerWarning {
  readonly message: string;
  readonly routine: string;
}

/**
 * A connection that speaks the streaming replication protocol
 * (https://www.postgresql.org/docs/current/protocol-replication.html): simple queries, and streams that the
 * pg library leaves to its users.
 */
export class ReplicationConnection {
  readonly #client: Client;
  readonly #raw: RawConnection;
  readonly #settings: ConnectionSettings;

  private constructor(client: Client, settings: ConnectionSettings) {
    this.#client = client;
    this.#raw = (client as unknown as { connection: RawConnection }).connection;
    this.#settings = settings;
  }

  /** `silenceMs`: the server drops the stream when it hears nothing for so long. */
  static async open(
    settings: ConnectionSettings,
    applicationName: string,
    silenceMs?: number,
  ): Promise<ReplicationConnection> {
    const client = await connect(settings, { applicationName, replication: 'physical', silenceMs });
    return new ReplicationConnection(client, settings);
  }

  /** The server process behind this connection, as in pg_stat_replication.pid. */
  get processId(): number {
    return processIdOf(this.#client);
  }

  async query<T extends QueryResultRow>(command: string): Promise<T[]> {
    try {
      return (await this.#client.query<T>(command)).rows;
    } catch (error) {
      throw connectionError(this.#settings, error);
    }
  }

  async identify(): Promise<{ systemIdentifier: string; timeline: number; position: string }> {
    const [row] = await this.query<{ systemid: string; timeline: string | number; xlogpos: string }>(
      'IDENTIFY_SYSTEM',
    );
    if (row === undefined) throw new Error('IDENTIFY_SYSTEM gave no row');
    return { systemIdentifier: row.systemid, timeline: Number(row.timeline), position: row.xlogpos };
  }

  /**
   * START_REPLICATION: resolves when the server streams. `received` is called with each message, whose bytes
   * are the caller's, and which ends the stream where it throws; `ended` once, with the reason.
   */
  startStreaming(
    command: string,
    received: (bytes: Buffer) => void,
    ended: (error: Error) => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      let streaming = false;
      let over = false;
      const end = (error: Error): void => {
        if (over) return;
        over = true;
        if (streaming) ended(error);
        else reject(connectionError(this.#settings, error));
      };
      this.#raw.once('replicationStart', () => {
        streaming = true;
        resolve();
      });
      this.#client.once('end', () => end(new Error('the server closed the connection')));
      this.#submit(command, {
        copyData: (bytes) => {
          try {
            received(bytes);
          } catch (error) {
            // Thrown on, it would end the process: whoever calls this is the socket.
            this.close();
            end(error instanceof Error ? error : new Error(String(error)));
          }
        },
        failed: end,
        ready: () => end(new Error('the server ended the stream')),
      });
    });
  }

  /** Bytes to the server while it streams. */
  send(bytes: Uint8Array): void {
    this.#raw.sendCopyFromChunk(bytes);
  }

  /**
   * Runs a command that answers with rows, then a stream, then rows (BASE_BACKUP). `row` is given each as it comes, and
   * `warning` what the server says meanwhile. `mayEndWith`:
   * an error that takes nothing back, where it comes behind the rows after the stream. Where there are several streams
   * (before PostgreSQL 15), `stream` stands before each: what it gives is a message of its own.
   */
  async *copyOut(
    command: string,
    row: (fields: readonly string[], index: number) => void,
    {
      warning,
      mayEndWith,
      stream,
    }: {
      readonly warning: (said: ServerWarning) => void;
      readonly mayEndWith: (error: Error) => boolean;
      readonly stream?: (index: number) => Buffer;
    },
  ): AsyncGenerator<Buffer, string[][]> {
    const rows: string[][] = [];
    const queue: Buffer[] = [];
    let over = false;
    let rowsBefore: number | null = null;
    let failure: Error | null = null;
    let wake: () => void = () => undefined;
    const end = (error: Error | null): void => {
      over = true;
      failure ??= error;
      wake();
    };
    this.#client.once('end', () => end(over ? null : new Error('the server closed the connection')));
    this.#client.on('notice', ({ message = '', routine = '' }) => warning({ message, routine }));
    let streams = 0;
    if (stream !== undefined) this.#raw.on('copyOutResponse', () => queue.push(stream(streams++)));
    this.#submit(command, {
      copyData: (bytes) => {
        rowsBefore ??= rows.length;
        queue.push(bytes);
        if (queue.length > 64) this.#raw.stream.pause();
        wake();
      },
      row: (fields) => {
        rows.push(fields);
        try {
          row(fields, rows.length - 1);
        } catch (error) {
          end(error instanceof Error ? error : new Error(String(error)));
        }
      },
      failed: (error) => {
        const isComplete = rowsBefore !== null && rows.length > rowsBefore;
        end(isComplete && mayEndWith(error) ? null : error);
      },
      ready: () => end(null),
    });
    for (;;) {
      const next = queue.shift();
      if (next !== undefined) {
        if (queue.length < 16) this.#raw.stream.resume();
        yield next;
        continue;
      }
      if (failure !== null) throw connectionError(this.#settings, failure);
      if (over) return rows;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }

  pause(): void {
    this.#raw.stream.pause();
  }

  resume(): void {
    this.#raw.stream.resume();
  }

  /** Closes at once: the server ends what the connection held (a temporary slot, a stream). */
  close(): void {
    this.#raw.stream.destroy();
  }

  /** Hands a command to pg with our own handlers for what comes back. */
  #submit(
    command: string,
    handlers: {
      copyData(bytes: Buffer): void;
      row?(fields: string[]): void;
      failed(error: Error): void;
      ready(): void;
    },
  ): void {
    const ignore = (): void => undefined;
    const submittable = {
      submit: (connection: RawConnection) => connection.query(command),
      // The parser reuses its buffer: what is kept must be copied.
      handleCopyData: ({ chunk }: { chunk: Buffer }) => handlers.copyData(Buffer.from(chunk)),
      handleDataRow: ({ fields }: { fields: (string | Buffer | null)[] }) =>
        handlers.row?.(fields.map((field) => field?.toString() ?? '')),
      handleError: (error: Error) => handlers.failed(error),
      handleReadyForQuery: () => handlers.ready(),
      handleRowDescription: ignore,
      handleCommandComplete: ignore,
      handleEmptyQuery: ignore,
      handlePortalSuspended: ignore,
      handleCopyInResponse: ignore,
    };
    this.#client.query(submittable as unknown as string).catch?.(() => undefined);
  }
}

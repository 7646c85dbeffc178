import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { agentDiskError } from '../../../disk-error.ts';
import type { ConnectionSettings } from '../server/connection.ts';
import { formatLsn, parseLsn, segmentName, segmentOf, segmentStart, type Lsn } from './lsn.ts';
import { ReplicationConnection } from '../server/replication-connection.ts';
import { parseStreamMessage, standbyStatus } from './stream-messages.ts';
import { journalDamaged } from './journal-bytes.ts';

/** The name by which the server knows the receiver. */
export const JOURNAL_NAME = 'stillpoint-journal';

const STATUS_EVERY_MS = 1000;
/** More than this received and not yet written: the server is asked to wait. */
const MAX_UNWRITTEN_BYTES = 8 * 1024 * 1024;

/**
 * Receives the journal into files of the spool, from before the base copy starts until the mark. A slot
 * (journal-slot.ts) keeps the server from removing what was not received yet. The status says "written" and
 * never "flushed", so that no `synchronous_standby_names` takes this receiver for a standby whose word counts.
 */
export class JournalReceiver {
  readonly timeline: number;
  readonly segmentBytes: number;
  readonly directory: string;
  /** The beginning of the first file. */
  readonly start: Lsn;
  /** History files of earlier timelines: name and content. */
  readonly histories: readonly { readonly name: string; readonly content: string }[];
  readonly #connection: ReplicationConnection;
  #received: Lsn;
  #written: Lsn;
  #file: { segment: bigint; handle: FileHandle } | null = null;
  /** Received, and not given to a write yet. A busy server sends every commit by itself; each write takes all of them. */
  #queue: Buffer[] = [];
  #writing: Promise<void> | null = null;
  #failure: Error | null = null;
  #waiting: { position: Lsn; resolve(): void; reject(error: Error): void }[] = [];
  readonly #filled: (segment: bigint) => void;
  readonly #lost: (error: Error) => void;
  #stopped = false;
  readonly #status: NodeJS.Timeout;
  #paused = false;

  private constructor(
    connection: ReplicationConnection,
    start: Lsn,
    identity: {
      timeline: number;
      segmentBytes: number;
      directory: string;
      histories: JournalReceiver['histories'];
    },
    told: { filled(segment: bigint): void; lost(error: Error): void },
  ) {
    this.#filled = (segment) => told.filled(segment);
    this.#lost = (error) => told.lost(error);
    this.#connection = connection;
    this.timeline = identity.timeline;
    this.segmentBytes = identity.segmentBytes;
    this.directory = identity.directory;
    this.histories = identity.histories;
    this.start = start;
    this.#received = start;
    this.#written = start;
    this.#status = setInterval(() => this.#sendStatus(), STATUS_EVERY_MS);
  }

  /** Everything before this is in the files. */
  get written(): Lsn {
    return this.#written;
  }

  /**
   * Resolves when the server streams, from the beginning of its current file. `filled` is called with every file
   * that is complete, `lost` once, when the journal is not received any more and nobody has stopped it.
   */
  static async start(input: {
    settings: ConnectionSettings;
    directory: string;
    segmentBytes: number;
    filled(segment: bigint): void;
    lost(error: Error): void;
  }): Promise<JournalReceiver> {
    const { settings, directory, segmentBytes } = input;
    const connection = await ReplicationConnection.open(settings, JOURNAL_NAME);
    try {
      const { timeline, position } = await connection.identify();
      const histories = timeline === 1 ? [] : await readHistories(connection, timeline);
      const start = segmentStart(segmentOf(parseLsn(position), segmentBytes), segmentBytes);
      const identity = { timeline, segmentBytes, directory, histories };
      const receiver = new JournalReceiver(connection, start, identity, input);
      await connection.startStreaming(
        `START_REPLICATION PHYSICAL ${formatLsn(start)} TIMELINE ${timeline}`,
        (bytes) => receiver.#receive(bytes),
        (error) =>
          receiver.#fail(error instanceof StillpointError ? error : streamLost(settings.name, error)),
      );
      return receiver;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** Resolves when everything before this position is in the files; rejects when the stream was lost. */
  reached(position: Lsn): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (this.#written >= position) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ position, resolve, reject });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#status);
    this.#connection.close();
    this.#fail(new Error('the journal receiver was stopped'));
    await this.#writing;
    await this.#closeFile();
  }

  #receive(bytes: Buffer): void {
    if (this.#failure !== null) return;
    const message = parseStreamMessage(bytes);
    if (message.type === 'keepalive') {
      if (message.replyWanted) this.#sendStatus();
      return;
    }
    // A hole would be zeros in a file, and nobody would know.
    if (message.start !== this.#received) {
      const [start, expected] = [formatLsn(message.start), formatLsn(this.#received)];
      return this.#fail(
        journalDamaged(`the server sent its journal from ${start}, where ${expected} was to follow`),
      );
    }
    this.#received = message.start + BigInt(message.bytes.length);
    this.#queue.push(message.bytes);
    this.#writing ??= this.#writeQueue()
      .catch((error: unknown) => this.#fail(asError(agentDiskError(error, 'the journal cannot be received'))))
      .finally(() => (this.#writing = null));
    if (!this.#paused && this.#received - this.#written > MAX_UNWRITTEN_BYTES) {
      this.#paused = true;
      this.#connection.pause();
    }
  }

  async #writeQueue(): Promise<void> {
    while (this.#queue.length > 0 && this.#failure === null) {
      const batch = this.#queue;
      this.#queue = [];
      await this.#write(batch.length === 1 && batch[0] !== undefined ? batch[0] : Buffer.concat(batch));
    }
  }

  async #write(bytes: Buffer): Promise<void> {
    let at = this.#written;
    let rest = bytes;
    while (rest.length > 0) {
      const segment = segmentOf(at, this.segmentBytes);
      const offset = Number(at - segmentStart(segment, this.segmentBytes));
      const part = rest.subarray(0, this.segmentBytes - offset);
      const handle = await this.#fileOf(segment);
      await handle.write(part, 0, part.length, offset);
      rest = rest.subarray(part.length);
      at += BigInt(part.length);
      if (offset + part.length === this.segmentBytes) {
        await this.#closeFile();
        this.#filled(segment);
      }
    }
    this.#written = at;
    if (this.#paused && this.#received - this.#written < MAX_UNWRITTEN_BYTES / 2) {
      this.#paused = false;
      this.#connection.resume();
    }
    this.#waiting = this.#waiting.filter((waiting) => {
      if (waiting.position > at) return true;
      waiting.resolve();
      return false;
    });
  }

  async #fileOf(segment: bigint): Promise<FileHandle> {
    if (this.#file?.segment === segment) return this.#file.handle;
    const handle = await open(
      join(this.directory, segmentName(segment, this.timeline, this.segmentBytes)),
      'w',
      0o600,
    );
    this.#file = { segment, handle };
    return handle;
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await file?.handle.close();
  }

  #sendStatus(): void {
    if (this.#failure === null) this.#connection.send(standbyStatus(this.#received, 0n, 0n));
  }

  #fail(error: Error): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    clearInterval(this.#status);
    this.#connection.close();
    for (const waiting of this.#waiting) waiting.reject(error);
    this.#waiting = [];
    if (!this.#stopped) this.#lost(error);
  }
}

async function readHistories(
  connection: ReplicationConnection,
  timeline: number,
): Promise<{ name: string; content: string }[]> {
  const [row] = await connection.query<{ filename: string; content: string | Buffer }>(
    `TIMELINE_HISTORY ${timeline}`,
  );
  return row === undefined ? [] : [{ name: row.filename, content: row.content.toString() }];
}

function streamLost(member: string, error: Error): StillpointError {
  return new StillpointError({
    code: 'journal-lost',
    message: `the journal of ${member} is not received any more: ${error.message}`,
    hint: "see the server's log; was it restarted, or its walsender ended?",
  });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

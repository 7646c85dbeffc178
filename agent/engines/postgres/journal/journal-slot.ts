import { escapeLiteral, type Client } from 'pg';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { megabytes } from '../../../byte-size.ts';
import { connect, connectionError, type ConnectionSettings } from '../server/connection.ts';
import { formatLsn, parseLsn, type Lsn } from './lsn.ts';

const LOOK_EVERY_MS = 1000;
const LOOK_TIMEOUT_MS = 60_000;

interface Kept {
  /** Bytes between what we have and what the server writes. */
  readonly bytes: string;
  readonly status: string;
}

/**
 * A temporary slot that keeps the server from removing journal which we have not received yet, and nothing else:
 * it follows what was received. It belongs to a session of its own. The receiver's stream cannot move a slot
 * without saying "flushed", and `*` in synchronous_standby_names would then take it for a standby that counts.
 * Any error in the session drops the slot, so nothing is asked there that may fail.
 */
export class JournalSlot {
  readonly #client: Client;
  readonly #name: string;
  readonly #member: string;
  readonly #mostBytes: number;
  readonly #lost: (error: StillpointError) => void;
  readonly #safeLimit: string;
  #timer: NodeJS.Timeout | null = null;
  /** The server keeps everything from here on. */
  #kept: Lsn;
  #closed = false;

  private constructor(
    client: Client,
    input: { settings: ConnectionSettings; mostBytes: number; lost: (error: StillpointError) => void },
    name: string,
    { kept, limit }: { readonly kept: string; readonly limit: string },
  ) {
    this.#client = client;
    this.#name = name;
    this.#member = input.settings.name;
    this.#mostBytes = input.mostBytes;
    this.#lost = input.lost;
    this.#kept = parseLsn(kept);
    this.#safeLimit = limit;
    client.once('end', () => this.#fail(slotLost(this.#member, this.#safeLimit)));
  }

  /** `lost` is called once, when the slot is gone and nobody has closed it, or was given up: never after `close`. */
  static async open(input: {
    settings: ConnectionSettings;
    /** The slot is given up when the server would have to keep more than this. */
    mostBytes: number;
    lost: (error: StillpointError) => void;
  }): Promise<JournalSlot> {
    const { settings } = input;
    const client = await connect(settings, {
      applicationName: 'stillpoint-slot',
      queryTimeoutMs: LOOK_TIMEOUT_MS,
    });
    try {
      const name = `stillpoint_${crypto.randomUUID().replaceAll('-', '').slice(0, 16)}`;
      const { rows } = await client.query<{ kept: string; limit: string }>(
        `SELECT lsn::text AS kept, current_setting('max_slot_wal_keep_size') AS limit
           FROM pg_create_physical_replication_slot(${escapeLiteral(name)}, true, true)`,
      );
      const [made] = rows;
      if (made === undefined) throw new Error('the server made no slot');
      return new JournalSlot(client, input, name, made);
    } catch (error) {
      client.end().catch(() => undefined);
      throw connectionError(settings, error);
    }
  }

  /** From now on the slot moves to what `received` says, a moment later. */
  follow(received: () => Lsn): void {
    const again = (): void => {
      this.#timer = setTimeout(() => void look(), LOOK_EVERY_MS);
    };
    const look = async (): Promise<void> => {
      try {
        await this.#moveTo(received());
        if (!this.#closed) again();
      } catch (error) {
        this.#fail(slotLost(this.#member, this.#safeLimit, error));
      }
    };
    again();
  }

  /** Why the stream was lost: a server that has given the slot up has removed what it was still to send. */
  async causeOf(streamLost: StillpointError): Promise<StillpointError> {
    try {
      const { rows } = await this.#client.query<Pick<Kept, 'status'>>(
        `SELECT wal_status AS status FROM pg_replication_slots WHERE slot_name = ${escapeLiteral(this.#name)}`,
      );
      const [{ status } = { status: 'lost' }] = rows;
      if (status === 'reserved' || status === 'extended') return streamLost;
    } catch {
      // Its session was ended too.
    }
    return slotLost(this.#member, this.#safeLimit, streamLost);
  }

  /** The session ends, and the server with it what it kept for us. Idempotent. */
  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#client.end().catch(() => undefined);
  }

  async #moveTo(position: Lsn): Promise<void> {
    // It begins where the server's last checkpoint did, which may be behind what came so far: backwards would be an
    // error, and end the slot.
    if (position > this.#kept) this.#kept = position;
    // Also where nothing is new: a server ends a slot that nobody has touched for its idle_replication_slot_timeout.
    await this.#client.query(
      `SELECT pg_replication_slot_advance(${escapeLiteral(this.#name)}, '${formatLsn(this.#kept)}')`,
    );
    const { rows } = await this.#client.query<Kept>(
      `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::text AS bytes, wal_status AS status
         FROM pg_replication_slots WHERE slot_name = ${escapeLiteral(this.#name)}`,
    );
    const [kept] = rows;
    if (kept === undefined || kept.status === 'lost') throw new Error('the slot is gone');
    if (Number(kept.bytes) <= this.#mostBytes) return;
    this.#fail(
      new StillpointError({
        code: 'journal-behind',
        message: `the agent is ${megabytes(Number(kept.bytes))} behind the journal of ${this.#member}; the server keeps ${megabytes(this.#mostBytes)} for it at most`,
        hint: `look at the network and the load of the agent's host, or raise copy.mostJournal of ${this.#member}`,
      }),
    );
  }

  #fail(error: StillpointError): void {
    if (this.#closed) return;
    this.close();
    this.#lost(error);
  }
}

function slotLost(member: string, safeLimit: string, cause?: unknown): StillpointError {
  const limited = safeLimit !== '-1' && safeLimit !== '';
  return new StillpointError(
    {
      code: 'journal-slot-lost',
      message: `${member} does not keep its journal for the checkpoint any more: the slot or its session was ended`,
      hint: limited
        ? `its max_slot_wal_keep_size is ${safeLimit}, and the agent may have been further behind; else see its log: was it restarted?`
        : 'see its log: was it restarted, or the session ended?',
    },
    undefined,
    { cause },
  );
}

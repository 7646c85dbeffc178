import { journalDamaged } from './journal-bytes.ts';

/** What goes through a replication stream (https://www.postgresql.org/docs/current/protocol-replication.html). */

/** A standby's status: positions written, flushed and applied (0 where we do not promise it). */
export function standbyStatus(written: bigint, flushed: bigint, applied: bigint): Buffer {
  const message = Buffer.alloc(34);
  message.write('r', 0, 'latin1');
  message.writeBigUInt64BE(written, 1);
  message.writeBigUInt64BE(flushed, 9);
  message.writeBigUInt64BE(applied, 17);
  message.writeBigInt64BE((BigInt(Date.now()) - POSTGRES_EPOCH_MS) * 1000n, 25);
  return message;
}

/** 2000-01-01, from which PostgreSQL counts. */
const POSTGRES_EPOCH_MS = 946_684_800_000n;

export type StreamMessage =
  | { readonly type: 'data'; readonly start: bigint; readonly bytes: Buffer }
  | { readonly type: 'keepalive'; readonly position: bigint; readonly replyWanted: boolean };

/** XLogData: kind, start, end, time; Keepalive: kind, end, time, whether an answer is wanted. */
const DATA_HEADER_BYTES = 25;
const KEEPALIVE_BYTES = 18;

/** Throws `journal-damaged` for what is no message of this protocol. */
export function parseStreamMessage(bytes: Buffer): StreamMessage {
  const kind = bytes.toString('latin1', 0, 1);
  if (kind === 'w' && bytes.length >= DATA_HEADER_BYTES)
    return { type: 'data', start: bytes.readBigUInt64BE(1), bytes: bytes.subarray(DATA_HEADER_BYTES) };
  if (kind === 'k' && bytes.length >= KEEPALIVE_BYTES)
    return { type: 'keepalive', position: bytes.readBigUInt64BE(1), replyWanted: bytes[17] === 1 };
  throw journalDamaged(`the server sent a message of ${bytes.length} bytes that begins with '${kind}'`);
}

/*
 * What stands in an archive's `.dat` files: records one after another, each a length of four bytes and a protobuf
 * message. Of a cache's entry: key (1), value (2), metadata with how long it lives (3), times of creation (5) and of last
 * use (6). Of a counter: name (1), configuration (2), value (3), which is left out at zero.
 */

/** A server's own limit of an entry is 2 GiB; what is longer here is damage, not an entry. */
const MOST_RECORD_BYTES = 1024 * 1024 * 1024;

/** The records of a file. Rejects where it ends within one. */
export async function* readRecords(content: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let length = 0;
  /** Of the next record, with its four bytes; what is less cannot be cut yet. */
  let needed = 4;
  for await (const chunk of content) {
    parts.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    length += chunk.byteLength;
    if (length < needed) continue;
    const bytes = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
    let at = 0;
    for (;;) {
      const left = bytes.byteLength - at;
      needed = left < 4 ? 4 : 4 + lengthAt(bytes, at);
      if (left < needed) break;
      yield bytes.subarray(at + 4, at + needed);
      at += needed;
    }
    parts = [bytes.subarray(at)];
    length = bytes.byteLength - at;
  }
  if (length > 0) throw new Error(`it ends within an entry, ${needed - length} bytes early`);
}

function lengthAt(bytes: Buffer, at: number): number {
  const length = bytes.readInt32BE(at);
  // None is without a key, or a name.
  if (length <= 0 || length > MOST_RECORD_BYTES) throw new Error(`an entry of ${length} bytes`);
  return length;
}

/** Of an entry what a restore brings back: all but when it was made and used. */
export function entryParts(record: Buffer): Buffer {
  const kept = fieldsOf(record).filter(({ number }) => number >= 1 && number <= 3);
  return Buffer.concat(kept.map(({ bytes }) => bytes));
}

/** When an entry's life ends, in milliseconds since 1970; null where it has no end, or one that we cannot tell. */
export function endOfLife(record: Buffer): number | null {
  const fields = fieldsOf(record);
  const metadata = fields.find(({ number }) => number === 3)?.content;
  if (metadata === undefined) return null;
  const wrapped = fieldsOf(metadata);
  const kind = Number(wrapped.find(({ number }) => number === 19)?.value ?? 0n);
  const content = wrapped.find(({ number }) => number === 17)?.content;
  if (content === undefined) return null;
  const times = fieldsOf(content);
  const timeOf = (some: readonly Field[], number: number): number | null => {
    const value = some.find((field) => field.number === number)?.value;
    const time = value === undefined ? -1 : Number(BigInt.asIntN(64, value));
    return time < 0 ? null : time;
  };
  const lifespan = kind === LIFESPAN || kind === LIFESPAN_AND_IDLE ? timeOf(times, 3) : null;
  const idle = kind === IDLE ? timeOf(times, 3) : kind === LIFESPAN_AND_IDLE ? timeOf(times, 4) : null;
  const [created, used] = [timeOf(fields, 5), timeOf(fields, 6)];
  const ends = [
    lifespan !== null && created !== null ? created + lifespan : Infinity,
    idle !== null && used !== null ? used + idle : Infinity,
  ];
  const end = Math.min(...ends);
  return Number.isFinite(end) ? end : null;
}

/** The types of an entry's metadata, as servers number them. */
const LIFESPAN_AND_IDLE = 5;
const LIFESPAN = 6;
const IDLE = 7;

export function readCounter(record: Buffer): { name: string; value: string; configuration: Buffer } {
  const fields = fieldsOf(record);
  const name = fields.find(({ number }) => number === 1);
  if (name?.content === undefined) throw new Error('a counter without a name');
  const value = fields.find(({ number }) => number === 3)?.value ?? 0n;
  return {
    name: name.content.toString('utf8'),
    value: BigInt.asIntN(64, value).toString(),
    configuration: Buffer.concat(fields.filter(({ number }) => number < 3).map(({ bytes }) => bytes)),
  };
}

interface Field {
  readonly number: number;
  /** With its tag. */
  readonly bytes: Buffer;
  readonly value?: bigint;
  readonly content?: Buffer;
}

/** The fields of a protobuf message, one level deep. */
function fieldsOf(message: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at];
      if (byte === undefined) break;
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new Error('an entry that is no protobuf message');
  };
  const skip = (length: number): Buffer => {
    if (at + length > message.byteLength) throw new Error('an entry that is no protobuf message');
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.byteLength) {
    const start = at;
    const tag = varint();
    const kind = Number(tag & 7n);
    const number = Number(tag >> 3n);
    let found: Pick<Field, 'value' | 'content'> = {};
    if (kind === 0) found = { value: varint() };
    else if (kind === 1) skip(8);
    else if (kind === 2) found = { content: skip(Number(varint())) };
    else if (kind === 5) skip(4);
    else throw new Error('an entry that is no protobuf message');
    fields.push({ number, bytes: message.subarray(start, at), ...found });
  }
  return fields;
}

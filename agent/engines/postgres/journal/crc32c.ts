/** CRC-32C (Castagnoli), as PostgreSQL has it in its journal, its control file and its backup manifests. */
const POLYNOMIAL = 0x82f63b78;
const SLICES = 8;

/** Entry n * 256 + byte: what a byte does to the checksum n bytes later. So eight bytes are taken at once. */
const TABLE = ((): Uint32Array => {
  const table = new Uint32Array(SLICES * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
    table[byte] = value;
  }
  for (let at = 256; at < table.length; at += 1) {
    const before = table[at - 256] ?? 0;
    table[at] = (before >>> 8) ^ (table[before & 0xff] ?? 0);
  }
  return table;
})();

/** What a place in the table holds; every index below is inside of it. */
function entry(at: number): number {
  return TABLE[at] as number;
}

export class Crc32c {
  #state = 0xffffffff;

  update(bytes: Uint8Array): this {
    let state = this.#state;
    let at = 0;
    const byte = (offset: number): number => bytes[at + offset] as number;
    for (const whole = bytes.length - (bytes.length % SLICES); at < whole; at += SLICES) {
      state ^= byte(0) | (byte(1) << 8) | (byte(2) << 16) | (byte(3) << 24);
      state =
        entry(0x700 | (state & 0xff)) ^
        entry(0x600 | ((state >>> 8) & 0xff)) ^
        entry(0x500 | ((state >>> 16) & 0xff)) ^
        entry(0x400 | (state >>> 24)) ^
        entry(0x300 | byte(4)) ^
        entry(0x200 | byte(5)) ^
        entry(0x100 | byte(6)) ^
        entry(byte(7));
    }
    for (; at < bytes.length; at += 1) state = (state >>> 8) ^ entry((state ^ byte(0)) & 0xff);
    this.#state = state >>> 0;
    return this;
  }

  digest(): number {
    return (this.#state ^ 0xffffffff) >>> 0;
  }
}

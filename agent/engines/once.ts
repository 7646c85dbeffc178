/** Bytes that are in memory, as an artifact takes them. */
export async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  if (bytes.byteLength > 0) yield bytes;
}

/** The same bytes, piece by piece; `told` hears how many there were with each piece, before that is handed on. */
export async function* counted(
  content: AsyncIterable<Uint8Array>,
  told: (bytesDone: number) => void,
): AsyncGenerator<Uint8Array> {
  let done = 0;
  for await (const bytes of content) {
    done += bytes.byteLength;
    told(done);
    yield bytes;
  }
}

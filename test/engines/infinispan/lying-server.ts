import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** Said in the place of what the server said; null: as it is. */
export type Lie = (
  asked: string,
  said: { status: number; body: Buffer },
) => { status: number; body: Buffer } | null;

/** A server that answers as the one at `url` does, but for what it is told to say otherwise. */
export async function lyingServer(url: string): Promise<{
  readonly url: string;
  lie: Lie;
  close(): void;
}> {
  const liar = {
    url: '',
    lie: ((): null => null) as Lie,
    close: (): void => {
      server.close();
      server.closeAllConnections();
    },
  };
  const answerAs = async (asked: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const body = await buffer(asked);
    const said = await new Promise<IncomingMessage>((resolve, reject) => {
      const onward = request(
        `${url}${asked.url ?? ''}`,
        { method: asked.method, headers: asked.headers },
        resolve,
      );
      onward.on('error', reject);
      onward.end(body);
    });
    const told = { status: said.statusCode ?? 500, body: await buffer(said) };
    const { status, body: bytes } = liar.lie(`${asked.method} ${asked.url}`, told) ?? told;
    answer.writeHead(status, { 'content-type': said.headers['content-type'] ?? 'text/plain' });
    answer.end(bytes);
  };
  const server = createServer((asked, answer) => {
    // Of a server that is down, a broken connection.
    answerAs(asked, answer).catch(() => asked.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  liar.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return liar;
}

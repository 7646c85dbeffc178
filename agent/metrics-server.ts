import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { EXIT, StillpointError } from '../shared/domain/errors.ts';
import { hostPort } from './address.ts';
import type { AgentMetrics } from './metrics.ts';
import { shareNext } from './share-next.ts';

const MAX_CONNECTIONS = 16;
const MAX_HEADER_BYTES = 8 * 1024;
const REQUEST_MS = 5000;
/** However many ask, the text is made no more often. */
const MADE_EVERY_MS = 1000;
/** So long a scrape waits for the end of a freeze. One that lasts longer is what it should tell of. */
const FREEZE_PATIENCE_MS = 1000;
const LOOK_AGAIN_MS = 20;

/**
 * Serves GET /metrics on a loopback address. Resolves to what ends it. Rejects `cannot-listen`, with the key of the
 * agent file that is meant.
 */
export async function serveMetrics(input: {
  readonly address: string;
  readonly metrics: Pick<AgentMetrics, 'contentType' | 'text'>;
  readonly mayHold: () => boolean;
  /** Called before the text is made. */
  readonly refresh: () => Promise<void>;
}): Promise<() => void> {
  const { address, metrics, mayHold, refresh } = input;
  let made: { readonly text: string; readonly atMs: number } | null = null;
  const text = shareNext(async () => {
    if (made !== null && performance.now() - made.atMs < MADE_EVERY_MS) return made.text;
    await quiet(mayHold);
    await refresh();
    made = { text: await metrics.text(), atMs: performance.now() };
    return made.text;
  });
  const server = createServer(
    { maxHeaderSize: MAX_HEADER_BYTES, requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS },
    (request, response) => void answer(request, response, { contentType: metrics.contentType, text }),
  );
  server.maxConnections = MAX_CONNECTIONS;
  const { host, port } = hostPort(address);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(address, error)));
    server.listen(port, host, resolve);
  });
  // Nobody must wait for a scraper.
  server.unref();
  server.on('error', () => undefined);
  return () => {
    server.close();
    server.closeAllConnections();
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { contentType, text }: { readonly contentType: string; readonly text: () => Promise<string> },
): Promise<void> {
  const say = (status: number, type: string, body: string): void => {
    response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  const path = request.url?.split('?')[0];
  if (path !== '/metrics') return say(404, 'text/plain', 'metrics are at /metrics\n');
  if (request.method !== 'GET' && request.method !== 'HEAD') return say(405, 'text/plain', 'GET only\n');
  try {
    say(200, contentType, await text());
  } catch (error) {
    say(500, 'text/plain', `the metrics could not be made: ${String(error)}\n`);
  }
}

async function quiet(mayHold: () => boolean): Promise<void> {
  const until = performance.now() + FREEZE_PATIENCE_MS;
  while (mayHold() && performance.now() < until)
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
}

function cannotListen(address: string, error: Error): StillpointError {
  return new StillpointError(
    {
      code: 'cannot-listen',
      message: `cannot listen on ${address} for metrics: ${error.message}`,
      hint: 'let `metrics` in the agent file name a loopback address and a port that nobody else uses',
    },
    EXIT.usage,
    { cause: error },
  );
}

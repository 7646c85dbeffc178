import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import * as protoLoader from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { StillpointError } from '../domain/errors.ts';
import type { AgentRequest, AgentResponse } from '../domain/wire.ts';
import { AgentServiceService, type AgentMessage, type CoordinatorMessage } from './generated/agent.ts';
import { peerOf, type Peer } from './peer.ts';
import { decodeRequest } from './request-codec.ts';
import { encodeResponse } from './response-codec.ts';
import { loadTls, type TlsFiles } from './tls-files.ts';
import { CHANNEL_OPTIONS } from './transport.ts';

/** One coordinator's stream, as the agent sees it. */
export interface ServerStream {
  readonly peer: Peer;
  /** Ends with the stream; throws `bad-message` for what is not understood. */
  readonly requests: AsyncIterable<AgentRequest>;
  send(response: AgentResponse): void;
  close(): void;
  /** Aborted when the stream is gone, also when nothing is read or sent. */
  readonly closed: AbortSignal;
}

export interface AgentServer {
  readonly port: number;
  close(): Promise<void>;
}

/** More unsent bytes than this: the coordinator does not read any more, and its stream ends. */
const MAX_UNSENT_BYTES = 16 * 1024 * 1024;

/**
 * Serves coordinators on `listen` (host:port), over mutual TLS only. A peer whose certificate does not give
 * it the role of a coordinator is refused here, before any request of its is looked at.
 */
export async function serveAgents(input: {
  listen: string;
  tls: TlsFiles;
  onStream: (stream: ServerStream) => void;
}): Promise<AgentServer> {
  const { ca, cert, key } = await loadTls(input.tls);
  const server = new grpc.Server(CHANNEL_OPTIONS);
  server.addService(AgentServiceService, {
    operate: (call: grpc.ServerDuplexStream<CoordinatorMessage, AgentMessage>) => {
      const peer = peerOf(call.getAuthContext()?.sslPeerCertificate?.raw);
      if (peer.role === 'coordinator') return input.onStream(serverStream(call, peer));
      const details = `the certificate of ${peer.name} does not have the role of a coordinator`;
      call.emit('error', { code: grpc.status.PERMISSION_DENIED, details });
      return undefined;
    },
  });
  addReflection(server);
  const credentials = grpc.ServerCredentials.createSsl(ca, [{ cert_chain: cert, private_key: key }], true);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(input.listen, credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(cannotListen(input.listen, error));
    });
  });
  return {
    port,
    close: () =>
      new Promise((resolve) => {
        server.tryShutdown(() => resolve());
        setTimeout(() => server.forceShutdown(), 1000).unref();
      }),
  };
}

function serverStream(
  call: grpc.ServerDuplexStream<CoordinatorMessage, AgentMessage>,
  peer: Peer,
): ServerStream {
  const closed = new AbortController();
  const end = (): void => closed.abort();
  call.on('cancelled', end);
  call.on('error', end);
  call.on('close', end);
  call.on('end', end);
  return {
    peer,
    closed: closed.signal,
    requests: decoded(call),
    send(response) {
      if (closed.signal.aborted || !call.writable) return;
      call.write(encodeResponse(response));
      if (call.writableLength > MAX_UNSENT_BYTES) call.destroy(new Error('the coordinator does not read'));
    },
    close() {
      if (call.writable) call.end();
      end();
    },
  };
}

/** The call outlives what is not understood: else the coordinator would never be told that it is over. */
async function* decoded(
  call: grpc.ServerDuplexStream<CoordinatorMessage, AgentMessage>,
): AsyncIterable<AgentRequest> {
  const messages = call.iterator({ destroyOnReturn: false }) as AsyncIterable<CoordinatorMessage>;
  for await (const message of messages) yield decodeRequest(message);
}

/** Operators may ask a running agent what it speaks (`grpcurl … list`), with a certificate like any other. */
function addReflection(server: grpc.Server): void {
  const here = dirname(fileURLToPath(import.meta.url));
  const folder = ['../../proto', '../../../proto']
    .map((path) => `${here}/${path}`)
    .find((path) => existsSync(`${path}/agent.proto`));
  if (folder === undefined) return;
  const definition = protoLoader.loadSync('agent.proto', { includeDirs: [folder] });
  new ReflectionService(definition).addToServer(server);
}

function cannotListen(address: string, error: Error): StillpointError {
  return new StillpointError(
    {
      code: 'cannot-listen',
      message: `cannot listen on ${address}: ${error.message}`,
      hint: 'is another agent running here? `listen` must be an address of this host',
    },
    2,
    { cause: error },
  );
}

import { isDeepStrictEqual } from 'node:util';
import * as grpc from '@grpc/grpc-js';
import { failureOf } from '../domain/errors.ts';
import type { AgentRequest, AgentResponse } from '../domain/wire.ts';
import { listenForPeers, type RefusedPeer } from './agent-listener.ts';
import { AgentMessage, AgentServiceService, type CoordinatorMessage } from './generated/agent.ts';
import { peerOf, type Peer } from './peer.ts';
import { addReflection } from './reflection.ts';
import { decodeRequest } from './request-codec.ts';
import { encodeResponse } from './response-codec.ts';
import { checkPrivateKeyFile, expiryOf, loadTls, type TlsFiles, type TlsMaterial } from './tls-files.ts';
import { SERVER_OPTIONS } from './transport.ts';

/** One coordinator's stream, as the agent sees it. */
export interface ServerStream {
  readonly peer: Peer;
  /** Ends with the stream; throws `bad-message` for what is not understood, and the stream ends. */
  readonly requests: AsyncIterable<AgentRequest>;
  send(response: AgentResponse): void;
  close(): void;
  /** Aborted when the stream is gone, also when nothing is read or sent. */
  readonly closed: AbortSignal;
}

export interface AgentServer {
  readonly port: number;
  /**
   * Reads the certificates again and serves with them from now on; who is connected and revoked is cut off. False where
   * nothing has changed. Rejects what loadTls rejects, and `key-readable`: then all stays as it was.
   */
  reload(): Promise<boolean>;
  /** When what it serves with expires, in milliseconds of the wall clock. */
  expiry(): { readonly own: number; readonly ca: number };
  close(): Promise<void>;
}

/** More unsent bytes than this: the coordinator does not read any more, and its connection is cut. */
const MAX_UNSENT_BYTES = 16 * 1024 * 1024;
/** Of all coordinators together; one command uses one. */
export const MAX_STREAMS = 32;

/** Answers are encoded where they are given, so that what is not sent yet is counted in bytes. */
const SERVICE = {
  operate: { ...AgentServiceService.operate, responseSerialize: (bytes: Buffer): Buffer => bytes },
};

type Call = grpc.ServerDuplexStream<CoordinatorMessage, Buffer>;

/**
 * Serves coordinators on `listen` (host:port), over mutual TLS only. A peer whose certificate does not give
 * it the role of a coordinator is refused here, before any request of its is looked at; whoever is refused
 * is told to `onRefused`, once. Rejects `cannot-listen`, and what loadTls rejects.
 */
export async function serveAgents(input: {
  listen: string;
  tls: TlsFiles;
  onStream: (stream: ServerStream) => void;
  /** Why nobody new is served any more; null as long as everybody is. */
  refusal?: () => string | null;
  onRefused?: (peer: RefusedPeer) => void;
}): Promise<AgentServer> {
  const { onStream, refusal = () => null, onRefused: refused = () => undefined } = input;
  const server = new grpc.Server(SERVER_OPTIONS);
  const open = new Set<ServerStream>();
  server.addService(SERVICE, {
    operate: (call: Call) => {
      const peer = peerOf(call.getAuthContext()?.sslPeerCertificate?.raw);
      const refuse = (code: grpc.status, details: string): void => {
        refused({ peer: call.getPeer(), cause: details });
        call.emit('error', { code, details });
      };
      if (peer.role !== 'coordinator') {
        const cause = `the certificate of ${peer.name} does not have the role of a coordinator`;
        return refuse(grpc.status.PERMISSION_DENIED, cause);
      }
      const why = refusal();
      if (why !== null) return refuse(grpc.status.UNAVAILABLE, why);
      if (open.size >= MAX_STREAMS)
        return refuse(grpc.status.RESOURCE_EXHAUSTED, `it serves ${MAX_STREAMS} streams already`);
      const stream = serverStream(call, peer, () => listener.cut(call.getPeer()));
      open.add(stream);
      stream.closed.addEventListener('abort', () => open.delete(stream), { once: true });
      return onStream(stream);
    },
  });
  addReflection(server);
  // TLS ends in the listener: what comes from there is a coordinator's or an agent's, of this CA.
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  let material = await loadTls(input.tls);
  const listener = await listenForPeers({
    listen: input.listen,
    material,
    accepted: (socket) => injector.injectConnection(socket),
    refused,
  });
  return {
    port: listener.port,
    expiry: () => expiryOf(material),
    async reload() {
      await checkPrivateKeyFile(input.tls.key);
      const read = await loadTls(input.tls);
      if (isDeepStrictEqual(read, material)) return false;
      listener.renew(read);
      const isListChanged = !isDeepStrictEqual(read.crl, material.crl);
      material = read;
      if (isListChanged && listener.isConnected()) listener.cutRevoked(await revokedBy(read));
      return true;
    },
    close: () =>
      new Promise((resolve) => {
        listener.close();
        server.tryShutdown(() => resolve());
        setTimeout(() => server.forceShutdown(), 1000).unref();
      }),
  };
}

/** What reads revocation lists takes memory, and is needed where one has changed alone. */
async function revokedBy({ crl = [] }: TlsMaterial): Promise<(serialNumber: string) => boolean> {
  const { plainSerial, revokedSerials } = await import('./revocation.ts');
  const serials = revokedSerials(crl);
  return (serialNumber) => serials.has(plainSerial(serialNumber));
}

function serverStream(call: Call, peer: Peer, cut: () => void): ServerStream {
  const closed = new AbortController();
  const end = (): void => closed.abort();
  call.on('cancelled', end);
  call.on('error', end);
  call.on('close', end);
  call.on('end', end);
  let unsentBytes = 0;
  return {
    peer,
    closed: closed.signal,
    requests: decoded(call),
    send(response) {
      if (closed.signal.aborted || !call.writable) return;
      const bytes = Buffer.from(AgentMessage.encode(encodeResponse(response)).finish());
      unsentBytes += bytes.byteLength;
      call.write(bytes, () => (unsentBytes -= bytes.byteLength));
      if (unsentBytes <= MAX_UNSENT_BYTES) return;
      end();
      cut();
    },
    close() {
      if (call.writable) call.end();
      end();
    },
  };
}

/**
 * By hand, for an iterator of the stream would destroy it when it is left early, and a destroyed stream cannot
 * tell the other side its end. What is not understood ends the stream with the reason.
 */
async function* decoded(call: Call): AsyncIterable<AgentRequest> {
  for await (const message of call.iterator({
    destroyOnReturn: false,
  }) as AsyncIterable<CoordinatorMessage>) {
    let request: AgentRequest;
    try {
      request = decodeRequest(message);
    } catch (error) {
      const details = failureOf(error, { code: 'bad-message', hint: '' }).message;
      call.emit('error', { code: grpc.status.INVALID_ARGUMENT, details });
      throw error;
    }
    yield request;
  }
}

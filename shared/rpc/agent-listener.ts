import { createServer, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { StillpointError } from '../domain/errors.ts';
import type { TlsMaterial } from './tls-files.ts';

/** A peer that was turned away, for one line in the agent's log. */
export interface RefusedPeer {
  /** `address:port` that it came from. */
  readonly peer: string;
  readonly cause: string;
}

export interface AgentListener {
  readonly port: number;
  /** Cuts the connection of this peer (`address:port`), with all that waits to be sent. */
  cut(peer: string): void;
  /** New connections are judged by this from now on. */
  renew(material: TlsMaterial): void;
  /** Cuts the connections whose certificate is among these, by serial number; also those in their handshake, when it ends. */
  cutRevoked(isRevoked: (serialNumber: string) => boolean): void;
  /** Whether anybody is connected, or about to be. */
  isConnected(): boolean;
  /** No new connections. */
  close(): void;
}

/** A peer that has not shown a certificate by then is no coordinator. */
const HANDSHAKE_MS = 5000;
/** More connections than this, of whoever, are closed unseen. */
const MAX_CONNECTIONS = 256;

/**
 * Listens for TLS connections and lets through those with a certificate of the grid's CA that is valid now.
 * gRPC would turn the others away too, but without a word: here each is told to `refused` with its cause.
 * `listen` is host:port. Rejects `cannot-listen`.
 */
export async function listenForPeers(input: {
  listen: string;
  material: TlsMaterial;
  accepted: (socket: TLSSocket) => void;
  refused: (peer: RefusedPeer) => void;
}): Promise<AgentListener> {
  const { listen, material, accepted, refused } = input;
  const sockets = new Map<string, TLSSocket>();
  let open = 0;
  let isRevokedNow: (serialNumber: string) => boolean = () => false;
  const server = createServer({
    ...secure(material),
    requestCert: true,
    // Judged below, where the cause is known.
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
    handshakeTimeout: HANDSHAKE_MS,
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.on('connection', (socket) => {
    open += 1;
    socket.once('close', () => (open -= 1));
  });
  const refuseRevoked = (peer: string, socket: TLSSocket): boolean => {
    if (!isRevokedNow(socket.getPeerCertificate().serialNumber)) return false;
    refused({ peer, cause: 'its certificate has been revoked' });
    socket.destroy();
    return true;
  };
  server.on('secureConnection', (socket) => {
    const peer = addressOf(socket);
    // Without a listener an error would end the process.
    socket.on('error', () => undefined);
    if (!socket.authorized) {
      refused({ peer, cause: `its certificate is not accepted: ${String(socket.authorizationError)}` });
      socket.destroy();
      return;
    }
    // It was judged by the list that was there when its handshake began.
    if (refuseRevoked(peer, socket)) return;
    sockets.set(peer, socket);
    socket.once('close', () => sockets.delete(peer));
    accepted(socket);
  });
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    refused({ peer: addressOf(socket), cause: `no TLS connection: ${error.code ?? error.message}` });
  });
  server.on('drop', (dropped) => {
    const peer = `${dropped?.remoteAddress ?? 'unknown'}:${dropped?.remotePort ?? 0}`;
    refused({ peer, cause: `there are ${MAX_CONNECTIONS} connections already` });
  });
  const colon = listen.lastIndexOf(':');
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(listen, error)));
    server.listen(Number(listen.slice(colon + 1)), listen.slice(0, colon).replace(/^\[|\]$/g, ''), resolve);
  });
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : 0,
    cut: (peer) => void sockets.get(peer)?.destroy(),
    renew: (renewed) => server.setSecureContext(secure(renewed)),
    cutRevoked(isRevoked) {
      isRevokedNow = isRevoked;
      for (const [peer, socket] of sockets) refuseRevoked(peer, socket);
    },
    isConnected: () => open > 0,
    close: () => void server.close(),
  };
}

function secure(material: TlsMaterial): SecureContextOptions {
  return { ...material, minVersion: 'TLSv1.2' };
}

function addressOf(socket: TLSSocket): string {
  return `${socket.remoteAddress ?? 'unknown'}:${socket.remotePort ?? 0}`;
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

import { X509Certificate } from 'node:crypto';
import { connect, createSecureContext, type TLSSocket } from 'node:tls';
import { isIP } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { failureOf, StillpointError, type Failure } from '../domain/errors.ts';
import type { AgentRequest, AgentResponse } from '../domain/wire.ts';
import { AgentServiceClient, type AgentMessage, type CoordinatorMessage } from './generated/agent.ts';
import { peerOf } from './peer.ts';
import { encodeRequest } from './request-codec.ts';
import { decodeResponse } from './response-codec.ts';
import { loadTls, outOfTime, type TlsFiles, type TlsMaterial } from './tls-files.ts';
import { CHANNEL_OPTIONS } from './transport.ts';

/** One agent's stream, as the coordinator sees it. */
export interface ClientStream {
  send(request: AgentRequest): void;
  /** Ends with the stream, for whatever reason; the reason is in `closed`. */
  readonly responses: AsyncIterable<AgentResponse>;
  /** When the agent's certificate expires, in milliseconds of the wall clock. */
  readonly expiresAt: number;
  /** Resolves when the stream is gone: why, or null where we closed it. */
  readonly closed: Promise<Failure | null>;
  close(): void;
}

/**
 * Connects to the agent at `host:port`. Rejects `agent-unreachable`, `agent-certificate` (it is not the
 * agent of this host, or not of this CA) or `coordinator-certificate` (it does not accept ours).
 */
export async function connectAgent(input: {
  address: string;
  tls: TlsFiles;
  timeoutMs: number;
  signal?: AbortSignal;
}): Promise<ClientStream> {
  const { address, timeoutMs } = input;
  const material = await loadTls(input.tls);
  const host = hostOf(address);
  // gRPC says of every failed handshake only that it could not connect: a handshake of our own says why.
  const expiresAt = await shakeHands(address, host, material, timeoutMs);
  input.signal?.throwIfAborted();
  // createSsl of gRPC takes no revocation list; a secure context does.
  const credentials = grpc.credentials.createFromSecureContext(createSecureContext(material), {
    checkServerIdentity: (_name, certificate) => wrongPeer(host, certificate.raw) ?? undefined,
  });
  // A name is needed for the handshake even where the host is an address; the check above uses the host.
  const override = isIP(host) === 0 ? {} : { 'grpc.ssl_target_name_override': 'stillpoint-agent' };
  const client = new AgentServiceClient(address, credentials, { ...CHANNEL_OPTIONS, ...override });
  try {
    await new Promise<void>((resolve, reject) => {
      client.waitForReady(Date.now() + timeoutMs, (error) =>
        error === undefined ? resolve() : reject(error),
      );
    });
  } catch (error) {
    client.close();
    throw unreachable(host, address, error instanceof Error ? error.message : String(error));
  }
  return clientStream(client, client.operate(), { host, expiresAt });
}

function clientStream(
  client: AgentServiceClient,
  call: grpc.ClientDuplexStream<CoordinatorMessage, AgentMessage>,
  { host, expiresAt }: { readonly host: string; readonly expiresAt: number },
): ClientStream {
  let ours = false;
  let misunderstood: Failure | null = null;
  const closed = new Promise<Failure | null>((resolve) => {
    // Without a listener of its own an error would end the process.
    call.on('error', () => undefined);
    call.on('status', (status) => {
      resolve(misunderstood ?? (ours ? null : streamFailure(host, status)));
      client.close();
    });
  });
  return {
    closed,
    expiresAt,
    responses: decoded(call, (failure) => {
      misunderstood = { ...failure, host };
      // An iterator that is left early does not end the call.
      call.cancel();
    }),
    send(request) {
      if (call.writable) call.write(encodeRequest(request));
    },
    close() {
      ours = true;
      call.end();
      call.cancel();
    },
  };
}

async function* decoded(
  call: AsyncIterable<AgentMessage>,
  misunderstood: (failure: Failure) => void,
): AsyncIterable<AgentResponse> {
  for await (const message of call) {
    let response: AgentResponse;
    try {
      response = decodeResponse(message);
    } catch (error) {
      misunderstood(failureOf(error, { code: 'bad-message', hint: 'run the same version everywhere' }));
      throw error;
    }
    yield response;
  }
}

function streamFailure(host: string, status: grpc.StatusObject): Failure {
  if (status.code === grpc.status.PERMISSION_DENIED || status.code === grpc.status.UNAUTHENTICATED) {
    return coordinatorRefused(host, status.details);
  }
  if (status.code === grpc.status.RESOURCE_EXHAUSTED || status.code === grpc.status.INVALID_ARGUMENT) {
    const code = status.code === grpc.status.INVALID_ARGUMENT ? 'bad-message' : 'connection-limit';
    return {
      code,
      message: `the connection to the agent on ${host} was given up: ${status.details}`,
      hint: 'run the same version of stillpoint everywhere; where many commands run at once, wait for them',
      host,
    };
  }
  if (status.code === grpc.status.OK) {
    return {
      code: 'agent-lost',
      message: `the agent on ${host} ended the connection`,
      hint: `look at the agent's log on ${host}: journalctl -u stillpoint-agent`,
      host,
    };
  }
  return {
    code: 'agent-lost',
    message: `the connection to the agent on ${host} broke: ${status.details}`,
    hint: `does the host run, and its agent? journalctl -u stillpoint-agent on ${host}`,
    host,
  };
}

/** Resolves to when the agent's certificate expires. */
async function shakeHands(
  address: string,
  host: string,
  material: TlsMaterial,
  timeoutMs: number,
): Promise<number> {
  let expiresAt = 0;
  const failure = await new Promise<Failure | null>((resolve) => {
    const socket: TLSSocket = connect({
      host,
      port: Number(address.slice(address.lastIndexOf(':') + 1)),
      ...material,
      ALPNProtocols: ['h2'],
      ...(isIP(host) === 0 && { servername: host }),
      checkServerIdentity: () => undefined,
      timeout: timeoutMs,
    });
    const settle = (result: Failure | null): void => {
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(
      () => settle(unreachable(host, address, `no answer in ${timeoutMs} ms`).failure),
      timeoutMs,
    );
    timer.unref();
    socket.once('error', (error: NodeJS.ErrnoException) => settle(handshakeFailure(host, address, error)));
    let shaken = false;
    socket.once('secureConnect', () => {
      shaken = true;
      expiresAt = Date.parse(socket.getPeerCertificate().valid_to);
      const error = wrongPeer(host, socket.getPeerCertificate().raw);
      if (error !== null) return settle(agentCertificate(host, error.message));
      // With TLS 1.3 the server judges our certificate after the handshake: its first bytes tell.
      socket.once('data', () => settle(null));
    });
    socket.once('close', () => {
      if (shaken) return settle(coordinatorRefused(host, 'it closed the connection when it had seen it'));
      return settle(unreachable(host, address, 'the connection was closed').failure);
    });
  });
  if (failure === null) return expiresAt;
  const ownFault = failure.code === 'coordinator-certificate' ? outOfTime(material.cert) : null;
  throw new StillpointError(ownFault === null ? failure : coordinatorRefused(host, ownFault), 3);
}

function handshakeFailure(host: string, address: string, error: NodeJS.ErrnoException): Failure {
  const code = error.code ?? '';
  if (/ALERT|SSLV3|TLSV1|DECRYPT_ERROR/.test(code)) return coordinatorRefused(host, alertOf(error));
  if (/CERT|SELF_SIGNED|ISSUER|SIGNATURE|CRL/.test(code)) return agentCertificate(host, error.message);
  return unreachable(host, address, error.code ?? error.message).failure;
}

function alertOf(error: NodeJS.ErrnoException): string {
  return /(certificate \w+|unknown ca|bad certificate)/i.exec(error.message)?.[0] ?? error.message;
}

/** The certificate must be an agent's, and name the host that we meant to reach. */
function wrongPeer(host: string, raw: Buffer | undefined): Error | null {
  const peer = peerOf(raw);
  if (raw === undefined || peer.role !== 'agent')
    return new Error(`it is ${peer.name}'s, and not that of an agent`);
  const certificate = new X509Certificate(raw);
  const named = isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host);
  if (named !== undefined) return null;
  return new Error(`it is for ${certificate.subjectAltName ?? 'nobody'}, and does not name ${host}`);
}

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}

function unreachable(host: string, address: string, why: string): StillpointError {
  return new StillpointError(
    {
      code: 'agent-unreachable',
      message: `the agent on ${host} cannot be reached at ${address}: ${why}`,
      hint: `does it run? systemctl status stillpoint-agent on ${host}; is the port open?`,
      host,
    },
    3,
  );
}

function agentCertificate(host: string, why: string): Failure {
  return {
    code: 'agent-certificate',
    message: `the certificate of the agent on ${host} is not accepted: ${why}`,
    hint: `issue one for it with the CA of this grid: stillpoint pki issue DIR ${host}`,
    host,
  };
}

function coordinatorRefused(host: string, why: string): Failure {
  return {
    code: 'coordinator-certificate',
    message: `the agent on ${host} does not accept our certificate: ${why}`,
    hint: 'use the coordinator certificate that stillpoint pki init made with the CA of this grid, and see that it has not expired',
    host,
  };
}

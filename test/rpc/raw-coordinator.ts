import { readFileSync } from 'node:fs';
import * as grpc from '@grpc/grpc-js';
import type { AgentRequest, AgentResponse } from '../../shared/domain/wire.ts';
import { AgentMessage, AgentServiceService, CoordinatorMessage } from '../../shared/rpc/generated/agent.ts';
import { encodeRequest } from '../../shared/rpc/request-codec.ts';
import { decodeResponse } from '../../shared/rpc/response-codec.ts';
import type { TlsFiles } from '../../shared/rpc/tls-files.ts';
import { until } from '../lab/processes.ts';

/** A coordinator that sends what it likes: any frame, in any order, as many as it likes. */
export interface RawCoordinator {
  /** Everything that the agent has said on this stream. */
  readonly answers: AgentResponse[];
  /** Null until the stream has ended. */
  readonly status: () => grpc.StatusObject | null;
  send(request: AgentRequest): void;
  /** These bytes as one message. */
  sendBytes(bytes: Uint8Array): void;
  /** What the agent says from now on stays in the network. */
  stopReading(): void;
  answer(what: string, isIt: (answer: AgentResponse) => boolean): Promise<AgentResponse>;
  ended(): Promise<grpc.StatusObject>;
  close(): void;
}

export interface RawOptions {
  readonly address: string;
  readonly tls: TlsFiles;
  readonly compress?: boolean;
}

/** One stream on a connection of its own. */
export function openRaw({ address, tls, compress = false }: RawOptions): RawCoordinator {
  const read = (path: string): Buffer => readFileSync(path);
  const credentials = grpc.credentials.createSsl(read(tls.ca), read(tls.key), read(tls.cert), {
    checkServerIdentity: () => undefined,
  });
  const client = new grpc.Client(address, credentials, {
    'grpc.ssl_target_name_override': 'stillpoint-agent',
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
    ...(compress && { 'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip }),
  });
  const call = client.makeBidiStreamRequest<Uint8Array, AgentMessage>(
    AgentServiceService.operate.path,
    (bytes) => Buffer.from(bytes),
    (bytes) => AgentMessage.decode(bytes),
  );
  const answers: AgentResponse[] = [];
  let status: grpc.StatusObject | null = null;
  call.on('data', (message: AgentMessage) => answers.push(decodeResponse(message)));
  call.on('error', () => undefined);
  call.on('status', (ended) => (status = ended));
  const sendBytes = (bytes: Uint8Array): void => void call.write(bytes);
  return {
    answers,
    status: () => status,
    send: (request) => sendBytes(CoordinatorMessage.encode(encodeRequest(request)).finish()),
    sendBytes,
    stopReading: () => void call.pause(),
    async answer(what, isIt) {
      await until(`the answer: ${what}`, () => status !== null || answers.some(isIt));
      const found = answers.find(isIt);
      if (found === undefined) throw new Error(`it ended without ${what}: ${status?.details ?? ''}`);
      return found;
    },
    async ended() {
      await until('the end of the stream', () => status !== null);
      return status as unknown as grpc.StatusObject;
    },
    close() {
      call.cancel();
      client.close();
    },
  };
}

import { chmodSync } from 'node:fs';
import * as grpc from '@grpc/grpc-js';
import * as wire from '../../../shared/rpc/generated/participant.ts';
import type { CallName } from '../contract/table.ts';
import type { HasFault } from './faults.ts';
import { Refusal, type ModelParticipant } from './participant.ts';

/** Serves it at a Unix socket that only its owner may open. */
export async function serveModel(
  participant: ModelParticipant,
  socket: string,
  has: HasFault,
): Promise<grpc.Server> {
  const server = new grpc.Server();
  const service = Object.fromEntries(
    Object.entries(wire.ParticipantServiceService).map(([name, method]) => {
      const path = name as CallName;
      const deserialize = method.requestDeserialize as (bytes: Buffer) => unknown;
      const strict = (bytes: Buffer): unknown => ({ ...(deserialize(bytes) as object), size: bytes.length });
      return [name, { ...method, requestDeserialize: path === 'describe' ? strict : deserialize }];
    }),
  ) as unknown as grpc.ServiceDefinition;
  const handlers = Object.entries(participant.answers).map(([name, answer]) => [
    name,
    (call: grpc.ServerUnaryCall<never, unknown>, done: grpc.sendUnaryData<unknown>) => {
      void (async () => {
        if (name === 'describe' && (call.request as { size: number }).size > 0) refuseUnknown(has);
        return await (answer as (request: never) => unknown)(call.request);
      })().then(
        (value) => done(null, value),
        (error: Error) =>
          done({
            code: error instanceof Refusal ? error.code : grpc.status.INTERNAL,
            details: error.message,
          }),
      );
    },
  ]);
  server.addService(service, Object.fromEntries(handlers) as grpc.UntypedServiceImplementation);
  await bound(server, `unix:${socket}`, grpc.ServerCredentials.createInsecure());
  // Many are served in one process at a time: a umask would be everybody's, and the last one to put it back leaves another's.
  chmodSync(socket, 0o600);
  return server;
}

export async function bound(
  server: grpc.Server,
  at: string,
  credentials: grpc.ServerCredentials,
): Promise<number> {
  return await new Promise((resolve, reject) => {
    server.bindAsync(at, credentials, (error, port) => (error === null ? resolve(port) : reject(error)));
  });
}

function refuseUnknown(has: HasFault): void {
  if (has('refuses-fields-that-it-does-not-know'))
    throw new Refusal('INVALID_ARGUMENT', 'field 999 is unknown');
  if (has('fails-over-fields-that-it-does-not-know')) throw new Refusal('INTERNAL', 'field 999 is unknown');
}

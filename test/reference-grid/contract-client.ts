import * as grpc from '@grpc/grpc-js';
import { ParticipantServiceService } from '../../shared/rpc/generated/participant.ts';

type Service = typeof ParticipantServiceService;

/** The calls of the contract, as an agent makes them. */
export type Contract = {
  readonly [Name in keyof Service]: (
    request: Partial<ReturnType<Service[Name]['requestDeserialize']>>,
  ) => Promise<ReturnType<Service[Name]['responseDeserialize']>>;
} & { close(): void };

/** Talks to a process by its contract; a refusal rejects with the gRPC error. */
export function contractOf({ participant }: { readonly participant: string }): Contract {
  const client = new grpc.Client(participant, grpc.credentials.createInsecure());
  const calls = Object.entries(ParticipantServiceService).map(([name, method]) => [
    name,
    (request: Record<string, unknown>) =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          method.path,
          (value: Record<string, unknown>) => method.requestSerialize({ ...DEFAULTS, ...value } as never),
          method.responseDeserialize as (bytes: Buffer) => unknown,
          request,
          (error, response) => (error === null ? resolve(response) : reject(error)),
        );
      }),
  ]);
  return { ...(Object.fromEntries(calls) as Contract), close: () => client.close() };
}

const DEFAULTS = {
  operation: '',
  allowReads: false,
  timeoutMs: 2000,
  leaseMs: 10_000,
  retainJournal: false,
  updatesWaitAfterMs: 0,
  checkpoint: '',
  epoch: 0,
  counter: 0,
};

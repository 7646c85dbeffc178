import * as grpc from '@grpc/grpc-js';
import { ParticipantServiceService } from '../../shared/rpc/generated/participant.ts';

/** Field 999, a varint: what a later version of the contract may add. */
const UNKNOWN_FIELD = Buffer.from([0xb8, 0x3e, 0x01]);
const TIMEOUT_MS = 5000;

/** Describe with a field that no process knows yet. Rejects as the call does. */
export async function describeWithUnknownField(target: string): Promise<void> {
  const client = new grpc.Client(target, grpc.credentials.createInsecure());
  try {
    await new Promise<void>((resolve, reject) => {
      client.makeUnaryRequest(
        ParticipantServiceService.describe.path,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        UNKNOWN_FIELD,
        new grpc.Metadata(),
        { deadline: Date.now() + TIMEOUT_MS },
        (error) => (error === null ? resolve() : reject(error)),
      );
    });
  } finally {
    client.close();
  }
}

import * as grpc from '@grpc/grpc-js';
import { ParticipantServiceService } from '../../shared/rpc/generated/participant.ts';
import { openChannel } from '../../shared/rpc/participant-client.ts';
import type { TlsFiles } from '../../shared/rpc/tls-files.ts';
import { Broken } from './promise.ts';

/** Field 999, a varint: what a later version of the contract may add. */
const UNKNOWN_FIELD = Buffer.from([0xb8, 0x3e, 0x01]);
const TIMEOUT_MS = 5000;

/** Describe with a field that no process knows yet. Broken where it fails. */
export async function describeWithUnknownField(target: string, tls: TlsFiles | undefined): Promise<void> {
  const { credentials, options } = await openChannel(target, tls);
  const client = new grpc.Client(target, credentials, options);
  try {
    await new Promise<void>((resolve, reject) => {
      client.makeUnaryRequest(
        ParticipantServiceService.describe.path,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        UNKNOWN_FIELD,
        new grpc.Metadata(),
        { deadline: Date.now() + TIMEOUT_MS },
        (error) => (error === null ? resolve() : reject(new Broken(error.message))),
      );
    });
  } finally {
    client.close();
  }
}

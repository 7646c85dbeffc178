import { FOR_CHECKPOINT } from '../../../shared/domain/purpose.ts';
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { Capture } from '../../../agent/capture.ts';
import type { CheckpointContext } from '../../../agent/engines/engine.ts';
import { createNativeEngine } from '../../../agent/engines/native/native-engine.ts';
import type { NativeSettings } from '../../../agent/engines/native/settings.ts';
import { BY_ITSELF } from '../../../shared/domain/assignment.ts';
import { StillpointError, type Failure } from '../../../shared/domain/errors.ts';
import * as wire from '../../../shared/rpc/generated/participant.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { Refusal } from '../../reference-grid/holds.ts';
import { MemorySink } from '../memory-sink.ts';
import { token } from '../tested-capture.ts';

type Answers = Record<string, (request: never) => object>;

/** A process that answers every call as a test says, else as one that does nothing. */
export interface ScriptedProcess {
  readonly settings: NativeSettings;
  readonly live: string;
  /** Of its answers from now on. */
  incarnation: string;
  /** By the method's name in camel case; what the others answer stays. One that throws a Refusal answers with that. */
  readonly answers: Answers;
  /** Calls that it had, in their order. */
  readonly calls: readonly string[];
  /** Begun; who begins it aborts it. What `change` does not say is a checkpoint's. */
  capture(maintenance?: boolean, change?: Partial<CheckpointContext>): Capture;
  /** A whole capture of it, and what ended it; null where it was taken. */
  captured(maintenance?: boolean): Promise<Failure | null>;
  close(): void;
}

const ROLES = { node: 3, 'state-keeper': 2, 'realm-service': 1 } as const;

export async function scriptedProcess(role: keyof typeof ROLES): Promise<ScriptedProcess> {
  const folder = temporaryFolder('scripted');
  const data = join(folder.path, 'data');
  const live = join(data, 'live');
  mkdirSync(join(live, 'journal'), { recursive: true });
  const settings: NativeSettings = {
    name: 'it',
    role,
    engine: 'native',
    address: 'localhost:7000',
    data,
    ...(role === 'node' && { copyset: 'a' }),
    participant: `unix:${join(folder.path, 'p.sock')}`,
    startSeconds: 10,
  };
  const calls: string[] = [];
  const held = { operation: '', quiesced: false, writingSuspended: false, journalRetained: true };
  const process: ScriptedProcess = {
    settings,
    live,
    calls,
    incarnation: 'one',
    answers: {
      describe: () => ({
        contractVersion: 1,
        grid: 'orders',
        name: 'it',
        role: ROLES[role],
        version: '1',
        address: settings.address,
        dataDirectory: data,
        primary: true,
        dataIdentity: 'd',
        ...(role === 'node' && { journalDirectory: 'journal', copyset: 'a' }),
        held,
      }),
      quiesce: () => ({ quiesced: true }),
      resume: () => ({ held: true }),
      resumeWriting: () => ({ held: true }),
      releaseJournal: () => ({ held: true }),
      leaveMaintenance: () => ({ held: true }),
      renew: () => ({ held }),
      switchJournal: () => ({ journalFile: '7', length: 0n }),
      saveKeeperState: () => ({ state: Buffer.from('{}'), version: 7n }),
    },
    capture: (maintenance = false, change = {}) =>
      captureOf(settings, folder.path, { maintenance, ...change }),
    captured: (maintenance = false) => captured(captureOf(settings, folder.path, { maintenance })),
    close() {
      server.forceShutdown();
      folder.remove();
    },
  };
  const { ParticipantServiceService: service } = wire;
  const handlers = Object.keys(service).map((name) => [
    name,
    (call: { request: never }, reply: grpc.sendUnaryData<unknown>) => {
      calls.push(name);
      const { responseSerialize, responseDeserialize } = service[name as keyof typeof service];
      const blank = responseDeserialize(Buffer.alloc(0)) as object;
      const named = 'incarnation' in blank ? { incarnation: process.incarnation } : {};
      let said: object | undefined;
      try {
        said = process.answers[name]?.(call.request);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        return reply({ code: error.code, details: error.message });
      }
      const answer = { ...blank, ...named, ...said };
      // What cannot be sent is a mistake of the test, and is seen there.
      (responseSerialize as (value: unknown) => Buffer)(answer);
      reply(null, answer);
    },
  ]);
  const server = new grpc.Server();
  server.addService(service, Object.fromEntries(handlers) as grpc.UntypedServiceImplementation);
  const path = settings.participant.slice('unix:'.length);
  rmSync(path, { force: true });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.bindAsync(settings.participant, grpc.ServerCredentials.createInsecure(), (error) =>
    error === null ? resolve() : reject(error),
  );
  await promise;
  chmodSync(path, 0o600);
  return process;
}

function captureOf(settings: NativeSettings, folder: string, change: Partial<CheckpointContext>): Capture {
  const { assignment = BY_ITSELF, purpose = FOR_CHECKPOINT } = change;
  const parts = createNativeEngine(settings).begin({
    assignment,
    freezeKind: 'fenced',
    checkpoint: '20261120T120000.123Z_00000000_00000007_nightly',
    maintenance: false,
    purpose,
    leaseMs: () => 5000,
    spoolDirectory: folder,
    artifacts: new MemorySink(),
    progress: () => undefined,
    lost: () => undefined,
    waitsFor: () => undefined,
    saveUndo: () => Promise.resolve(),
    reach: () => Promise.resolve(),
    step: () => undefined,
    ...change,
  });
  return new Capture(parts, assignment, purpose);
}

async function captured(capture: Capture): Promise<Failure | null> {
  try {
    await capture.prepare();
    await capture.arm(token());
    await capture.freeze(token());
    await capture.thaw(token(), () => undefined);
    await capture.collect();
    return null;
  } catch (error) {
    if (error instanceof StillpointError) return error.failure;
    throw error;
  } finally {
    await capture.abort();
  }
}

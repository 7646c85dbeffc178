import { X509Certificate } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { dirname, isAbsolute } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { StillpointError } from '../domain/errors.ts';
import type { DefinedProcess } from '../domain/grid.ts';
import type {
  Attempt,
  DatabaseBackup,
  Health,
  HoldEnding,
  JournalCut,
  KeeperState,
  ParticipantDescription,
  ParticipantHolds,
  Quiescence,
} from '../domain/participant.ts';
import { ParticipantServiceService as service } from './generated/participant.ts';
import {
  BadAnswer,
  toBackup,
  toCut,
  toDescription,
  toFileName,
  toHolds,
  toIncarnation,
  toKeeperState,
  toNumber,
  toQuiescence,
} from './participant-codec.ts';
import { callFailure, contractBroken, unreachable, unsafe } from './participant-failure.ts';
import { loadTls, type TlsFiles } from './tls-files.ts';

type Operation = Pick<Attempt, 'operation'>;
type Leased = Operation & { readonly leaseMs: number };

/**
 * A process that takes part in checkpoints by itself. Each call is one of proto/participant.proto, which says what it
 * promises; each has a deadline, and rejects with a StillpointError `participant-…` and nothing else.
 */
export interface Participant {
  describe(): Promise<ParticipantDescription>;
  /** Its deadline is that of all calls, and `timeoutMs` on top. */
  quiesce(
    request: Attempt & { readonly allowReads: boolean; readonly timeoutMs: number; readonly leaseMs: number },
  ): Promise<Quiescence>;
  switchJournal(request: Attempt): Promise<JournalCut>;
  resume(request: Attempt): Promise<HoldEnding>;
  /** Resolves to the first journal file that the database files need. Without `updatesWaitAfterMs` no time lets updates wait. */
  suspendWriting(
    request: Leased & { readonly updatesWaitAfterMs?: number },
  ): Promise<{ incarnation: string; firstJournalFile: string }>;
  resumeWriting(request: Leased & { readonly retainJournal: boolean }): Promise<HoldEnding>;
  releaseJournal(request: Operation): Promise<HoldEnding>;
  renew(request: Operation): Promise<ParticipantHolds>;
  release(request: Operation): Promise<{ incarnation: string }>;
  enterMaintenance(request: Leased): Promise<{ incarnation: string }>;
  leaveMaintenance(request: Operation): Promise<HoldEnding>;
  backUpDatabase(
    request: Operation & { readonly checkpoint: string; readonly epoch: number; readonly counter: number },
  ): Promise<DatabaseBackup>;
  saveKeeperState(request: Operation): Promise<KeeperState>;
  /** Resolves to the definition's new version. */
  relocate(processes: readonly DefinedProcess[]): Promise<number>;
  health(): Promise<Health>;
  /** Ends the connection; what is under way rejects. The process keeps what it holds, by its leases. */
  close(): void;
}

/**
 * One HTTP/2 connection for all calls, opened again when it broke. No pings: many servers refuse frequent ones, and
 * every call has its deadline. No proxy, no shared pool: a connection is of this process alone.
 */
const OPTIONS: grpc.ChannelOptions = {
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
};

/**
 * `target` is `unix:/path`, or `host:port` with mutual TLS. Connects with the first call: a process that is not there
 * rejects it at once with `participant-unreachable`. Rejects `participant-unsafe` where others than root, we and the
 * directory's owner could stand behind the socket, or others than we could call it.
 */
export async function connectParticipant(input: {
  target: string;
  timeoutMs: number;
  tls?: TlsFiles;
}): Promise<Participant> {
  const { target, timeoutMs, tls } = input;
  const channel = await openChannel(target, tls);
  const client = new grpc.Client(target, channel.credentials, { ...OPTIONS, ...channel.options });
  const call = callsOf(client, target, timeoutMs);
  return {
    describe: () => call('Describe', service.describe, {}, toDescription),
    quiesce: (request) => call('Quiesce', service.quiesce, request, toQuiescence, request.timeoutMs),
    switchJournal: (request) => call('SwitchJournal', service.switchJournal, request, toCut),
    resume: (request) => call('Resume', service.resume, request, toEnding),
    suspendWriting: (request) =>
      call(
        'SuspendWriting',
        service.suspendWriting,
        { updatesWaitAfterMs: 0, ...request },
        ({ incarnation, firstJournalFile }) => ({
          incarnation: toIncarnation(incarnation),
          firstJournalFile: toFileName(firstJournalFile, 'first_journal_file'),
        }),
      ),
    resumeWriting: (request) => call('ResumeWriting', service.resumeWriting, request, toEnding),
    releaseJournal: (request) => call('ReleaseJournal', service.releaseJournal, request, toEnding),
    renew: (request) => call('Renew', service.renew, request, ({ held }) => toHolds(held)),
    release: (request) => call('Release', service.release, request, toProcess),
    enterMaintenance: (request) => call('EnterMaintenance', service.enterMaintenance, request, toProcess),
    leaveMaintenance: (request) => call('LeaveMaintenance', service.leaveMaintenance, request, toEnding),
    backUpDatabase: (request) => call('BackUpDatabase', service.backUpDatabase, request, toBackup),
    saveKeeperState: (request) => call('SaveKeeperState', service.saveKeeperState, request, toKeeperState),
    relocate: (processes) =>
      call('Relocate', service.relocate, { processes: [...processes] }, ({ version }) =>
        toNumber(version, 'version'),
      ),
    health: () => call('Health', service.health, {}, ({ healthy, cause }) => ({ healthy, cause })),
    close: () => client.close(),
  };
}

function toEnding(value: { incarnation: string; held: boolean; cause?: string }): HoldEnding {
  return { incarnation: toIncarnation(value.incarnation), held: value.held, cause: value.cause ?? '' };
}

function toProcess(value: { incarnation: string }): { incarnation: string } {
  return { incarnation: toIncarnation(value.incarnation) };
}

interface Method<Request, Response> {
  readonly path: string;
  requestSerialize(request: Request): Buffer;
  responseDeserialize(bytes: Buffer): Response;
}

function callsOf(client: grpc.Client, target: string, timeoutMs: number) {
  return async <Request, Response, Value>(
    name: string,
    method: Method<Request, Response>,
    request: Request,
    decode: (response: Response) => Value,
    ownMs = 0,
  ): Promise<Value> => {
    const response = await new Promise<Response>((resolve, reject) => {
      const deadline = Date.now() + timeoutMs + Math.max(0, ownMs || 0);
      let answered = false;
      try {
        const unary = client.makeUnaryRequest<Request, Response>(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          request,
          new grpc.Metadata(),
          { deadline },
          (error, value) => {
            if (error === null && value !== undefined) return resolve(value);
            const failed = error ?? noAnswer();
            // What gRPC says by itself comes without any header of the process.
            answered ||= Object.keys(failed.metadata.getMap()).length > 0;
            return reject(callFailure({ target, call: name, error: failed, answered }));
          },
        );
        unary.on('metadata', () => (answered = true));
      } catch (error) {
        reject(unreachable(target, error instanceof Error ? error.message : String(error), error));
      }
    });
    try {
      return decode(response);
    } catch (error) {
      if (error instanceof BadAnswer)
        throw contractBroken(target, `in the answer to ${name}, ${error.message}`);
      throw error;
    }
  };
}

function noAnswer(): grpc.ServiceError {
  const details = 'the answer is empty';
  const status = { code: grpc.status.INTERNAL, details, metadata: new grpc.Metadata() };
  return Object.assign(new Error(details), status);
}

interface Channel {
  readonly credentials: grpc.ChannelCredentials;
  readonly options: grpc.ChannelOptions;
}

/** How such a target is called: rejects as `connectParticipant` does. */
export async function openChannel(target: string, tls: TlsFiles | undefined): Promise<Channel> {
  return target.startsWith('unix:') ? await socketOf(target) : await tlsOf(target, tls);
}

async function socketOf(target: string): Promise<Channel> {
  const path = target.slice('unix:'.length);
  if (!isAbsolute(path)) throw badTarget(target);
  const [socket, directory] = await Promise.all([stat(path), stat(dirname(path))]).catch((error: unknown) => {
    throw unreachable(target, (error as NodeJS.ErrnoException).code ?? String(error), error);
  });
  if (!socket.isSocket()) throw unreachable(target, 'it is not a socket');
  const us = process.geteuid?.() ?? 0;
  // Root calls the processes of other users: who owns the directory decides what lies in it anyway.
  const owners = us === 0 ? [0, directory.uid] : [0, us];
  if (!owners.includes(socket.uid)) {
    throw unsafe(
      target,
      `its socket belongs to user ${socket.uid}`,
      'run the process as the owner of its directory',
    );
  }
  if ((socket.mode & 0o077) !== 0) {
    throw unsafe(
      target,
      `others may use its socket (mode ${(socket.mode & 0o777).toString(8)})`,
      `chmod 600 ${path}`,
    );
  }
  return { credentials: grpc.credentials.createInsecure(), options: {} };
}

async function tlsOf(target: string, tls: TlsFiles | undefined): Promise<Channel> {
  const [, name = '', port] = /^(.+):(\d{1,5})$/.exec(target) ?? [];
  if (port === undefined || Number(port) > 65_535) throw badTarget(target);
  if (tls === undefined) {
    throw unsafe(target, 'there is no TLS to an address', 'name certificates, or a Unix socket: unix:/path');
  }
  const host = name.replace(/^\[|\]$/g, '');
  const { ca, key, cert } = await loadTls(tls);
  const credentials = grpc.credentials.createSsl(ca, key, cert, {
    checkServerIdentity: (_name, certificate) => wrongHost(host, certificate.raw),
  });
  // A name is needed for the handshake even where the host is an address; the check above uses the host.
  const override = isIP(host) === 0 ? {} : { 'grpc.ssl_target_name_override': 'stillpoint-participant' };
  return { credentials, options: override };
}

function wrongHost(host: string, raw: Buffer): Error | undefined {
  const certificate = new X509Certificate(raw);
  const named = isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host);
  if (named !== undefined) return undefined;
  return new Error(
    `its certificate is for ${certificate.subjectAltName ?? 'nobody'}, and does not name ${host}`,
  );
}

function badTarget(target: string): StillpointError {
  return new StillpointError({
    code: 'bad-configuration',
    message: `'${target}' is not the address of a process`,
    hint: 'unix:/absolute/path of its socket, or host:port with certificates',
  });
}

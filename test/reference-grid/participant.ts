import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { compareTokens, formatToken, type Token } from '../../shared/domain/token.ts';
import {
  DescribeResponse as Describe,
  ParticipantServiceService,
  type BackUpDatabaseRequest,
  type BackUpDatabaseResponse,
  type Content,
  type DefinedProcess,
  type DescribeResponse,
  type Held,
  type SaveKeeperStateResponse,
  type SwitchJournalResponse,
} from '../../shared/rpc/generated/participant.ts';
import { writeDurably } from './durable.ts';
import { every, type Repetition } from './every.ts';
import type { Gate } from './gate.ts';
import { Holds, Refusal } from './holds.ts';

/** What a role brings to the contract; what it leaves out is UNIMPLEMENTED, as the contract says for its role. */
export interface Participation {
  describe(): Omit<DescribeResponse, 'contractVersion' | 'incarnation' | 'version' | 'held'>;
  /** What it does while it is not there yet; undefined when it is. */
  recovering?(): string | undefined;
  /** Why it is not fit for clients; undefined when it is. */
  unfit(): string | undefined;
  readonly rest?: {
    readonly gate: Gate;
    switchJournal(): Promise<{ file: string; length: number; content: Content | undefined }>;
  };
  readonly writing?: {
    /** Resolves, when the database files are at rest, to the first journal file that they need. */
    suspend(updatesWaitAfterMs: number): Promise<string>;
    /** Clients' updates wait for its end. */
    updatesWait(): boolean;
    resume(): void;
    retain(retained: boolean): void;
    refuseWrites(refused: boolean): void;
    /** By the grid's operator, for no operation. */
    isInMaintenance(): boolean;
  };
  backUpDatabase?(request: BackUpDatabaseRequest): Promise<BackUpDatabaseResponse>;
  saveKeeperState?(): SaveKeeperStateResponse;
  relocate?(processes: readonly DefinedProcess[]): Promise<bigint>;
}

const DESCRIBED_MS = 1000;
const FREE: Held = {
  operation: '',
  quiesced: false,
  writingSuspended: false,
  journalRetained: false,
  maintenance: false,
  updatesWait: false,
};

/** New with every start of this process. */
export const incarnation = randomUUID();

type Answers = { readonly [Name in keyof typeof ParticipantServiceService]: (request: never) => unknown };
type RequestOf<Name extends keyof Answers> = ReturnType<
  (typeof ParticipantServiceService)[Name]['requestDeserialize']
>;

/** Serves the contract on a Unix socket that only its owner may open. */
export async function serveParticipant(listen: string, role: Participation): Promise<grpc.Server> {
  const server = new grpc.Server();
  server.addService(ParticipantServiceService, methodsOf(answersOf(role), role));
  rmSync(listen.replace(/^unix:/, ''), { force: true });
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      const credentials = grpc.ServerCredentials.createInsecure();
      server.bindAsync(listen, credentials, (error) => (error === null ? resolve() : reject(error)));
    });
  } finally {
    process.umask(mask);
  }
  return server;
}

/** Keeps its own description in a file, for who wants to know whose files these are when it does not run. */
export function keepDescribed(data: string, role: Participation): Repetition {
  let written = '';
  return every(
    () => DESCRIBED_MS,
    async () => {
      const description = { contractVersion: 1, incarnation, version: '1', held: FREE, ...role.describe() };
      // What changes all the time is nobody's concern later.
      const lasting = {
        ...description,
        sizeBytes: 0n,
        clientConnections: 0,
        problems: [],
        updatesHaveRoomMs: undefined,
      };
      const text = JSON.stringify(Describe.toJSON(lasting));
      if (text === written) return;
      await writeDurably(join(data, 'described.json'), text);
      written = text;
    },
  );
}

function answersOf(role: Participation): Answers {
  const holds = new Holds();
  let newest: Token | undefined;
  const switched = new Map<string, Omit<SwitchJournalResponse, 'incarnation'>>();
  const backups = new Map<string, Promise<BackUpDatabaseResponse>>();

  const held = (): Held => ({
    operation: holds.operation,
    quiesced: holds.holds('quiesced'),
    writingSuspended: holds.holds('writingSuspended'),
    journalRetained: holds.holds('journalRetained'),
    maintenance: holds.holds('maintenance') || role.writing?.isInMaintenance() === true,
    updatesWait: role.writing?.updatesWait() === true,
  });
  /** A token is seen (`commit`) when nothing speaks against its request any more. */
  const mayCome = (operation: string, attempt: string, token: Token): { commit(): void } => {
    holds.mustBeFreeFor(operation);
    if (newest !== undefined && compareTokens(token, newest) < 0)
      throw aborted(`token ${formatToken(token)} is older than ${formatToken(newest)}`);
    const other = holds.attempt('quiesced');
    if (other !== undefined && other !== attempt)
      throw failed(`it rests, or comes to rest, with token ${other}`, 'resume that first');
    return { commit: () => (newest = token) };
  };

  return {
    describe: () => ({ contractVersion: 1, incarnation, version: '1', held: held(), ...role.describe() }),

    health: () => ({ healthy: role.unfit() === undefined, cause: role.unfit() ?? '' }),

    async quiesce({ operation, token, allowReads, timeoutMs, leaseMs }: RequestOf<'quiesce'>) {
      const { gate } = has(role.rest);
      const attempt = formatToken(present(token, 'token'));
      must(Number.isFinite(timeoutMs) && timeoutMs >= 0, 'timeout_ms is not a time');
      lease(leaseMs);
      const { commit } = mayCome(named(operation), attempt, present(token, 'token'));
      commit();
      let notQuiesced: string[] = [];
      const begin = async (): Promise<true | undefined> => {
        notQuiesced = await gate.close(allowReads, timeoutMs);
        return notQuiesced.length === 0 ? true : undefined;
      };
      const hold = { kind: 'quiesced', operation, attempt, leaseMs: lease(leaseMs) } as const;
      const quiesced = (await holds.take(hold, begin, () => gate.open())) === true;
      return { incarnation, quiesced, notQuiesced };
    },

    async switchJournal({ operation, token }: RequestOf<'switchJournal'>) {
      const { switchJournal } = has(role.rest);
      const attempt = formatToken(present(token, 'token'));
      const key = JSON.stringify([named(operation), attempt]);
      const { commit } = mayCome(operation, attempt, present(token, 'token'));
      if (!holds.holds('quiesced', operation, attempt))
        throw failed('not quiesced with this token', 'quiesce first');
      commit();
      const before = switched.get(key);
      if (before !== undefined) return { incarnation, ...before };
      const { file, length, content } = await switchJournal();
      const mark = { journalFile: file, length: BigInt(length), content };
      switched.set(key, mark);
      return { incarnation, ...mark };
    },

    resume({ operation, token }: RequestOf<'resume'>) {
      has(role.rest);
      const attempt = formatToken(present(token, 'token'));
      mayCome(named(operation), attempt, present(token, 'token')).commit();
      const { held: wasHeld, cause } = holds.finish('quiesced', operation, attempt);
      return { incarnation, held: wasHeld, cause: wasHeld ? '' : cause };
    },

    async suspendWriting({ operation, leaseMs, updatesWaitAfterMs }: RequestOf<'suspendWriting'>) {
      const writing = has(role.writing);
      const isTime = Number.isFinite(updatesWaitAfterMs) && updatesWaitAfterMs >= 0;
      must(isTime, 'updates_wait_after_ms is not a time');
      const hold = {
        kind: 'writingSuspended',
        operation: named(operation),
        leaseMs: lease(leaseMs),
      } as const;
      const firstJournalFile = await holds.take(
        hold,
        () => writing.suspend(updatesWaitAfterMs),
        () => writing.resume(),
      );
      return { incarnation, firstJournalFile };
    },

    async resumeWriting({ operation, retainJournal, leaseMs }: RequestOf<'resumeWriting'>) {
      const writing = has(role.writing);
      const hold = { kind: 'journalRetained', operation: named(operation), leaseMs } as const;
      if (retainJournal) lease(leaseMs);
      holds.mustBeFreeFor(operation);
      const retains = retainJournal && holds.holds('writingSuspended', operation);
      if (retains) writing.retain(true);
      const { held: wasHeld } = holds.finish('writingSuspended', operation);
      if (retains)
        await holds.take(
          hold,
          () => Promise.resolve(true),
          () => writing.retain(false),
        );
      return { incarnation, held: wasHeld };
    },

    releaseJournal({ operation }: RequestOf<'releaseJournal'>) {
      has(role.writing);
      holds.mustBeFreeFor(named(operation));
      // Before it was retained there is nothing to end, nor to remember.
      const isKnown = holds.holds('journalRetained', operation) || holds.ended('journalRetained', operation);
      return { incarnation, held: isKnown && holds.finish('journalRetained', operation).held };
    },

    renew({ operation }: RequestOf<'renew'>) {
      holds.mustBeFreeFor(named(operation));
      holds.renew(operation);
      return { held: held() };
    },

    release({ operation }: RequestOf<'release'>) {
      holds.release(named(operation));
      return { incarnation };
    },

    async enterMaintenance({ operation, leaseMs }: RequestOf<'enterMaintenance'>) {
      const writing = has(role.writing);
      const hold = { kind: 'maintenance', operation: named(operation), leaseMs: lease(leaseMs) } as const;
      const begin = (): Promise<true> => {
        writing.refuseWrites(true);
        return Promise.resolve(true);
      };
      await holds.take(hold, begin, () => writing.refuseWrites(false));
      return { incarnation };
    },

    leaveMaintenance({ operation }: RequestOf<'leaveMaintenance'>) {
      has(role.writing);
      holds.mustBeFreeFor(named(operation));
      return { incarnation, held: holds.finish('maintenance', operation).held };
    },

    async backUpDatabase(request: RequestOf<'backUpDatabase'>) {
      const backUp = has(role.backUpDatabase);
      const key = JSON.stringify([
        named(request.operation),
        request.epoch,
        request.counter,
        request.checkpoint,
      ]);
      holds.mustBeFreeFor(request.operation);
      const before = backups.get(key);
      if (before !== undefined && role.rest?.gate.closed !== true) return await before;
      if (role.rest?.gate.closed === true) throw failed('the realm service is quiesced', 'resume it first');
      const backup = backUp(request);
      backups.set(key, backup);
      backup.catch(() => backups.delete(key));
      return await backup;
    },

    saveKeeperState({ operation }: RequestOf<'saveKeeperState'>) {
      const save = has(role.saveKeeperState);
      holds.mustBeFreeFor(named(operation));
      return save();
    },

    async relocate({ processes }: RequestOf<'relocate'>) {
      const relocate = has(role.relocate);
      if (role.rest?.gate.closed === true) throw failed('the realm service is quiesced', 'resume it first');
      return { version: await relocate(processes) };
    },
  } satisfies Answers;
}

/** What is answered by a process that is not there yet. */
const WHILE_RECOVERING = ['describe', 'health', 'release'];

function methodsOf(answers: Answers, role: Participation): grpc.UntypedServiceImplementation {
  const entries = Object.entries(answers) as [string, (request: unknown) => unknown][];
  return Object.fromEntries(
    entries.map(([name, answer]) => [
      name,
      (call: grpc.ServerUnaryCall<unknown, unknown>, reply: grpc.sendUnaryData<unknown>): void => {
        void (async () => {
          try {
            const recovering = role.recovering?.();
            if (recovering !== undefined && !WHILE_RECOVERING.includes(name))
              throw new Refusal(grpc.status.UNAVAILABLE, `it is recovering: ${recovering}`, 'wait');
            reply(null, await answer(call.request));
          } catch (error) {
            const { message } = error as Error;
            const code = error instanceof Refusal ? error.code : grpc.status.INTERNAL;
            if (code === grpc.status.INTERNAL)
              process.stderr.write(`${name}: ${String((error as Error).stack)}\n`);
            reply({ code, details: message.replaceAll('\n', ' ') });
          }
        })();
      },
    ]),
  );
}

function has<T>(ability: T | undefined): T {
  if (ability !== undefined) return ability;
  throw new Refusal(grpc.status.UNIMPLEMENTED, 'a process of this role has no such call', 'see the contract');
}

function must(holds: boolean, otherwise: string): void {
  if (!holds) throw new Refusal(grpc.status.INVALID_ARGUMENT, otherwise, 'see the contract');
}

function present<T>(value: T | undefined, name: string): T {
  must(value !== undefined, `${name} is missing`);
  return value as T;
}

function named(operation: string): string {
  must(operation !== '', 'operation is missing');
  return operation;
}

function lease(leaseMs: number): number {
  must(Number.isFinite(leaseMs) && leaseMs > 0, 'lease_ms is not a time');
  return leaseMs;
}

function failed(fact: string, hint: string): Refusal {
  return new Refusal(grpc.status.FAILED_PRECONDITION, fact, hint);
}

function aborted(fact: string): Refusal {
  return new Refusal(grpc.status.ABORTED, fact, 'another attempt is newer');
}

import { randomUUID } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as grpc from '@grpc/grpc-js';
import { compareTokens, formatToken, type Token } from '../../../shared/domain/token.ts';
import * as wire from '../../../shared/rpc/generated/participant.ts';
import type { Fault } from './faults.ts';
import { Store } from './store.ts';

// A node of one process, small enough to be seen to keep the contract, with faults that can be switched on:
// node.ts DATA SOCKET [FAULT]. Clients speak lines on DATA/clients.sock: `write N`, `read`, `scan`.

type Kind = 'quiesced' | 'writingSuspended' | 'journalRetained' | 'maintenance';
type Service = typeof wire.ParticipantServiceService;
type RequestOf<Name extends keyof Service> = ReturnType<Service[Name]['requestDeserialize']>;

const [data = '', socketPath = '', fault = ''] = process.argv.slice(2);
const has = (name: Fault): boolean => fault === name;
const EARLY_MS = 60;
const GROWS_MS = 60;

const store = new Store(data, {
  loseTail: has('loses-the-tail'),
  writeWhileSuspended: has('writes-while-suspended'),
  ignoreRetention: has('removes-retained-journal'),
  changeClosedFile: has('changes-a-closed-journal-file'),
  digestOfCount: has('counts-rows-and-looks-at-none'),
  startedWithoutJournal: has('forgets-the-journal-that-it-was-started-with'),
});
const incarnation = randomUUID();

class Refusal extends Error {
  readonly code: grpc.status;
  constructor(code: grpc.status, fact: string) {
    super(`${fact}; hint: see docs/participant.md`);
    this.code = code;
  }
}

interface Hold {
  readonly operation: string;
  readonly token: string;
  readonly leaseMs: number;
  timer?: NodeJS.Timeout;
}
const holds = new Map<Kind, Hold>();
const endings = new Map<string, boolean>();
const cuts = new Map<string, { file: string; length: number; content: wire.Content }>();
let newest: Token = { epoch: 0, counter: 0, attempt: 0 };
let allowReads = true;
let scans = 0;
const waiting: (() => void)[] = [];
const waitingRows: number[] = [];

function take(kind: Kind, hold: Hold): void {
  const other = holds.values().find(({ operation }) => operation !== hold.operation);
  if (other !== undefined && !has('takes-another-operation')) {
    throw new Refusal(grpc.status.ABORTED, `operation ${other.operation} holds the process`);
  }
  clearTimeout(holds.get(kind)?.timer);
  holds.set(kind, hold);
  count(kind, hold);
}

function count(kind: Kind, hold: Hold): void {
  clearTimeout(hold.timer);
  if (kind === 'quiesced' && has('lease-never-ends')) return;
  const early = kind === 'quiesced' && has('resumes-early');
  hold.timer = setTimeout(
    () => end(kind, hold, has('claims-held-after-expiry')),
    early ? Math.min(EARLY_MS, hold.leaseMs / 2) : hold.leaseMs,
  );
}

function end(kind: Kind, hold: Hold, held: boolean): boolean {
  clearTimeout(hold.timer);
  holds.delete(kind);
  endings.set(`${kind} ${hold.operation} ${hold.token}`, held);
  if (kind === 'writingSuspended') store.resume();
  if (kind === 'journalRetained') store.retained = false;
  if (kind !== 'quiesced') return held;
  waitingRows.length = 0;
  for (const go of waiting.splice(0)) go();
  return held;
}

function finish(
  kind: Kind,
  operation: string,
  token = '',
): { incarnation: string; held: boolean; cause: string } {
  const hold = holds.get(kind);
  const ours = hold?.operation === operation && hold.token === token;
  const held = ours ? end(kind, hold, true) : (endings.get(`${kind} ${operation} ${token}`) ?? false);
  return { incarnation, held, cause: held ? '' : 'its lease was over' };
}

function heldNow(): wire.Held {
  const operation = holds.values().find(() => true)?.operation ?? '';
  const is = (kind: Kind): boolean => holds.has(kind);
  const maintenance = is('maintenance') && !has('hides-what-it-holds');
  return {
    operation,
    quiesced: is('quiesced'),
    writingSuspended: is('writingSuspended'),
    journalRetained: is('journalRetained'),
    maintenance,
  };
}

function must(isSo: boolean, fact: string): void {
  if (!isSo && !has('takes-malformed-requests')) throw new Refusal(grpc.status.INVALID_ARGUMENT, fact);
}

function seen(token: Token | undefined): string {
  must(token !== undefined, 'token is missing');
  if (token === undefined) return '';
  if (compareTokens(token, newest) >= 0) newest = token;
  else if (!has('accepts-an-older-token'))
    throw new Refusal(grpc.status.ABORTED, `a token newer than ${formatToken(token)}`);
  return formatToken(token);
}

function named(operation: string): string {
  must(operation !== '', 'operation is missing');
  return operation;
}

function lease(leaseMs: number): number {
  must(leaseMs > 0, 'lease_ms is not positive');
  return leaseMs;
}

function startedWith(): wire.Content | undefined {
  if (has('does-not-tell-what-it-was-started-with')) return undefined;
  return has('takes-what-it-has-for-what-it-was-started-with') ? store.content : store.startedWith;
}

const answers = {
  describe: (): wire.DescribeResponse => ({
    contractVersion: 1,
    grid: 'model',
    name: 'model-1a',
    role: wire.Role.ROLE_NODE,
    incarnation: has('changes-its-incarnation') ? randomUUID() : incarnation,
    version: '1.0',
    address: 'localhost:7000',
    dataDirectory: data,
    journalDirectory: 'journal',
    copyset: 'model-1',
    primary: true,
    dataIdentity: 'model',
    sizeBytes: BigInt(store.sizeBytes()),
    clientConnections: 0,
    held: heldNow(),
    quorum: undefined,
    definition: undefined,
    highestEpoch: 0,
    highestCounter: 0,
    problems: [],
    startedWith: startedWith(),
  }),
  health: () => ({ healthy: true, cause: '' }),
  async quiesce({ operation, token, timeoutMs, leaseMs, ...request }: RequestOf<'quiesce'>) {
    must(timeoutMs >= 0, 'timeout_ms is negative');
    const before = holds.get('quiesced');
    const hold = { operation: named(operation), token: '', leaseMs: lease(leaseMs) };
    if (before !== undefined && before.operation !== operation) take('quiesced', hold);
    const attempt = seen(token);
    if (before?.token === attempt) return { incarnation, quiesced: true, notQuiesced: [] };
    if (endings.has(`quiesced ${operation} ${attempt}`) && !has('quiesces-what-was-resumed')) {
      throw new Refusal(grpc.status.FAILED_PRECONDITION, 'this token was resumed');
    }
    for (
      const until = performance.now() + timeoutMs;
      scans > 0;
      await new Promise((go) => setTimeout(go, 5))
    ) {
      if (performance.now() < until) continue;
      const unnamed = has('cannot-rest-and-does-not-say-what');
      return { incarnation, quiesced: false, notQuiesced: unnamed ? [] : ['a scan'] };
    }
    take('quiesced', { ...hold, token: attempt });
    ({ allowReads } = request);
    if (has('journal-grows-in-the-freeze'))
      setTimeout(() => holds.has('quiesced') && store.appendLine(''), GROWS_MS);
    return { incarnation, quiesced: true, notQuiesced: [] };
  },
  switchJournal({ operation, token }: RequestOf<'switchJournal'>) {
    const attempt = seen(token);
    const before = has('switches-twice') ? undefined : cuts.get(attempt);
    const hold = holds.get('quiesced');
    if (before === undefined && (hold?.operation !== operation || hold.token !== attempt)) {
      throw new Refusal(grpc.status.FAILED_PRECONDITION, 'it is not quiesced with this token');
    }
    const content = has('says-at-the-mark-what-it-once-had') ? store.startedWith : store.content;
    const cut = before ?? { ...store.switchJournal(), content };
    cuts.set(attempt, cut);
    if (has('says-other-content-when-asked-again') && before !== undefined) cut.content.count += 1n;
    return { incarnation, journalFile: cut.file, length: BigInt(cut.length), content: cut.content };
  },
  resume: ({ operation, token }: RequestOf<'resume'>) => finish('quiesced', named(operation), seen(token)),
  suspendWriting({ operation, leaseMs }: RequestOf<'suspendWriting'>) {
    take('writingSuspended', { operation: named(operation), token: '', leaseMs: lease(leaseMs) });
    return { incarnation, firstJournalFile: store.suspend() };
  },
  resumeWriting({ operation, retainJournal, leaseMs }: RequestOf<'resumeWriting'>) {
    const held = holds.has('writingSuspended');
    if (held && retainJournal) take('journalRetained', { operation, token: '', leaseMs: lease(leaseMs) });
    store.retained = holds.has('journalRetained');
    return finish('writingSuspended', named(operation));
  },
  releaseJournal: ({ operation }: RequestOf<'releaseJournal'>) => finish('journalRetained', named(operation)),
  renew({ operation }: RequestOf<'renew'>) {
    named(operation);
    for (const [kind, hold] of holds)
      if (hold.operation === operation && !has('renew-does-nothing')) count(kind, hold);
    return { held: heldNow() };
  },
  release({ operation }: RequestOf<'release'>) {
    for (const [kind, hold] of holds) {
      if (kind === 'maintenance' && has('release-forgets-maintenance')) continue;
      if (hold.operation === operation) end(kind, hold, false);
    }
    return { incarnation };
  },
  enterMaintenance({ operation, leaseMs }: RequestOf<'enterMaintenance'>) {
    take('maintenance', { operation: named(operation), token: '', leaseMs: lease(leaseMs) });
    return { incarnation };
  },
  leaveMaintenance: ({ operation }: RequestOf<'leaveMaintenance'>) => finish('maintenance', named(operation)),
};

function serveContract(): void {
  const methods = Object.entries(answers).map(([name, answer]) => [
    name,
    (call: { request: never }, done: grpc.sendUnaryData<unknown>) => {
      void (async () => (answer as (request: never) => unknown)(call.request))().then(
        (value) => done(null, value),
        (error: Error) =>
          done({
            code: error instanceof Refusal ? error.code : grpc.status.INTERNAL,
            details: error.message,
          }),
      );
    },
  ]);
  const server = new grpc.Server();
  const all = Object.fromEntries(methods) as grpc.UntypedServiceImplementation;
  server.addService(wire.ParticipantServiceService, all);
  rmSync(socketPath, { force: true });
  process.umask(0o077);
  server.bindAsync(`unix:${socketPath}`, grpc.ServerCredentials.createInsecure(), (error) => {
    if (error !== null) throw error;
    process.stdout.write('listening\n');
  });
}

async function rest(): Promise<void> {
  while (holds.has('quiesced')) await new Promise<void>((go) => waiting.push(go));
}

async function write(row: number): Promise<string> {
  if (holds.has('quiesced') && has('refuses-in-the-freeze')) return `refused ${row}`;
  if (holds.has('quiesced')) waitingRows.push(row);
  if (holds.has('quiesced') && has('acknowledges-in-the-freeze')) {
    void rest().then(() => store.add(row));
    return `written ${row}`;
  }
  await rest();
  if (holds.has('maintenance') && !has('writes-in-maintenance')) return `refused ${row}`;
  store.add(row);
  return holds.has('maintenance') ? `refused ${row}` : `written ${row}`;
}

async function reply(line: string, socket: Socket): Promise<string> {
  const [verb, row] = line.split(' ');
  if (verb === 'write') return await write(Number(row));
  if (verb === 'scan') {
    scans += 1;
    socket.once('close', () => (scans -= 1));
    return 'scanning';
  }
  if (!allowReads && !has('answers-reads-that-should-wait')) await rest();
  const rows = [...store.rows].join(' ');
  const [shown] = holds.has('quiesced') ? waitingRows : [];
  if (shown !== undefined && has('shows-what-waits')) {
    waitingRows.shift();
    store.rows.add(shown);
  }
  return rows;
}

const clients = createServer((socket) => {
  socket.on('error', () => undefined);
  const lines = createInterface(socket);
  // It says again what the socket said.
  lines.on('error', () => undefined);
  lines.on('line', (line) => {
    void reply(line, socket).then((text) => socket.write(`${text}\n`));
  });
});
clients.listen(0, '127.0.0.1', () => {
  writeFileSync(join(data, 'clients.port'), String((clients.address() as AddressInfo).port));
  if (socketPath !== '') serveContract();
});

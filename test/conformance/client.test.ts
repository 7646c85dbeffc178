import { expect } from 'chai';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import * as wire from '../../shared/rpc/generated/participant.ts';
import { connectParticipant, type Participant } from '../../shared/rpc/participant-client.ts';
import { initializePki, issueAgentCertificates } from '../../shared/rpc/pki.ts';
import { loadTls } from '../../shared/rpc/tls-files.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: the agent gets values that it can build on, or one failure with a code and a remedy. Method: a server that
// answers what the test says.

const HOST = '127.0.18.1';
const ATTEMPT = { operation: 'o', token: { epoch: 0, counter: 1, attempt: 1 } };
const QUIESCE = { ...ATTEMPT, allowReads: true, timeoutMs: 0, leaseMs: 1000 };
const GOOD: wire.DescribeResponse = {
  ...wire.DescribeResponse.fromPartial({}),
  contractVersion: 1,
  name: 'node-1',
  role: wire.Role.ROLE_NODE,
  incarnation: 'i',
  dataDirectory: '/data',
  journalDirectory: 'journal',
  held: wire.Held.fromPartial({}),
};

type Answer = (request: never) => unknown;

describe('the client of participants', () => {
  const folder = temporaryFolder('participant');
  const socket = join(folder.path, 'p.sock');
  const answers = new Map<string, Answer>();
  const server = new grpc.Server();
  let participant: Participant;

  before(async () => {
    const names = Object.keys(wire.ParticipantServiceService);
    server.addService(
      wire.ParticipantServiceService,
      Object.fromEntries(names.map((name) => [name, serve(name)])) as grpc.UntypedServiceImplementation,
    );
    await bind(`unix:${socket}`, grpc.ServerCredentials.createInsecure());
    chmodSync(socket, 0o600);
    participant = await connectParticipant({ target: `unix:${socket}`, timeoutMs: 2000 });
  });

  beforeEach(() => answers.clear());

  after(() => {
    participant.close();
    server.forceShutdown();
    folder.remove();
  });

  function serve(name: string): grpc.handleUnaryCall<never, unknown> {
    return (call, done) => {
      const answer = answers.get(name);
      try {
        const value = answer?.(call.request);
        if (value !== undefined) done(null, value);
      } catch (error) {
        done(error as grpc.ServiceError);
      }
    };
  }

  async function bind(target: string, credentials: grpc.ServerCredentials): Promise<number> {
    return await new Promise((resolve, reject) => {
      server.bindAsync(target, credentials, (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
  }

  function refuses(name: string, code: grpc.status, details: string): void {
    answers.set(name, () => {
      throw Object.assign(new Error(details), { code, details });
    });
  }

  async function failureOf(call: Promise<unknown>): Promise<Failure> {
    try {
      await call;
    } catch (error) {
      if (error instanceof StillpointError) return error.failure;
      throw error;
    }
    throw new Error('it did not fail');
  }

  it('carries requests and answers', async () => {
    let request: wire.QuiesceRequest | undefined;
    answers.set('quiesce', (received: wire.QuiesceRequest) => {
      request = received;
      return { incarnation: 'i', quiesced: false, notQuiesced: ['a scan'] };
    });
    answers.set('describe', () => ({ ...GOOD, sizeBytes: 7n }));
    expect(await participant.quiesce(QUIESCE)).to.deep.equal({
      incarnation: 'i',
      quiesced: false,
      notQuiesced: ['a scan'],
    });
    expect(request).to.deep.equal(QUIESCE);
    expect(await participant.describe()).to.deep.include({
      role: 'node',
      sizeBytes: 7,
      copyset: null,
      quorum: null,
    });
  });

  it("tells each status by its code, and keeps the process's own words", async () => {
    const codes: [grpc.status, string][] = [
      [grpc.status.INVALID_ARGUMENT, 'participant-invalid'],
      [grpc.status.UNIMPLEMENTED, 'participant-unsupported'],
      [grpc.status.FAILED_PRECONDITION, 'participant-wrong-state'],
      [grpc.status.ABORTED, 'participant-superseded'],
      [grpc.status.RESOURCE_EXHAUSTED, 'participant-no-space'],
      [grpc.status.UNAVAILABLE, 'participant-unavailable'],
      [grpc.status.INTERNAL, 'participant-contract'],
    ];
    for (const [status, code] of codes) {
      refuses('resume', status, 'it sleeps; hint: wake it');
      const failure = await failureOf(participant.resume(ATTEMPT));
      expect(failure.code).to.equal(code);
      expect(failure.message).to.contain('it sleeps').and.not.contain('hint');
      if (code !== 'participant-contract') expect(failure.hint).to.equal('wake it');
    }
    refuses('resume', grpc.status.ABORTED, 'without a remedy');
    expect((await failureOf(participant.resume(ATTEMPT))).hint).to.contain('wait for it');
  });

  const broken: [string, Partial<wire.DescribeResponse>, string][] = [
    ['another version of the contract', { contractVersion: 2 }, 'contract_version is 2'],
    ['no role', { role: wire.Role.ROLE_UNSPECIFIED }, 'role is 0'],
    ['a role of a later contract', { role: 9 as wire.Role }, 'role is 9'],
    ['no incarnation', { incarnation: '' }, 'incarnation is missing'],
    ['no holds', { held: undefined }, 'held is missing'],
    ['a size that is no exact number', { sizeBytes: 2n ** 60n }, 'size_bytes'],
    ['a data directory that is not absolute', { dataDirectory: 'data' }, 'data_directory'],
    ['a journal directory that leads out of live/', { journalDirectory: '../..' }, 'journal_directory'],
  ];
  for (const [what, change, complaint] of broken) {
    it(`believes no description with ${what}`, async () => {
      answers.set('describe', () => ({ ...GOOD, ...change }));
      const failure = await failureOf(participant.describe());
      expect(failure.code).to.equal('participant-contract');
      expect(failure.message).to.contain(complaint);
    });
  }

  it('follows no name that leads out of where it belongs, and takes no state that is too large', async () => {
    answers.set('switchJournal', () => ({ incarnation: 'i', journalFile: '../../etc/passwd', length: 1n }));
    answers.set('suspendWriting', () => ({ incarnation: 'i', firstJournalFile: '..' }));
    answers.set('backUpDatabase', () => ({ file: 'backups/../live/x', definition: Buffer.alloc(0) }));
    answers.set('saveKeeperState', () => ({ state: Buffer.alloc(1024 * 1024 + 1), version: 1n }));
    const { operation } = ATTEMPT;
    for (const call of [
      participant.switchJournal(ATTEMPT),
      participant.suspendWriting({ operation, leaseMs: 1 }),
      participant.backUpDatabase({ operation, checkpoint: 'c', epoch: 0, counter: 1 }),
      participant.saveKeeperState({ operation }),
    ]) {
      expect((await failureOf(call)).code).to.equal('participant-contract');
    }
  });

  it('waits no longer than its deadline, and for Quiesce as much longer as was asked', async () => {
    const impatient = await connectParticipant({ target: `unix:${socket}`, timeoutMs: 50 });
    expect((await failureOf(impatient.health())).code).to.equal('participant-timeout');
    const from = performance.now();
    const { code } = await failureOf(impatient.quiesce({ ...QUIESCE, timeoutMs: 200 }));
    expect(code).to.equal('participant-timeout');
    expect(performance.now() - from).to.be.greaterThan(200);
    impatient.close();
    expect((await failureOf(impatient.health())).code).to.equal('participant-unreachable');
  });

  it('says at once that nobody is there, and finds a process that came back', async () => {
    const path = join(folder.path, 'restarted.sock');
    const target = `unix:${path}`;
    expect((await failureOf(connectParticipant({ target, timeoutMs: 5000 }))).code).to.equal(
      'participant-unreachable',
    );
    let restarted = await restart(path);
    const client = await connectParticipant({ target, timeoutMs: 5000 });
    expect((await client.health()).healthy).to.equal(true);
    restarted.forceShutdown();
    const from = performance.now();
    expect((await failureOf(client.health())).code).to.equal('participant-unreachable');
    expect(performance.now() - from).to.be.lessThan(2000);
    restarted = await restart(path);
    const end = performance.now() + 10_000;
    while (
      await client.health().then(
        () => false,
        () => true,
      )
    )
      expect(performance.now()).to.be.lessThan(end);
    restarted.forceShutdown();
    client.close();
  });

  it('calls no socket that others may use, and no address without TLS', async () => {
    chmodSync(socket, 0o660);
    const failure = await failureOf(connectParticipant({ target: `unix:${socket}`, timeoutMs: 100 }));
    chmodSync(socket, 0o600);
    expect(failure).to.include({ code: 'participant-unsafe', hint: `chmod 600 ${socket}` });
    const { code } = await failureOf(connectParticipant({ target: `${HOST}:1`, timeoutMs: 100 }));
    expect(code).to.equal('participant-unsafe');
    for (const target of ['unix:relative', 'unix', `${HOST}:99999`]) {
      expect((await failureOf(connectParticipant({ target, timeoutMs: 100 }))).code).to.equal(
        'bad-configuration',
      );
    }
  });

  it('calls an address with mutual TLS, and only the host that the certificate names', async () => {
    const pki = join(folder.path, 'pki');
    await initializePki(pki);
    await issueAgentCertificates(pki, [HOST]);
    const tls = {
      ca: join(pki, 'ca.pem'),
      cert: join(pki, `${HOST}.pem`),
      key: join(pki, `${HOST}-key.pem`),
    };
    const { ca, cert, key } = await loadTls(tls);
    const credentials = grpc.ServerCredentials.createSsl(ca, [{ private_key: key, cert_chain: cert }], true);
    const port = await bind(`${HOST}:0`, credentials);
    const otherPort = await bind('127.0.18.2:0', credentials);
    answers.set('health', () => ({ healthy: true, cause: '' }));
    const right = await connectParticipant({ target: `${HOST}:${port}`, tls, timeoutMs: 5000 });
    expect((await right.health()).healthy).to.equal(true);
    right.close();
    const wrong = await connectParticipant({ target: `127.0.18.2:${otherPort}`, tls, timeoutMs: 5000 });
    const failure = await failureOf(wrong.health());
    expect(failure.code).to.equal('participant-unreachable');
    wrong.close();
  });
});

async function restart(path: string): Promise<grpc.Server> {
  const server = new grpc.Server();
  const health = (_call: unknown, done: grpc.sendUnaryData<unknown>): void =>
    done(null, { healthy: true, cause: '' });
  server.addService(wire.ParticipantServiceService, { health });
  await new Promise<void>((resolve, reject) => {
    const credentials = grpc.ServerCredentials.createInsecure();
    server.bindAsync(`unix:${path}`, credentials, (error) => (error === null ? resolve() : reject(error)));
  });
  chmodSync(path, 0o600);
  return server;
}

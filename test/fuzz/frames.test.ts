import { expect } from 'chai';
import * as grpc from '@grpc/grpc-js';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { checkRequest } from '../../agent/request-check.ts';
import { AgentConnection } from '../../coordinator/agents.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import { PROTOCOL_VERSION, type AgentRequest, type AgentResponse } from '../../shared/domain/wire.ts';
import { serveAgents } from '../../shared/rpc/agent-server.ts';
import { AgentMessage, CoordinatorMessage } from '../../shared/rpc/generated/agent.ts';
import * as participant from '../../shared/rpc/generated/participant.ts';
import {
  BadAnswer,
  toBackup,
  toCut,
  toDescription,
  toKeeperState,
  toQuiescence,
} from '../../shared/rpc/participant-codec.ts';
import { initializePki, issueAgentCertificates } from '../../shared/rpc/pki.ts';
import { decodeRequest, encodeRequest } from '../../shared/rpc/request-codec.ts';
import { decodeResponse, encodeResponse } from '../../shared/rpc/response-codec.ts';
import { CHANNEL_OPTIONS } from '../../shared/rpc/transport.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { describedHost, describedMember } from '../coordinator/descriptions.ts';
import { realm } from '../coordinator/realm-grid.ts';
import { anyBytes, hurt } from './mutations.ts';
import { accepted, fuzz } from './verdict.ts';

// Goal: whatever comes over the wire is understood or refused, on both sides, and nobody waits for what never comes.

const token = { epoch: 0, counter: 7, attempt: 1 };
const failure = {
  code: 'c',
  message: 'm',
  hint: 'h',
  phase: 'stage' as const,
  members: [{ name: 'a', state: 'running' as const }],
};
const REQUESTS: readonly AgentRequest[] = [
  { type: 'hello', protocolVersion: PROTOCOL_VERSION, grid: 'orders', holder: 'h' },
  { type: 'claim', id: 1, operation: 'one', purpose: 'restore', leaseMs: 1000 },
  { type: 'member', member: 'a', command: { type: 'freeze', token, leaseMs: 1000 } },
  { type: 'member', member: 'a', command: { type: 'abort', token: null } },
  {
    type: 'restore',
    id: 2,
    member: 'a',
    step: {
      type: 'stage',
      restoreId: 'r',
      grid: 'orders',
      checkpoint: 'c',
      source: { member: 'a', digest: 'd' },
      own: null,
      follow: null,
    },
  },
  { type: 'dropLocal', id: 3, checkpoints: ['a', 'b'] },
  { type: 'applyDocument', id: 4, document: '{"kind":"Backup"}', backup: '' },
  { type: 'deleteDocument', id: 5, kind: 'Backup', name: 'my-backup' },
];
const RESPONSES: readonly AgentResponse[] = [
  { type: 'welcome', protocolVersion: PROTOCOL_VERSION, agentVersion: '0', host: 'alpha', grid: 'orders' },
  {
    type: 'described',
    id: 1,
    host: describedHost('alpha', [
      describedMember('aa', { realm: realm(), quorum: { running: 1, configured: 1 } }),
    ]),
    repositoryId: 'r',
  },
  {
    type: 'memberAnswer',
    member: 'a',
    answer: {
      type: 'marked',
      token,
      incarnation: 'i',
      mark: { journalFile: 'j', position: 'p', name: 'n' },
      fenceMs: 1,
      markMs: 2,
    },
  },
  {
    type: 'memberAnswer',
    member: 'a',
    answer: { type: 'collected', token, manifestDigest: 'd', sizeBytes: 2 ** 40, storedBytes: 7 },
  },
  {
    type: 'progress',
    progress: { member: 'a', phase: 'stage', bytesDone: 1, bytesTotal: 2 ** 50, waitsFor: 'w' },
  },
  { type: 'failed', id: 4, failure },
  {
    type: 'restored',
    id: 5,
    result: {
      type: 'verified',
      checks: ['x'],
      warnings: [],
      prepared: [
        { gid: 'g', database: 'd', committed: true, cause: '', byHand: { commit: 'c', rollback: 'r' } },
      ],
      answers: [{ name: 'n', text: '1', error: '', durationMs: 2.5 }],
      addresses: [{ database: 'd', kind: 'k', name: 'n', from: 'a:1', to: 'b:1', state: 'changed', why: '' }],
    },
  },
];

/** What gRPC does with the bytes: their parser's errors end the call there. */
function parsed<T>(decode: (bytes: Buffer) => T, bytes: Buffer): T | null {
  try {
    return decode(bytes);
  } catch {
    return null;
  }
}

function eachNumber(value: unknown, check: (number: number) => void): void {
  if (typeof value === 'number') check(value);
  else if (typeof value === 'object' && value !== null)
    for (const one of Object.values(value)) eachNumber(one, check);
}

describe('a message from outside', () => {
  it('is a request that an agent can work with, or is refused', async () => {
    const valid = fc
      .constantFrom(...REQUESTS)
      .map((one) => CoordinatorMessage.encode(encodeRequest(one)).finish());
    let read = 0;
    await fuzz(fc.oneof(anyBytes, hurt(valid), hurt(valid)), 3000, async (bytes) => {
      const message = parsed((all) => CoordinatorMessage.decode(all), bytes);
      if (message === null) return;
      const request = await accepted(() => {
        const decoded = decodeRequest(message);
        checkRequest(decoded);
        return decoded;
      });
      if (request === null) return;
      read += 1;
      if (request.type === 'claim') {
        expect(request.operation).to.match(/^[A-Za-z0-9][A-Za-z0-9._-]*$/);
        expect(request.leaseMs).to.be.greaterThan(0);
      }
      eachNumber(request, (number) => expect(Number.isFinite(number) && number >= 0).to.equal(true));
      expect(decodeRequest(encodeRequest(request))).to.deep.equal(request);
    });
    expect(read, 'some were accepted').to.be.greaterThan(100);
  });

  it('is an answer that a coordinator can work with, or is refused', async () => {
    const valid = fc
      .constantFrom(...RESPONSES)
      .map((one) => AgentMessage.encode(encodeResponse(one)).finish());
    let read = 0;
    await fuzz(fc.oneof(anyBytes, hurt(valid), hurt(valid)), 3000, async (bytes) => {
      const message = parsed((all) => AgentMessage.decode(all), bytes);
      if (message === null) return;
      const response = await accepted(() => decodeResponse(message));
      if (response === null) return;
      read += 1;
      eachNumber(response, (number) => expect(Number.isFinite(number) && number >= 0).to.equal(true));
      expect(decodeResponse(encodeResponse(response))).to.deep.equal(response);
    });
    expect(read, 'some were accepted').to.be.greaterThan(100);
  });

  it('has no number that is not one, and none that is not exact', () => {
    const marked = encodeResponse(RESPONSES[2] as AgentResponse);
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, -1]) {
      const answer = structuredClone(marked) as unknown as {
        message: { value: { answer: { value: { fenceMs: number } } } };
      };
      answer.message.value.answer.value.fenceMs = bad;
      expect(() => decodeResponse(answer as unknown as AgentMessage)).to.throw(StillpointError, 'fence is');
    }
    const collected = structuredClone(encodeResponse(RESPONSES[3] as AgentResponse)) as unknown as {
      message: { value: { answer: { value: { sizeBytes: bigint } } } };
    };
    collected.message.value.answer.value.sizeBytes = 2n ** 53n;
    expect(() => decodeResponse(collected as unknown as AgentMessage)).to.throw(
      StillpointError,
      'a number that is too large',
    );
  });

  it('of a process that takes part by itself keeps the contract, or is none', async () => {
    const description = participant.DescribeResponse.encode(
      participant.DescribeResponse.fromPartial({
        contractVersion: 1,
        grid: 'orders',
        name: 'a',
        role: participant.Role.ROLE_NODE,
        incarnation: 'i',
        dataDirectory: '/srv/a',
        journalDirectory: 'journal',
        sizeBytes: 7n,
        held: {},
      }),
    ).finish();
    const codecs = [
      (bytes: Buffer) => toDescription(participant.DescribeResponse.decode(bytes)),
      (bytes: Buffer) => toCut(participant.SwitchJournalResponse.decode(bytes)),
      (bytes: Buffer) => toQuiescence(participant.QuiesceResponse.decode(bytes)),
      (bytes: Buffer) => toBackup(participant.BackUpDatabaseResponse.decode(bytes)),
      (bytes: Buffer) => toKeeperState(participant.SaveKeeperStateResponse.decode(bytes)),
    ] as const;
    const cut = participant.SwitchJournalResponse.encode({
      incarnation: 'i',
      journalFile: '7.journal',
      length: 9n,
      content: { count: 3n, digest: Buffer.alloc(32, 1) },
    }).finish();
    const backup = participant.BackUpDatabaseResponse.encode(
      participant.BackUpDatabaseResponse.fromPartial({ file: 'backups/x', definition: Buffer.from('d') }),
    ).finish();
    let read = 0;
    await fuzz(fc.oneof(anyBytes, hurt(fc.constantFrom(description, cut, backup))), 2000, (bytes) => {
      for (const decode of codecs) {
        let answer: object;
        try {
          answer = decode(bytes);
        } catch (error) {
          // Of the parser, which gRPC catches, or ours: nothing that a wrong assumption of ours would throw.
          expect(error).not.to.be.instanceOf(TypeError);
          if (!(error instanceof BadAnswer)) expect(error).to.be.instanceOf(Error);
          continue;
        }
        read += 1;
        if ('journalFile' in answer)
          expect(answer.journalFile)
            .to.match(/^[^/\0\n]+$/)
            .and.not.equal('..');
        if ('file' in answer) expect(answer.file).to.match(/^backups\/[^/\0\n]+$/);
        if ('dataDirectory' in answer && 'journalDirectory' in answer) {
          expect(isAbsolute(String(answer.dataDirectory))).to.equal(true);
          expect(join('/srv/a/live', String(answer.journalDirectory)).startsWith('/srv/a/live')).to.equal(
            true,
          );
        }
      }
    });
    expect(read, 'some were accepted').to.be.greaterThan(0);
  });
});

describe('a stream from outside', () => {
  const HOST = '127.0.18.77';
  const folder = temporaryFolder('fuzz');
  const pki = join(folder.path, 'pki');
  const tls = (name: string): { ca: string; cert: string; key: string } => ({
    ca: join(pki, 'ca.pem'),
    cert: join(pki, `${name}.pem`),
    key: join(pki, `${name}-key.pem`),
  });

  before(async () => {
    await initializePki(pki, { grid: 'orders' });
    await issueAgentCertificates(pki, [HOST]);
  });

  after(() => folder.remove());

  /** A coordinator that sends whatever bytes it likes; resolves with how its call ended. */
  function rawCall(port: number, frames: readonly Buffer[]): Promise<grpc.StatusObject> {
    const [ca, key, cert] = [tls('coordinator').ca, tls('coordinator').key, tls('coordinator').cert].map(
      (path) => readFileSync(path),
    );
    if (ca === undefined) throw new Error('a CA');
    const credentials = grpc.credentials.createSsl(ca, key, cert, { checkServerIdentity: () => undefined });
    const client = new grpc.Client(`${HOST}:${port}`, credentials, {
      'grpc.ssl_target_name_override': 'stillpoint-agent',
    });
    const plain = (bytes: Buffer): Buffer => bytes;
    const call = client.makeBidiStreamRequest<Buffer, Buffer>(
      '/stillpoint.agent.v1.AgentService/Operate',
      plain,
      plain,
      new grpc.Metadata(),
      { deadline: Date.now() + 15_000 },
    );
    call.on('error', () => undefined);
    call.on('data', () => undefined);
    return new Promise((resolve) => {
      call.on('status', (status) => {
        client.close();
        resolve(status);
      });
      for (const frame of frames) call.write(frame);
      call.end();
    });
  }

  it('ends for an agent, whatever it says, and the agent goes on to serve', async () => {
    const heard: AgentRequest[] = [];
    const ends: string[] = [];
    const server = await serveAgents({
      listen: `${HOST}:0`,
      tls: tls(HOST),
      onStream: (stream) =>
        void (async () => {
          try {
            for await (const request of stream.requests) heard.push(request);
            ends.push('ended');
          } catch (error) {
            ends.push(error instanceof StillpointError ? error.failure.code : 'broken');
          }
          stream.close();
        })(),
    });
    const hello = CoordinatorMessage.encode(encodeRequest(REQUESTS[0] as AgentRequest)).finish();
    const frames = fc.array(fc.oneof(anyBytes, hurt(fc.constant(hello))), { maxLength: 3 });
    await fuzz(frames, 40, async (sent) => {
      const status = await rawCall(server.port, sent);
      expect(status.code, 'the deadline was not what ended it').not.to.equal(grpc.status.DEADLINE_EXCEEDED);
    });
    const large = await rawCall(server.port, [
      Buffer.alloc(Number(CHANNEL_OPTIONS['grpc.max_receive_message_length']) + 1),
    ]);
    expect(large.code).to.equal(grpc.status.RESOURCE_EXHAUSTED);
    heard.length = 0;
    await rawCall(server.port, [Buffer.from(hello)]);
    expect(heard).to.deep.equal([REQUESTS[0]]);
    await server.close();
  });

  it('is given up by a coordinator that does not understand it: nobody waits for an answer', async () => {
    const server = await serveAgents({
      listen: `${HOST}:0`,
      tls: tls(HOST),
      onStream: (stream) =>
        void (async () => {
          for await (const request of stream.requests) {
            if (request.type === 'hello') stream.send(RESPONSES[0] as AgentResponse);
            // A phase that no version has.
            else
              stream.send({ type: 'failed', id: 1, failure: { ...failure, phase: 'nonsense' as 'stage' } });
          }
        })().catch(() => undefined),
    });
    const gridFile = {
      grid: 'orders',
      agents: [`${HOST}:${server.port}`],
      repository: folder.path,
      tls: tls('coordinator'),
      leaseSeconds: 10,
    };
    const connection = await AgentConnection.open(gridFile, `${HOST}:${server.port}`, 5000);
    const error: unknown = await connection.describe().catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(StillpointError).with.nested.property('failure.code', 'bad-message');
    expect(connection.isClosed).to.equal(true);
    await server.close();
  });
});

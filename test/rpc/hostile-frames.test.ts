import * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import { join } from 'node:path';
import type { AgentRequest } from '../../shared/domain/wire.ts';
import { connectAgent } from '../../shared/rpc/agent-client.ts';
import {
  MAX_STREAMS,
  serveAgents,
  type AgentServer,
  type ServerStream,
} from '../../shared/rpc/agent-server.ts';
import { CoordinatorMessage } from '../../shared/rpc/generated/agent.ts';
import { initializePki, issueAgentCertificates } from '../../shared/rpc/pki.ts';
import { encodeRequest } from '../../shared/rpc/request-codec.ts';
import type { TlsFiles } from '../../shared/rpc/tls-files.ts';
import { until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { openRaw, type RawCoordinator } from './raw-coordinator.ts';

// Goal: what one stream sends, or does not read, costs the agent a bounded amount, ends with a reason, and
// does not keep the next coordinator waiting. Method: real TLS and HTTP/2, frames written by hand.

const HOST = '127.0.19.2';
const MEGABYTE = 1024 * 1024;

describe('a coordinator that sends what it likes', () => {
  const folder = temporaryFolder('hostile-frames');
  const raws: RawCoordinator[] = [];
  let server: AgentServer;
  const streams: ServerStream[] = [];
  const heard: AgentRequest[] = [];

  before(async () => {
    await initializePki(folder.path);
    await issueAgentCertificates(folder.path, [HOST]);
    server = await serveAgents({
      listen: `${HOST}:0`,
      tls: files(HOST),
      onStream: (stream) => {
        streams.push(stream);
        void answerAll(stream);
      },
    });
  });

  afterEach(async () => {
    for (const raw of raws) raw.close();
    raws.length = 0;
    await until('all streams to be gone', () => streams.every(({ closed }) => closed.aborted));
    streams.length = 0;
    heard.length = 0;
  });

  after(async () => {
    await server.close();
    folder.remove();
  });

  function files(name: string): TlsFiles {
    const at = (file: string): string => join(folder.path, file);
    return { ca: at('ca.pem'), cert: at(`${name}.pem`), key: at(`${name}-key.pem`) };
  }

  function open(options: { compress?: boolean } = {}): RawCoordinator {
    const raw = openRaw({ address: `${HOST}:${server.port}`, tls: files('coordinator'), ...options });
    raws.push(raw);
    return raw;
  }

  /** Says done to everything, with an answer as long as the request of it asks for. */
  async function answerAll(stream: ServerStream): Promise<void> {
    try {
      for await (const request of stream.requests) {
        heard.push(request);
        if (request.type === 'readLocal') {
          const gridManifest = 'x'.repeat(Number(request.checkpoint));
          stream.send({ type: 'localCheckpoint', id: request.id, gridManifest, metadataDigest: '' });
        } else if ('id' in request) stream.send({ type: 'done', id: request.id });
      }
    } catch {
      // What is told of it is what the tests look at.
    }
  }

  /** The next coordinator is served. */
  async function expectServed(): Promise<void> {
    const other = open();
    other.send({ type: 'describe', id: 77 });
    await other.answer('done', (answer) => answer.type === 'done' && answer.id === 77);
  }

  it('ends with the reason when a message is not understood, and nothing after it is heard', async () => {
    const raw = open();
    raw.send({ type: 'describe', id: 1 });
    raw.sendBytes(CoordinatorMessage.encode({ message: undefined }).finish());
    raw.send({ type: 'describe', id: 2 });
    expect(await raw.ended()).to.include({ code: grpc.status.INVALID_ARGUMENT });
    expect(raw.status()?.details).to.include('message is missing');
    expect(heard).to.deep.equal([{ type: 'describe', id: 1 }]);
    const bytes = open();
    bytes.sendBytes(Buffer.from('ffffffffffffffff', 'hex'));
    expect((await bytes.ended()).code).to.not.equal(grpc.status.OK);
    await expectServed();
  });

  it('is told by our own command as what it is', async () => {
    const stream = await connectAgent({
      address: `${HOST}:${server.port}`,
      tls: files('coordinator'),
      timeoutMs: 5000,
    });
    stream.send({ type: 'claim', id: 1, operation: 'x', purpose: 'checkpoint', leaseMs: -1 });
    expect(await stream.closed).to.include({ code: 'bad-message', host: HOST });
  });

  it('has no message of more than 4 MB taken, packed or not', async () => {
    const huge = CoordinatorMessage.encode(
      encodeRequest({ type: 'settle', id: 1, checkpoint: 'x'.repeat(5 * MEGABYTE) }),
    ).finish();
    for (const compress of [false, true]) {
      const raw = open({ compress });
      raw.sendBytes(huge);
      expect(await raw.ended(), `packed: ${compress}`).to.include({ code: grpc.status.RESOURCE_EXHAUSTED });
    }
    expect(heard).to.deep.equal([]);
    await expectServed();
  });

  it('is cut off when it asks and asks and does not read, before that costs much', async () => {
    const raw = open();
    raw.send({ type: 'describe', id: 0 });
    await raw.answer('done', ({ type }) => type === 'done');
    const before = process.memoryUsage().rss;
    raw.stopReading();
    for (let id = 1; id <= 100 && streams[0]?.closed.aborted !== true; id += 1)
      raw.send({ type: 'readLocal', id, checkpoint: String(MEGABYTE) });
    await until('the agent to cut it off', () => streams[0]?.closed.aborted === true);
    // 16 MB may wait to be sent. The same process is the other end too, and garbage is not counted closely.
    expect(process.memoryUsage().rss - before).to.be.lessThan(200 * MEGABYTE);
    expect(heard.length).to.be.lessThan(60);
    await expectServed();
  });

  it('may flood: another coordinator is answered meanwhile', async () => {
    const raw = open();
    let flooding = true;
    const flood = (async () => {
      for (let id = 1; flooding; id += 1) {
        raw.send({ type: 'rehearse', id });
        // As many at once as make a flood, and no more than it takes to end one.
        if (id % 100 === 0) await until('answers', () => raw.answers.length > id - 500);
      }
    })();
    await until('the flood', () => heard.length > 1000);
    await expectServed();
    flooding = false;
    await flood;
    expect(raw.status()).to.equal(null);
  });

  it(`has ${MAX_STREAMS} streams at most, and gets one again when another ends`, async () => {
    for (let count = 1; count <= MAX_STREAMS; count += 1) open();
    await until('all of them', () => streams.length === MAX_STREAMS);
    const late = open();
    expect(await late.ended()).to.include({ code: grpc.status.RESOURCE_EXHAUSTED });
    const command = connectAgent({
      address: `${HOST}:${server.port}`,
      tls: files('coordinator'),
      timeoutMs: 5000,
    });
    expect(await (await command).closed).to.include({ code: 'connection-limit', host: HOST });
    expect(streams.length).to.equal(MAX_STREAMS);
    raws[0]?.close();
    await until('a place', () => streams.some(({ closed }) => closed.aborted));
    await expectServed();
  });
});

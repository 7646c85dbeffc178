import { expect } from 'chai';
import * as grpc from '@grpc/grpc-js';
import { mkdirSync, readlinkSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createServer, connect as connectSocket, type Server, type Socket } from 'node:net';
import type { StillpointError } from '../../shared/domain/errors.ts';
import { connectAgent, type ClientStream } from '../../shared/rpc/agent-client.ts';
import { serveAgents, type AgentServer, type ServerStream } from '../../shared/rpc/agent-server.ts';
import { initializePki, issueAgentCertificates } from '../../shared/rpc/pki.ts';
import { checkPrivateKeyFile, type TlsFiles } from '../../shared/rpc/tls-files.ts';
import { until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { openRaw } from './raw-coordinator.ts';

// Goal: only a coordinator of the grid's own CA is heard, and only the agent of the host is believed.

const HOST = '127.0.17.1';

describe('the wire between coordinator and agent', () => {
  const folder = temporaryFolder('pki');
  const ours = join(folder.path, 'ours');
  const theirs = join(folder.path, 'theirs');
  let server: AgentServer;
  let refusal: string | null = null;
  const streams: ServerStream[] = [];

  before(async () => {
    await initializePki(ours, { grid: 'orders' });
    await initializePki(theirs);
    await issueAgentCertificates(ours, [HOST, '127.0.17.2']);
    server = await serveAgents({
      listen: `${HOST}:0`,
      tls: files(ours, HOST),
      refusal: () => refusal,
      onStream: (stream) => {
        streams.push(stream);
        void answerAll(stream);
      },
    });
  });

  after(async () => {
    await server.close();
    folder.remove();
  });

  function files(directory: string, name: string): TlsFiles {
    return {
      ca: join(directory, 'ca.pem'),
      cert: join(directory, `${name}.pem`),
      key: join(directory, `${name}-key.pem`),
    };
  }

  function connectWith(tls: TlsFiles, address = `${HOST}:${server.port}`): Promise<ClientStream> {
    return connectAgent({ address, tls, timeoutMs: 3000 });
  }

  async function refusalOf(connecting: Promise<unknown>): Promise<string> {
    try {
      await connecting;
    } catch (error) {
      return (error as StillpointError).failure.code;
    }
    return 'accepted';
  }

  it('carries requests and answers for a coordinator of the CA, and tells the agent who it is', async () => {
    const stream = await connectWith(files(ours, 'coordinator'));
    stream.send({ type: 'describe', id: 7 });
    const answer = await stream.responses[Symbol.asyncIterator]().next();
    expect(answer.value).to.deep.equal({ type: 'done', id: 7 });
    expect(streams.at(-1)?.peer).to.deep.equal({ name: 'coordinator', role: 'coordinator', grid: 'orders' });
    stream.close();
    await until('the agent to see the end', () => streams.at(-1)?.closed.aborted === true);
  });

  it('refuses a new stream with UNAVAILABLE and the reason when nobody new is served, and goes on with those that are', async () => {
    const earlier = await connectWith(files(ours, 'coordinator'));
    earlier.send({ type: 'describe', id: 1 });
    const answers = earlier.responses[Symbol.asyncIterator]();
    await answers.next();
    const served = streams.length;
    refusal = 'the agent is ending, and serves nobody new';
    try {
      const raw = openRaw({ address: `${HOST}:${server.port}`, tls: files(ours, 'coordinator') });
      expect(await raw.ended()).to.include({ code: grpc.status.UNAVAILABLE, details: refusal });
      const late = await connectWith(files(ours, 'coordinator'));
      const failure = await late.closed;
      earlier.send({ type: 'describe', id: 2 });

      expect(failure).to.include({ code: 'agent-lost', host: HOST });
      expect(failure?.message).to.include(refusal);
      expect(streams.length).to.equal(served);
      expect((await answers.next()).value).to.deep.equal({ type: 'done', id: 2 });
    } finally {
      refusal = null;
      earlier.close();
    }
  });

  it('refuses a coordinator of another CA, and an agent of another CA', async () => {
    const foreignCoordinator = { ...files(theirs, 'coordinator'), ca: join(ours, 'ca.pem') };
    expect(await refusalOf(connectWith(foreignCoordinator))).to.equal('coordinator-certificate');
    const foreignAgent = { ...files(ours, 'coordinator'), ca: join(theirs, 'ca.pem') };
    expect(await refusalOf(connectWith(foreignAgent))).to.equal('agent-certificate');
  });

  it("refuses an agent's certificate in the place of a coordinator's, before any request is looked at", async () => {
    const seen = streams.length;
    const stream = await connectWith(files(ours, '127.0.17.2'));
    stream.send({ type: 'describe', id: 1 });
    expect(await stream.closed).to.include({ code: 'coordinator-certificate' });
    expect(streams.length).to.equal(seen);
  });

  it('refuses an agent whose certificate does not name the host', async () => {
    const wrong = await serveAgents({
      listen: '127.0.17.3:0',
      tls: files(ours, '127.0.17.2'),
      onStream: () => undefined,
    });
    expect(await refusalOf(connectWith(files(ours, 'coordinator'), `127.0.17.3:${wrong.port}`))).to.equal(
      'agent-certificate',
    );
    await wrong.close();
  });

  it('says that nobody listens', async () => {
    expect(await refusalOf(connectWith(files(ours, 'coordinator'), '127.0.17.4:9'))).to.equal(
      'agent-unreachable',
    );
  });

  it('notices on both sides within seconds that a connection was cut without a word', async () => {
    const proxy = await deafProxy(server.port);
    const stream = await connectWith(files(ours, 'coordinator'), `${HOST}:${proxy.port}`);
    stream.send({ type: 'describe', id: 2 });
    await stream.responses[Symbol.asyncIterator]().next();
    const seen = streams.at(-1);
    proxy.becomeDeaf();
    expect(await stream.closed).to.include({ code: 'agent-lost' });
    await until('the agent to notice', () => seen?.closed.aborted === true, 10_000);
    proxy.close();
  });

  it('keeps private keys to their owner, and refuses one that others may read', async () => {
    expect(statSync(join(ours, 'ca-key.pem')).mode & 0o777).to.equal(0o600);
    expect(statSync(join(ours, `${HOST}-key.pem`)).mode & 0o777).to.equal(0o600);
    expect(await refusalOf(checkPrivateKeyFile(join(ours, 'ca.pem')))).to.equal('key-readable');
  });

  it('takes a key that cannot be looked at for no absent one', async () => {
    const directory = join(folder.path, 'looped');
    mkdirSync(directory);
    const key = join(directory, 'ca-key.pem');
    symlinkSync('ca-key.pem', key);
    const failed = await initializePki(directory).then(
      () => null,
      (error: unknown) => error as NodeJS.ErrnoException,
    );

    expect(failed?.code).to.equal('ELOOP');
    expect(readlinkSync(key)).to.equal('ca-key.pem');
  });

  it('never replaces a CA, and a certificate only by force', async () => {
    expect(await refusalOf(initializePki(ours))).to.equal('pki-exists');
    expect(await refusalOf(issueAgentCertificates(ours, [HOST]))).to.equal('pki-exists');
    expect(await refusalOf(issueAgentCertificates(ours, ['127.0.17.2'], { force: true }))).to.equal(
      'accepted',
    );
    expect(await refusalOf(issueAgentCertificates(ours, ['../escape']))).to.equal('bad-host');
  });
});

async function answerAll(stream: ServerStream): Promise<void> {
  try {
    for await (const request of stream.requests)
      if ('id' in request) stream.send({ type: 'done', id: request.id });
  } catch {
    // The stream broke: what the tests look at is `closed`.
  }
}

/** Passes bytes on until it is told to swallow them, with both connections open. */
async function deafProxy(port: number): Promise<{ port: number; becomeDeaf(): void; close(): void }> {
  let deaf = false;
  const sockets: Socket[] = [];
  const proxy: Server = createServer((client) => {
    const target = connectSocket(port, HOST);
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      from.on('data', (bytes) => {
        if (!deaf) to.write(bytes);
      });
      from.on('error', () => undefined);
    }
    sockets.push(client, target);
  });
  await new Promise<void>((resolve) => proxy.listen(0, HOST, resolve));
  const address = proxy.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    becomeDeaf: () => {
      deaf = true;
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      proxy.close();
    },
  };
}

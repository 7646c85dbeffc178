import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import { connectAgent } from '../../shared/rpc/agent-client.ts';
import type { RefusedPeer } from '../../shared/rpc/agent-listener.ts';
import { serveAgents, type AgentServer, type ServerStream } from '../../shared/rpc/agent-server.ts';
import { initializePki, issueAgentCertificates } from '../../shared/rpc/pki.ts';
import type { TlsFiles } from '../../shared/rpc/tls-files.ts';
import { until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { makeOddCertificate, type OddCertificate } from './odd-certificates.ts';

// Goal: whoever shows a certificate that is not right is turned away before anything of its is heard, knows
// why, and leaves one line at the agent. Method: real TLS, certificates that the own tool would never issue.

const HOST = '127.0.19.1';

describe('a peer with the wrong certificate', () => {
  const folder = temporaryFolder('hostile-pki');
  const ours = join(folder.path, 'ours');
  const theirs = join(folder.path, 'theirs');
  let server: AgentServer;
  const streams: ServerStream[] = [];
  const refused: RefusedPeer[] = [];

  before(async () => {
    await initializePki(ours);
    await initializePki(theirs);
    await issueAgentCertificates(ours, [HOST]);
    server = await serve(files(ours, HOST));
  });

  beforeEach(() => {
    streams.length = 0;
    refused.length = 0;
  });

  after(async () => {
    await server.close();
    folder.remove();
  });

  function files(directory: string, name: string): TlsFiles {
    const at = (file: string): string => join(directory, file);
    return { ca: at('ca.pem'), cert: at(`${name}.pem`), key: at(`${name}-key.pem`) };
  }

  function serve(tls: TlsFiles): Promise<AgentServer> {
    return serveAgents({
      listen: `${HOST}:0`,
      tls,
      onStream: (stream) => streams.push(stream),
      onRefused: (peer) => refused.push(peer),
    });
  }

  /** Why no stream to the agent came about, or why it ended. */
  async function refusalOf(tls: TlsFiles, port = server.port): Promise<Failure> {
    try {
      const stream = await connectAgent({ address: `${HOST}:${port}`, tls, timeoutMs: 5000 });
      stream.send({ type: 'describe', id: 1 });
      const failure = await stream.closed;
      if (failure !== null) return failure;
    } catch (error) {
      if (!(error instanceof StillpointError)) throw error;
      expect(error.exitCode).to.be.oneOf([2, 3]);
      return error.failure;
    }
    throw new Error('it was let through');
  }

  const coordinators: readonly (readonly [string, () => OddCertificate, RegExp, RegExp])[] = [
    [
      'expired',
      () => ({ authority: ours, role: 'coordinator', validFromDays: -2, validToDays: -1 }),
      /it expired at/,
      /CERT_HAS_EXPIRED/,
    ],
    [
      'not valid yet',
      () => ({ authority: ours, role: 'coordinator', validFromDays: 1, validToDays: 2 }),
      /not valid before/,
      /CERT_NOT_YET_VALID/,
    ],
    [
      'signed by itself',
      () => ({ authority: null, role: 'coordinator' }),
      /does not accept our certificate/,
      /SELF_SIGNED/,
    ],
    [
      'of another CA',
      () => ({ authority: theirs, role: 'coordinator' }),
      /does not accept our certificate/,
      /UNABLE_TO_|SIGNATURE/,
    ],
    ['of no role', () => ({ authority: ours, role: null }), /role of a coordinator/, /role of a coordinator/],
    ['of an unknown role', () => ({ authority: ours, role: 'operator' }), /role of a coordinator/, /role/],
    [
      'of an agent',
      () => ({ authority: ours, role: 'agent', hosts: [HOST] }),
      /role of a coordinator/,
      /role/,
    ],
  ];

  for (const [what, certificate, told, logged] of coordinators) {
    it(`is not heard as a coordinator: ${what}`, async () => {
      const tls = await makeOddCertificate(folder.path, what.replaceAll(' ', '-'), ours, certificate());
      const failure = await refusalOf(tls);
      expect(failure).to.include({ code: 'coordinator-certificate', host: HOST });
      expect(failure.message).to.match(told);
      expect(failure.hint).to.include('coordinator certificate');
      expect(refused.map(({ cause }) => cause).join('\n')).to.match(logged);
      expect(refused.length).to.equal(1);
      expect(streams).to.deep.equal([]);
    });
  }

  const agents: readonly (readonly [string, () => OddCertificate, RegExp])[] = [
    [
      'expired',
      () => ({ authority: ours, role: 'agent', hosts: [HOST], validFromDays: -2, validToDays: -1 }),
      /expired/,
    ],
    [
      'not valid yet',
      () => ({ authority: ours, role: 'agent', hosts: [HOST], validFromDays: 1, validToDays: 2 }),
      /not yet valid/,
    ],
    ['signed by itself', () => ({ authority: null, role: 'agent', hosts: [HOST] }), /self-signed/],
    ['of another CA', () => ({ authority: theirs, role: 'agent', hosts: [HOST] }), /not accepted/],
    ['of no role', () => ({ authority: ours, role: null, hosts: [HOST] }), /not that of an agent/],
    ['of a coordinator', () => ({ authority: ours, role: 'coordinator', hosts: [HOST] }), /not that of an/],
    [
      'for another host',
      () => ({ authority: ours, role: 'agent', hosts: ['127.0.19.2', 'beta.example'] }),
      /does not name 127\.0\.19\.1/,
    ],
  ];

  for (const [what, certificate, told] of agents) {
    it(`is not believed as an agent: ${what}`, async () => {
      const tls = await makeOddCertificate(
        folder.path,
        `agent-${what.replaceAll(' ', '-')}`,
        ours,
        certificate(),
      );
      const wrong = await serve(tls);
      const failure = await refusalOf(files(ours, 'coordinator'), wrong.port);
      expect(failure).to.include({ code: 'agent-certificate', host: HOST });
      expect(failure.message).to.match(told);
      expect(failure.hint).to.include(`pki issue DIR ${HOST}`);
      expect(streams).to.deep.equal([]);
      await wrong.close();
    });
  }

  it('is told on its own side that a private key is not the certificate’s, and what is no certificate', async () => {
    const ourCoordinator = files(ours, 'coordinator');
    const mixed = { ...ourCoordinator, key: files(ours, HOST).key };
    expect(await refusalOf(mixed)).to.include({ code: 'key-differs' });
    expect((await refusalOf(mixed)).message)
      .to.include('coordinator.pem')
      .and.to.include(`${HOST}-key.pem`);
    const noise = join(folder.path, 'noise.pem');
    writeFileSync(noise, '-----BEGIN CERTIFICATE-----\nnoise\n-----END CERTIFICATE-----\n');
    for (const key of ['ca', 'cert', 'key'] as const) {
      const failure = await refusalOf({ ...ourCoordinator, [key]: noise });
      expect(failure, key).to.include({ code: 'certificate-unreadable' });
    }
    expect((await serve(mixed).catch((error: StillpointError) => error.failure)) as Failure).to.include({
      code: 'key-differs',
    });
    expect([...streams, ...refused]).to.deep.equal([]);
  });

  /** Says something to the agent's port; resolves when the agent has closed the connection. */
  function knock(say: () => ReturnType<typeof connectPlain>): Promise<void> {
    return new Promise((resolve) => {
      const socket = say();
      socket.on('error', () => undefined);
      socket.once('close', () => resolve());
    });
  }

  it('has no connection without TLS, with an old one, or without any certificate; each leaves one line', async () => {
    const at = { host: HOST, port: server.port };
    const expectLine = async (what: string, cause: RegExp): Promise<void> => {
      await until(`the line of ${what}`, () => refused.length > 0);
      expect(refused.map((one) => one.cause).join('\n'), what).to.match(cause);
      expect(refused.length, what).to.equal(1);
      refused.length = 0;
    };
    await knock(() => {
      const plain = connectPlain(at, () => plain.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'));
      return plain;
    });
    await expectLine('plain HTTP/2', /no TLS connection/);
    const trusting: ConnectionOptions = {
      ...at,
      ca: readFileSync(join(ours, 'ca.pem')),
      ALPNProtocols: ['h2'],
    };
    const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const;
    const { cert, key } = files(ours, 'coordinator');
    const withOurs = { cert: readFileSync(cert), key: readFileSync(key) };
    await knock(() => connectTls({ ...trusting, ...withOurs, ...old }));
    await expectLine('TLS 1.1', /UNSUPPORTED_PROTOCOL|VERSION/);
    await knock(() => connectTls(trusting));
    await expectLine('no certificate', /certificate/);
    expect(streams).to.deep.equal([]);
    // Who comes with the right one is still served.
    const stream = await connectAgent({
      address: `${HOST}:${server.port}`,
      tls: files(ours, 'coordinator'),
      timeoutMs: 5000,
    });
    await until('the stream', () => streams.length === 1);
    stream.close();
  });
});

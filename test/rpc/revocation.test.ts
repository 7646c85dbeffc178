import { expect } from 'chai';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import { connectAgent, type ClientStream } from '../../shared/rpc/agent-client.ts';
import type { RefusedPeer } from '../../shared/rpc/agent-listener.ts';
import { serveAgents, type AgentServer } from '../../shared/rpc/agent-server.ts';
import {
  initializePki,
  issueAgentCertificates,
  renewCertificates,
  revokeCertificates,
} from '../../shared/rpc/pki.ts';
import { loadTls, type TlsFiles } from '../../shared/rpc/tls-files.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: a stolen key is worth nothing from the moment at which its owner says so, and no agent is restarted for it.
// Method: real TLS on both sides, the agent's files changed under it.

const HOST = '127.0.19.3';

describe('a certificate that is renewed or revoked', () => {
  const folder = temporaryFolder('revocation');
  let pki: string;
  let number = 0;
  let server: AgentServer;
  let refusals: RefusedPeer[] = [];

  beforeEach(async () => {
    pki = join(folder.path, `pki-${(number += 1)}`);
    await initializePki(pki);
    await issueAgentCertificates(pki, [`${HOST},alpha.example`]);
    refusals = [];
    server = await serveAgents({
      listen: `${HOST}:0`,
      tls: files(HOST),
      onStream: () => undefined,
      onRefused: (peer) => void refusals.push(peer),
    });
  });
  afterEach(() => server.close());
  after(() => folder.remove());

  const at = (name: string): string => join(pki, name);
  const files = (name: string): TlsFiles => ({
    ca: at('ca.pem'),
    cert: at(`${name}.pem`),
    key: at(`${name}-key.pem`),
    crl: at('crl.pem'),
  });
  const connect = (tls = files('coordinator')): Promise<ClientStream> =>
    connectAgent({ address: `${HOST}:${server.port}`, tls, timeoutMs: 5000 });

  async function refusal(tls?: TlsFiles): Promise<Failure> {
    try {
      const stream = await connect(tls);
      const failure = await stream.closed;
      if (failure !== null) return failure;
    } catch (error) {
      if (error instanceof StillpointError) return error.failure;
      throw error;
    }
    throw new Error('it was let through');
  }

  /** What a thief has copied. */
  function stolen(name: string): TlsFiles {
    const [cert, key] = ['stolen.pem', 'stolen-key.pem'].map((file) => join(folder.path, file)) as [
      string,
      string,
    ];
    copyFileSync(at(`${name}.pem`), cert);
    copyFileSync(at(`${name}-key.pem`), key);
    return { ...files(name), cert, key };
  }

  it('is turned away by agents when it is the coordinator’s, also where it is connected already', async () => {
    const thief = stolen('coordinator');
    const connected = await connect(thief);
    await revokeCertificates(pki, ['coordinator']);
    await renewCertificates(pki, ['coordinator']);

    expect(await server.reload()).to.equal(true);

    expect(await connected.closed).to.have.property('code', 'agent-lost');
    expect(await refusal(thief)).to.have.property('code', 'coordinator-certificate');
    const stream = await connect();
    expect(stream.expiresAt).to.equal(server.expiry().own);
    stream.close();
  });

  it('is turned away whatever its number begins with', async () => {
    // One in sixteen has a zero there, which lists do not write.
    const serial = (): string => new X509Certificate(readFileSync(at('coordinator.pem'))).serialNumber;
    while (!serial().startsWith('0')) await renewCertificates(pki, ['coordinator']);
    const connected = await connect(stolen('coordinator'));

    await revokeCertificates(pki, ['coordinator']);
    await server.reload();

    expect(await connected.closed).to.have.property('code', 'agent-lost');
  });

  it('is turned away when its handshake began before, and ends after', async () => {
    const thief = stolen('coordinator');
    const wire = await HeldWire.to(HOST, server.port);
    try {
      const { ca, cert, key } = await loadTls(thief);
      const socket = connectTls({
        port: wire.port,
        ca,
        cert,
        key,
        ALPNProtocols: ['h2'],
        checkServerIdentity: () => undefined,
      });
      socket.on('error', () => undefined);
      const ended = once(socket, 'close');
      await wire.answered;

      await revokeCertificates(pki, ['coordinator']);
      await renewCertificates(pki, ['coordinator']);
      await server.reload();
      expect(refusals).to.deep.equal([]);
      wire.release();
      await ended;

      expect(refusals.map(({ cause }) => cause)).to.deep.equal(['its certificate has been revoked']);
    } finally {
      wire.close();
    }
  });

  it('is not believed by coordinators when it is an agent’s, whatever that agent knows', async () => {
    await revokeCertificates(pki, [HOST]);

    expect(await refusal()).to.deep.include({ code: 'agent-certificate', host: HOST });
    const { crl: _, ...unaware } = files('coordinator');
    (await connect(unaware)).close();

    await renewCertificates(pki, [HOST]);
    await server.reload();
    (await connect()).close();
  });

  it('takes with it all that were issued to the name, and nobody else, list after list', async () => {
    const first = stolen(HOST);
    await renewCertificates(pki, []);
    await issueAgentCertificates(pki, ['beta.example']);
    const { revoked } = await revokeCertificates(pki, [HOST]);
    await revokeCertificates(pki, ['beta.example']);

    const serials = [first.cert, at(`${HOST}.pem`)].map((path) =>
      new X509Certificate(readFileSync(path)).serialNumber.toLowerCase(),
    );
    expect(revoked.map(({ serialNumber }) => serialNumber)).to.have.members(serials);
    expect(await refusal()).to.have.property('code', 'agent-certificate');
    const renewed = await renewCertificates(pki, []);
    expect(renewed.map(({ host }) => host)).to.deep.equal(['coordinator']);
  });

  it('has the names and the role of the one before, a later end and another key', async () => {
    const before = new X509Certificate(readFileSync(at(`${HOST}.pem`)));
    await renewCertificates(pki, [HOST]);
    const after = new X509Certificate(readFileSync(at(`${HOST}.pem`)));

    expect(after.subject).to.equal(before.subject);
    expect(after.subjectAltName).to.equal(before.subjectAltName);
    expect(after.publicKey.equals(before.publicKey)).to.equal(false);
    await loadTls(files(HOST));
    const named = await renewCertificates(pki, ['nobody.example']).catch((error: StillpointError) => error);
    expect(named).to.have.nested.property('failure.code', 'certificate-missing');
  });

  it('changes nothing while its files do not fit together, and an empty list is refused', async () => {
    const { own } = server.expiry();
    const key = readFileSync(at(`${HOST}-key.pem`));
    copyFileSync(at('coordinator-key.pem'), at(`${HOST}-key.pem`));
    expect(await server.reload().catch((error: StillpointError) => error.failure.code)).to.equal(
      'key-differs',
    );
    expect(server.expiry().own).to.equal(own);
    (await connect()).close();
    writeFileSync(at(`${HOST}-key.pem`), key);
    expect(await server.reload()).to.equal(false);

    writeFileSync(at('crl.pem'), '');
    expect(await server.reload().catch((error: StillpointError) => error.failure.code)).to.equal(
      'certificate-unreadable',
    );
  });
});

/** A connection on which the client's answer to the server's first words waits. */
class HeldWire {
  readonly port: number;
  readonly answered: Promise<unknown>;
  readonly #near: Promise<Socket>;
  readonly #far: Socket;
  readonly #listener: ReturnType<typeof createServer>;

  private constructor(listener: ReturnType<typeof createServer>, far: Socket) {
    this.#listener = listener;
    this.#far = far;
    this.port = (listener.address() as AddressInfo).port;
    this.answered = once(far, 'data');
    this.#near = once(listener, 'connection').then(([socket]) => {
      const near = socket as Socket;
      // Its first words are the hello: what is behind them waits.
      near.once('data', (hello: Buffer) => {
        near.pause();
        far.write(hello);
      });
      near.on('error', () => undefined);
      far.on('data', (bytes: Buffer) => near.write(bytes));
      far.on('close', () => near.destroy());
      return near;
    });
  }

  static async to(host: string, port: number): Promise<HeldWire> {
    const listener = createServer();
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const far = connectTcp({ host, port });
    far.on('error', () => undefined);
    return new HeldWire(listener, far);
  }

  release(): void {
    void this.#near.then((near) => near.on('data', (bytes: Buffer) => this.#far.write(bytes)).resume());
  }

  close(): void {
    this.#far.destroy();
    this.#listener.close();
  }
}

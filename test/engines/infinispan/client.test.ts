import { expect } from 'chai';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { readChallenges } from '../../../agent/engines/infinispan/server/challenge.ts';
import { InfinispanServer } from '../../../agent/engines/infinispan/server/infinispan-server.ts';
import type { ServerSettings } from '../../../agent/engines/infinispan/server/settings.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: what a server or the network may do to a call ends it with a failure that says so, and tells no secret. Method:
// servers that misbehave, each scripted in a few lines; look.test.ts asks real ones.

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const SECRET = 'correct-horse-battery';
const IGNORED = '["orders"]';

describe('a call to a server of Infinispan', () => {
  const folder = temporaryFolder('client');
  const passwordFile = join(folder.path, 'password');
  const opened: { close(): void }[] = [];

  before(() => writeFileSync(passwordFile, `${SECRET}\n`));
  afterEach(() => {
    for (const one of opened.splice(0)) one.close();
  });
  after(() => folder.remove());

  async function serve(answer: Answer): Promise<Server & { url: string }> {
    const server = createServer(answer);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    opened.push({
      close: () => {
        server.closeAllConnections();
        server.close();
      },
    });
    return Object.assign(server, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  }

  function client(url: string, auth?: ServerSettings['auth']): InfinispanServer {
    const made = new InfinispanServer({ url, container: 'default', auth, tls: undefined });
    opened.push(made);
    return made;
  }

  const digest: ServerSettings['auth'] = { type: 'digest', user: 'admin', passwordFile };

  async function failureOf(call: Promise<unknown>): Promise<StillpointError> {
    const error = await call.then(
      () => expect.fail('it was done'),
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(StillpointError);
    expect(inspect(error, { depth: 10, showHidden: true }), 'no secret in it').to.not.contain(SECRET);
    return error as StillpointError;
  }

  it('answers a challenge once, then counts on in the same nonce, and answers anew when that is stale', async () => {
    const seen: (string | undefined)[] = [];
    let nonce = 'first';
    const server = await serve((request, response) => {
      const { authorization } = request.headers;
      const said = readChallenges(authorization === undefined ? [] : [authorization])[0]?.parameters;
      seen.push(said === undefined ? undefined : `${said.get('nonce')} ${said.get('nc')}`);
      if (said?.get('nonce') === nonce) {
        response.end(IGNORED);
        return;
      }
      const stale = said === undefined ? '' : ', stale=true';
      response
        .writeHead(401, { 'www-authenticate': `Digest realm="r", qop="auth", nonce="${nonce}"${stale}` })
        .end();
    });
    const asked = client(server.url, digest);
    const ask = () => asked.ignored(AbortSignal.timeout(5000));
    expect(await ask()).to.deep.equal(['orders']);
    expect(await ask()).to.deep.equal(['orders']);
    nonce = 'second';
    expect(await ask()).to.deep.equal(['orders']);
    expect(seen).to.deep.equal([
      undefined,
      'first 00000001',
      'first 00000002',
      'first 00000003',
      'second 00000001',
    ]);
  });

  it('is refused after one answer, however often a server asks again', async () => {
    let requests = 0;
    const server = await serve((_, response) => {
      requests += 1;
      response
        .writeHead(401, {
          'www-authenticate': `Digest realm="r", qop="auth", nonce="${requests}", stale=true`,
        })
        .end();
    });
    const { failure } = await failureOf(client(server.url, digest).ignored(AbortSignal.timeout(5000)));
    expect(failure.code).to.equal('infinispan-refused');
    expect(failure.hint).to.contain(passwordFile);
    expect(requests).to.be.at.most(3);
  });

  it('has a nonce for itself in each of many requests at once, for servers want its count to grow', async () => {
    const highest = new Map<string, number>();
    let given = 0;
    const server = await serve((request, response) => {
      const { authorization } = request.headers;
      const said = readChallenges(authorization === undefined ? [] : [authorization])[0]?.parameters;
      const nonce = said?.get('nonce') ?? '';
      const count = Number.parseInt(said?.get('nc') ?? '0', 16);
      if (count > (highest.get(nonce) ?? Infinity)) {
        highest.set(nonce, count);
        // The earlier of two requests is answered later.
        setTimeout(() => response.end(IGNORED), count % 2 === 0 ? 0 : 5);
      } else {
        given += 1;
        highest.set(`n${given}`, 0);
        response
          .writeHead(401, { 'www-authenticate': `Digest realm="r", qop="auth", nonce="n${given}"` })
          .end();
      }
    });
    const asked = client(server.url, digest);
    for (let round = 0; round < 5; round += 1)
      await Promise.all(Array.from({ length: 12 }, () => asked.ignored(AbortSignal.timeout(5000))));
    expect(given, 'one for each that was under way').to.be.at.most(12);
  });

  it('takes a token from its file anew each time, so that an expired one can be renewed', async () => {
    const tokenFile = join(folder.path, 'token');
    const server = await serve((request, response) => {
      const isNew = request.headers.authorization === `Bearer ${SECRET}-new`;
      if (isNew) response.end(IGNORED);
      else response.writeHead(401).end('token expired');
    });
    writeFileSync(tokenFile, `${SECRET}-old\n`);
    const asked = client(server.url, { type: 'token', tokenFile });
    const { failure } = await failureOf(asked.ignored(AbortSignal.timeout(5000)));
    expect(failure).to.include({ code: 'infinispan-refused' });
    expect(failure.message).to.contain('token expired').and.to.contain(tokenFile);
    writeFileSync(tokenFile, `${SECRET}-new\n`);
    expect(await asked.ignored(AbortSignal.timeout(5000))).to.deep.equal(['orders']);
  });

  it('is not begun where the file of the secret is missing, empty, or of more lines', async () => {
    const server = await serve(() => expect.fail('it was asked'));
    const tokenFile = join(folder.path, 'bad-token');
    const asked = client(server.url, { type: 'token', tokenFile });
    for (const content of [null, '\n', `${SECRET}\nX-Header: 1\n`]) {
      if (content !== null) writeFileSync(tokenFile, content);
      const { failure } = await failureOf(asked.ignored(AbortSignal.timeout(5000)));
      expect(failure.code).to.equal('infinispan-secret');
    }
  });

  it('ends when the server is silent, before it answers and within an answer', async () => {
    for (const begin of [false, true]) {
      const server = await serve((_, response) => {
        if (begin) response.write('["or');
      });
      // The signal stands for the bound of ten seconds, which no test waits for.
      const asked = client(server.url).ignored(AbortSignal.timeout(300));
      const error = await asked.then(
        () => expect.fail('it was done'),
        (thrown: unknown) => thrown as Error,
      );
      expect(error.name).to.equal('TimeoutError');
    }
  });

  it('says what was answered that is no answer of such a server', async () => {
    const answers: [Answer, RegExp][] = [
      [(_, response) => void response.end('<html>'), /no JSON/],
      [(_, response) => void response.end('{"a":1}'), /not understood/],
      [(_, response) => void response.writeHead(500).end('ISPN012042: Backup failed'), /500: ISPN012042/],
      [(_, response) => void response.writeHead(502).end('<html>proxy'), /status 502$/],
      [(_, response) => void response.writeHead(302, { location: 'http://other/' }).end(), /status 302$/],
    ];
    for (const [answer, words] of answers) {
      const server = await serve(answer);
      const { failure } = await failureOf(client(server.url, digest).ignored(AbortSignal.timeout(5000)));
      expect(failure.code).to.equal('infinispan-answer');
      expect(failure.message).to.match(words);
    }
  });

  it('is made again where a kept connection had ended, and not where the server breaks off', async () => {
    let requests = 0;
    const sockets = new Set<Socket>();
    const server = await serve((request, response) => {
      requests += 1;
      // The second request comes over the connection of the first, which ends just then.
      if (requests === 2) request.socket.destroy();
      else response.end(IGNORED);
    });
    server.on('connection', (socket) => sockets.add(socket));
    const asked = client(server.url);
    await asked.ignored(AbortSignal.timeout(5000));
    expect(await asked.ignored(AbortSignal.timeout(5000))).to.deep.equal(['orders']);
    expect([requests, sockets.size]).to.deep.equal([3, 2]);

    const breaking = await serve((request) => request.socket.destroy());
    const { failure } = await failureOf(client(breaking.url).ignored(AbortSignal.timeout(5000)));
    expect(failure.code).to.equal('infinispan-unreachable');
  });

  it('sends an archive as it lies there, with what of it is to be restored', async () => {
    const file = join(folder.path, 'sent.zip');
    const bytes = Buffer.alloc(3_000_000, 'zip');
    writeFileSync(file, bytes);
    let body = Buffer.alloc(0);
    let length = '';
    const server = await serve((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        if (request.method === 'GET') response.end('{}');
        else {
          body = Buffer.concat(parts);
          length = request.headers['content-length'] ?? '';
          response.writeHead(202).end();
        }
      });
    });
    await client(server.url).startRestore(
      'r',
      { file },
      { caches: ['a'], tasks: [] },
      AbortSignal.timeout(5000),
    );
    expect(body.byteLength).to.equal(Number(length));
    expect(body.includes(bytes)).to.equal(true);
    expect(body.toString('latin1')).to.contain('name="resources"').and.to.contain('{"caches":["a"]}');
  });
});

import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import * as https from 'node:https';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { Engine } from '../../../agent/engines/engine.ts';
import { prepareInfinispan } from '../../../agent/engines/infinispan/prepare.ts';
import { discoverInfinispan } from '../../../agent/engines/infinispan/discover.ts';
import { closeFence, openFence } from '../../../agent/engines/infinispan/hold/fence.ts';
import { createInfinispanEngine } from '../../../agent/engines/infinispan/infinispan-engine.ts';
import { InfinispanServer } from '../../../agent/engines/infinispan/server/infinispan-server.ts';
import { infinispanMemberSchema } from '../../../agent/engines/infinispan/settings.ts';
import { StillpointError, type Failure } from '../../../shared/domain/errors.ts';
import type { MemberDescription } from '../../../shared/domain/grid.ts';
import { initializePki, issueAgentCertificates } from '../../../shared/rpc/pki.ts';
import { InfinispanCluster, needsInfinispan, type InfinispanNode } from '../../lab/infinispan.ts';
import { ROOT } from '../../lab/processes.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: an agent sees a cluster as it is, says what speaks against a checkpoint, and is known to its servers. Method: two
// real servers with users, roles and TLS, asked through the engine.

const SERVER_NAME = 'grid.example.com';
const provider = generateKeyPairSync('rsa', { modulusLength: 2048 });
const PUBLIC_KEY = String(provider.publicKey.export({ type: 'spki', format: 'pem' }))
  .trim()
  .replaceAll('\n', '&#10;');
const REALM = `<security-realms><security-realm name="default">
  <server-identities><ssl>
    <keystore path="server.pem" password="none"/><truststore path="ca.pem" password="none"/>
  </ssl></server-identities>
  <properties-realm groups-attribute="Roles">
    <user-properties path="users.properties" plain-text="true"/><group-properties path="groups.properties"/>
  </properties-realm>
  <token-realm name="token" auth-server-url="https://127.0.0.1:1/" client-id="stillpoint">
    <jwt issuer="lab" client-ssl-context="default" public-key="${PUBLIC_KEY}"/>
  </token-realm>
</security-realm></security-realms>`;
const CACHES = `<security><authorization/></security><caches>
  <distributed-cache name="orders"><encoding media-type="text/plain"/></distributed-cache>
  <replicated-cache name="rates"><encoding media-type="text/plain"/></replicated-cache>
  <local-cache name="scratch"/>
</caches>`;
const LOOK_MS = 20_000;

/** A token as an identity provider would have signed it. */
function tokenFor(username: string, seconds: number): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + seconds;
  const signed = `${part({ alg: 'RS256', typ: 'JWT' })}.${part({ username, iss: 'lab', exp, Roles: ['admin'], roles: ['admin'], groups: ['admin'] })}`;
  return `${signed}.${sign('RSA-SHA256', Buffer.from(signed), provider.privateKey).toString('base64url')}`;
}

describe('a cluster of two Infinispan servers with users and TLS', () => {
  const folder = temporaryFolder('look');
  const pki = join(folder.path, 'pki');
  const password = join(folder.path, 'password');
  let cluster: InfinispanCluster;

  before(async function () {
    needsInfinispan(this);
    await initializePki(pki);
    const [issued] = await issueAgentCertificates(pki, [`${SERVER_NAME},alpha.example`]);
    if (issued === undefined) throw new Error('no certificate was issued');
    cluster = await InfinispanCluster.start({
      name: 'looked-at',
      container: CACHES,
      security: REALM,
      endpoints:
        '<endpoints><endpoint socket-binding="default" security-realm="default"><hotrod-connector/><rest-connector/><resp-connector/></endpoint></endpoints>',
      files: {
        'server.pem': `${readFileSync(issued.key, 'utf8')}\n${readFileSync(issued.cert, 'utf8')}`,
        'ca.pem': readFileSync(join(pki, 'ca.pem')),
        'users.properties': 'stillpoint=right\nreader=right\n',
        'groups.properties': 'stillpoint=admin\nreader=observer\n',
      },
    });
    writeFileSync(password, 'right\n');
  });

  after(async () => {
    await cluster?.remove();
    folder.remove();
  });

  const node = (index: number): InfinispanNode => {
    const found = cluster.nodes[index];
    if (found === undefined) throw new Error(`no server ${index}`);
    return found;
  };
  const urlOf = ({ hostport }: InfinispanNode): string => `https://${hostport}`;

  function settingsOf(index: number, keys: Readonly<Record<string, unknown>> = {}) {
    const { name, hostport, root } = node(index);
    return infinispanMemberSchema.parse({
      engine: 'infinispan',
      name,
      role: 'node',
      copyset: 'grid',
      address: hostport,
      root,
      url: urlOf(node(index)),
      peers: [urlOf(node(1 - index))],
      auth: { type: 'digest', user: 'stillpoint', passwordFile: password },
      tls: { ca: join(pki, 'ca.pem'), serverName: SERVER_NAME },
      ...keys,
    });
  }

  const engine = (index: number, keys: Readonly<Record<string, unknown>> = {}): Engine =>
    createInfinispanEngine(settingsOf(index, keys));
  const describeOf = (one: Engine): Promise<MemberDescription> => one.describe(AbortSignal.timeout(LOOK_MS));
  const look = (index: number, keys: Readonly<Record<string, unknown>> = {}): Promise<MemberDescription> =>
    describeOf(engine(index, keys));
  const codes = (all: readonly { readonly code: string }[]): string[] => all.map(({ code }) => code);

  async function asked<T>(task: (server: InfinispanServer, signal: AbortSignal) => Promise<T>): Promise<T> {
    const server = new InfinispanServer(settingsOf(0));
    try {
      return await task(server, AbortSignal.timeout(LOOK_MS));
    } finally {
      server.close();
    }
  }

  async function failureOf(task: Promise<unknown>): Promise<Failure> {
    const error = await task.then(
      () => null,
      (thrown: unknown) => thrown,
    );
    if (error instanceof StillpointError) return error.failure;
    throw new Error('it was no failure', { cause: error });
  }

  it('is led by the one that coordinates it, and is one domain with one copy', async () => {
    const [first, second] = await Promise.all([look(0), look(1)]);
    expect([first.problems, second.problems]).to.deep.equal([[], []]);
    expect([first.running, second.running, first.primary, second.primary]).to.deep.equal([
      true,
      true,
      true,
      false,
    ]);
    expect(first.version).to.match(/^16\.0\./);
    expect(first.dataIdentity).to.equal(second.dataIdentity);
    expect(first.incarnation).to.not.equal(second.incarnation);
    expect(first.traits).to.deep.equal(second.traits);
    expect(first.traits).to.include({ domain: 'cluster looked-at', copies: 'one', marksJournalFile: false });
    expect(codes(first.warnings)).to.deep.equal(['infinispan-cache-apart']);
    expect(first.warnings[0]?.text).to.contain('cache scratch');
    expect(codes(second.warnings), 'what is said of the cluster is said once').to.deep.equal([]);
  });

  it('has its clients named before they are refused, and the entries that a copy will have counted [S108]', async () => {
    const agent = new https.Agent({ keepAlive: true });
    await new Promise<void>((resolve, reject) => {
      const request = https.request(`${urlOf(node(1))}/rest/v2/caches/orders/1`, {
        method: 'PUT',
        auth: 'stillpoint:right',
        agent,
        ca: readFileSync(join(pki, 'ca.pem')),
        servername: SERVER_NAME,
        headers: { 'content-type': 'text/plain' },
      });
      request.on('response', (response) => {
        expect(response.statusCode).to.equal(204);
        response.resume().on('end', resolve);
      });
      request.on('error', reject);
      request.end('one');
    });
    const { warnings, sizeBytes } = await look(0);
    agent.destroy();
    expect(sizeBytes).to.be.greaterThan(0);
    const clients = warnings.find(({ code }) => code === 'infinispan-clients');
    expect(clients?.text).to.match(
      /^1 client is connected to cluster looked-at \(HTTP.*refused with 503 for some \d/,
    );
  });

  it('lets the doctor find nothing but connectors that a hold stops', async () => {
    const findings = await engine(0).diagnose(AbortSignal.timeout(LOOK_MS));
    expect(findings.map(({ level, failure }) => `${level} ${failure.code}`)).to.deep.equal([
      'warning infinispan-connectors',
    ]);
    const alone = await engine(0, { peers: [] }).diagnose(AbortSignal.timeout(LOOK_MS));
    expect(alone.map(({ failure }) => failure.code)).to.include('infinispan-peers');
  });

  it('refuses a wrong password, and knows us as soon as the file has the right one', async () => {
    writeFileSync(password, 'wrong\n');
    const one = engine(0);
    const { running, problems } = await describeOf(one);
    expect([running, codes(problems)]).to.deep.equal([true, ['infinispan-refused']]);
    expect(problems[0]?.hint).to.contain(password);
    expect(problems[0]?.message).to.not.contain('wrong');
    writeFileSync(password, 'right\n');
    expect((await describeOf(one)).problems).to.deep.equal([]);
  });

  it('lets a user without the role look at nothing that a checkpoint needs', async () => {
    const reader = { auth: { type: 'digest', user: 'reader', passwordFile: password } };
    const [problem] = (await look(0, reader)).problems;
    expect(problem?.code).to.equal('infinispan-refused');
    expect(problem?.message).to.contain("lacks 'ADMIN' permission");
    expect(problem?.hint).to.contain('role admin');
    // Preflight has told it: the doctor does not tell it twice.
    expect(await engine(0, reader).diagnose(AbortSignal.timeout(LOOK_MS))).to.deep.equal([]);
  });

  it('takes the password at its word over TLS', async () => {
    const basic = { auth: { type: 'basic', user: 'stillpoint', passwordFile: password } };
    expect((await look(0, basic)).problems).to.deep.equal([]);
  });

  it('does not know us by a token that has expired, and knows us as soon as the file has the next', async () => {
    const tokenFile = join(folder.path, 'token');
    const one = engine(0, { auth: { type: 'token', tokenFile } });
    writeFileSync(tokenFile, tokenFor('stillpoint', -60));
    const [expired] = (await describeOf(one)).problems;
    writeFileSync(tokenFile, tokenFor('stillpoint', 60));
    const { problems } = await describeOf(one);

    expect(expired?.code).to.equal('infinispan-refused');
    expect(expired?.hint).to.contain(tokenFile);
    expect(problems).to.deep.equal([]);
  });

  it('is not believed under another name, or with the signature of another CA', async () => {
    const [named] = (await look(0, { tls: { ca: join(pki, 'ca.pem') } })).problems;
    expect(named?.code).to.equal('infinispan-certificate');
    expect(named?.hint).to.contain('tls.serverName');
    const other = join(folder.path, 'other');
    await initializePki(other);
    const [signed] = (await look(0, { tls: { ca: join(other, 'ca.pem'), serverName: SERVER_NAME } }))
      .problems;
    expect(signed?.code).to.equal('infinispan-certificate');
  });

  it('has what operators ignore said, and what is left of a fence of ours refused', async () => {
    await asked((server, signal) => server.ignore('rates', signal));
    const ignored = await look(0);
    expect(ignored.leftFrozen).to.equal(false);
    expect(codes(ignored.problems)).to.deep.equal([]);
    expect(ignored.warnings.find(({ code }) => code === 'infinispan-ignored')?.text).to.contain(
      'cache rates',
    );

    await asked(async (server, signal) => {
      const names = await server.cacheNames(signal);
      const fenced = { caches: names.filter((name) => name !== 'rates'), connectors: [] };
      await closeFence(server, fenced, signal);
      const left = await look(1);
      expect(left.leftFrozen).to.equal(true);
      expect(codes(left.problems)).to.deep.equal(['infinispan-fence-left']);
      await openFence(server, fenced, signal);
      await server.unIgnore('rates', signal);
    });
    expect((await look(1)).leftFrozen).to.equal(false);
  });

  it('has a cache whose name no server can put into a backup refused', async () => {
    await asked(async (server, signal) => {
      await server.createCache('a/b', '{"local-cache":{}}', signal);
      expect(codes((await look(1)).problems)).to.deep.equal(['infinispan-cache-name']);
      await server.removeCache('a/b', signal);
    });
  });

  it('is refused where the container has another name, and where it could not be held for so long', async () => {
    expect(codes((await look(0, { container: 'other' })).problems)).to.deep.equal(['infinispan-differs']);
    const [problem] = (await look(0, { maxHoldSeconds: 0.001 })).problems;
    expect(problem?.code).to.equal('infinispan-hold-too-long');
    expect(problem?.hint).to.contain('maxHoldSeconds');
  });

  it('is told what it must be given before its first checkpoint, and nothing where it has it', async () => {
    const whole = await prepareInfinispan(settingsOf(0));
    expect([whole.needs, await whole.apply()]).to.deep.equal([[], ['it has all that it needs']]);
    const auth = { type: 'digest', user: 'reader', passwordFile: password };
    for (const lacking of [auth, { ...auth, passwordFile: `${password}-none` }]) {
      const { needs, apply } = await prepareInfinispan(settingsOf(0, { auth: lacking }));
      const [command = ''] = needs.flatMap(({ lines }) => lines);
      expect(command).to.contain(`bin/cli.sh user create reader -g admin --server-root=${node(0).root}`);
      expect((await failureOf(apply())).hint).to.contain(command);
    }
    const other = await failureOf(prepareInfinispan(settingsOf(0, { tls: { ca: `${password}-none` } })));
    expect(other.hint).to.contain('there is no tls');
  });

  it('is found on its host, with the keys that its servers need', async () => {
    const { members } = await discoverInfinispan({
      host: 'alpha.example.com',
      folder: '/etc/stillpoint',
      participants: [],
    });
    for (const { root, hostport, port, name } of cluster.nodes) {
      const found = members.find(({ keys }) => keys['root'] === root);
      expect(found?.doubt).to.equal(null);
      expect(found?.keys).to.deep.include({
        name: `alpha-${name}`,
        copyset: 'looked-at',
        address: `alpha.example.com:${port}`,
        url: `https://${hostport}`,
      });
      expect(found?.remarks).to.have.property('auth');
      infinispanMemberSchema.parse(found?.keys);
    }
  });

  it('does what the handbook says is done by hand, and is asked as its example says', async function () {
    const page = readFileSync(join(ROOT, 'docs/engines/infinispan.md'), 'utf8');
    const [, yaml = ''] = /^```yaml\n([^]*?)^```/m.exec(page) ?? [];
    const { members } = parse(yaml) as { members: unknown[] };
    expect(members.map((member) => infinispanMemberSchema.parse(member).name)).to.deep.equal(['ispn-1']);

    if (spawnSync('curl', ['--version']).status !== 0) this.skip();
    // The others, of archives, are run in test/e2e/infinispan/import-export.
    const commands = page.split('\n').filter((line) => /^curl .*alpha\.example/.test(line));
    expect(commands.length).to.equal(3);
    await asked(async (server, signal) => {
      await server.ignore('orders', signal);
      await server.stopConnector('Resp-', signal);
    });
    const said = commands.map((line) => {
      const command = line
        .replace('-u stillpoint', '-u stillpoint:right')
        .replace('infinispan-ca.pem', join(pki, 'ca.pem'))
        .replace('curl ', `curl --connect-to alpha.example:11222:${node(1).hostport} `);
      const { status, stdout, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8' });
      expect(status, stderr).to.equal(0);
      return stdout;
    });
    expect(JSON.parse(said[0] ?? '')).to.deep.equal(['orders']);
    await asked(async (server, signal) => {
      expect(await server.ignored(signal)).to.deep.equal([]);
      const connectors = await server.connectors(signal);
      expect(connectors.find(({ name }) => name === 'Resp-')?.isEnabled).to.equal(true);
    });
  });

  it('goes on without one that is stopped, which is another one when it is back', async () => {
    const { incarnation } = await look(1);
    const second = engine(1);
    await second.stop(AbortSignal.timeout(LOOK_MS));
    expect(await second.isRunning()).to.equal(false);
    await node(1).gone;
    const down = await describeOf(second);
    expect([down.running, down.problems]).to.deep.equal([false, []]);
    const found = await second.diagnose(AbortSignal.timeout(LOOK_MS));
    expect(found.map(({ failure }) => failure.code)).to.include('member-down');
    expect((await look(0)).problems).to.deep.equal([]);

    await node(1).start();
    const back = await look(1);
    expect(back.running).to.equal(true);
    expect(back.incarnation).to.not.equal(incarnation);
  });
});

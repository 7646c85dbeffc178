import { expect } from 'chai';
import { appendFileSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { checkOrder, CausalClients, UNHURRIED, type Shard } from '../lab/causal-clients.ts';
import { documentedBlocks, documentedCommands } from '../lab/documented-commands.ts';
import { Hooks } from '../lab/hooks.ts';
import { infinispanShards } from '../lab/infinispan-shards.ts';
import { whyNoInfinispan } from '../lab/infinispan.ts';
import { until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import type { BootedHost, Done } from './lab/booted-host.ts';
import { down, HostsLab } from './lab/hosts-lab.ts';
import {
  ClientOfServers,
  layOutInfinispan,
  startInfinispan,
  urlOfServer,
} from './lab/infinispan-on-hosts.ts';
import { installStillpoint } from './lab/install.ts';
import { openSecureShell } from './lab/secure-shell.ts';
import { letClientsIn, onHost, shardsOf, type ClusterOnHost } from './lab/shards-on-hosts.ts';
import { whyNoLab } from './lab/skipped.ts';

// Goal: a cluster of Infinispan servers as its operator runs them, beside Debian's PostgreSQL servers, is set up by the
// handbook's commands, has checkpoints and Backup documents by the package's own unit, is served again when that unit is
// killed, and comes back when its hosts are lost.

const PAGE = 'docs/engines/infinispan.md';
const HOOKS = '/var/lib/hooks';
/** As pgrep has it; the shell that runs it has other words. */
const MEMBER = "'--node-name=my-[b]ackup'";
/** From the moment that agents are killed. */
const SERVED_MS = 15_000;
/** Until a command has come to a moment of its. */
const MOMENT_MS = 180_000;
const CACHES = ['carts', 'sessions'];
const RENAMED = 's/alpha.example:/gamma.example:/; s/beta.example:/delta.example:/';
const TEXT = { 'distributed-cache': { mode: 'SYNC', encoding: { 'media-type': 'text/plain' } } };

describe('an Infinispan cluster on booted hosts', function () {
  // One step needs the one before.
  this.bail(true);
  const lab = new HostsLab();
  const say = (): void => undefined;
  const [alpha, beta, gamma, delta] = ['alpha', 'beta', 'gamma', 'delta'].map((short) => lab.host(short)) as [
    BootedHost,
    BootedHost,
    BootedHost,
    BootedHost,
  ];
  const old = [alpha, beta];
  const others = [gamma, delta];
  /** Commands are given there. */
  const operator = gamma;
  const [, commands = []] = documentedCommands('README.md', 'A first grid of your own');
  const [cluster = []] = documentedCommands(PAGE, 'A first cluster');
  const secrets = temporaryFolder('secrets');
  let application: ClientOfServers;
  let administrator: ClientOfServers;
  let clients: CausalClients;
  let begun = 0;

  before(async function () {
    if (whyNoLab() !== null) this.skip();
    const missing = whyNoInfinispan();
    if (missing !== null) {
      process.stderr.write(`skipped, no Infinispan: ${missing}\n`);
      this.skip();
    }
    await down();
    await lab.up(say, ['alpha', 'beta', 'gamma', 'delta']);
    await installStillpoint(lab.hosts(), say);
    for (const host of lab.hosts()) await layOutInfinispan(host);
    openSecureShell(operator, lab.hosts());
    await startInfinispan(old);
  });

  after(async () => {
    await clients?.stop();
    application?.close();
    administrator?.close();
    secrets.remove();
  });

  function must(host: BootedHost, words: string): string {
    const { code, stdout, stderr } = host.try(words);
    expect(code, `${words}\n${stdout}${stderr}`).to.equal(0);
    return stdout;
  }

  const shards = (hosts: readonly BootedHost[], databases: readonly ClusterOnHost[]): Shard[] => {
    const servers = hosts.map((host) => ({ url: urlOfServer(host) }));
    const [carts, sessions] = infinispanShards(servers, CACHES, application.ask);
    const [first, second] = shardsOf(databases);
    if (carts === undefined || sessions === undefined || first === undefined || second === undefined)
      throw new Error('four places');
    return [carts, first, sessions, second];
  };

  function addPeer(host: BootedHost, peer: BootedHost): void {
    const file = host.path('/etc/stillpoint/agent.yaml');
    const text = readFileSync(file, 'utf8');
    // The line that init has remarked on.
    const line = /^( +)url: http:\/\/127\.0\.0\.1:11222$/m.exec(text);
    expect(line, text).not.to.equal(null);
    writeFileSync(file, text.replace(/^( +)url: .*$/m, `$&\n$1peers: [http://${peer.name}:11222]`));
  }

  it('is found as its archive lays it out, and whoever sets it up is told what it lacks', () => {
    for (const command of commands.slice(0, 3)) must(operator, command);
    for (const host of old) {
      const line = commands.find((one) => one.startsWith(`ssh ${host.name} stillpoint-agent init`)) ?? '';
      const { code, stdout } = operator.try(line);
      expect(code, stdout).to.equal(2);
      expect(stdout).to.match(/infinispan {2}\S+:11222 {2}\/opt\/infinispan\/server$/m);
      expect(stdout)
        .to.contain(`infinispan.password cannot be read: it is not there`)
        .and.to.contain(
          'runuser -u infinispan -- /opt/infinispan/bin/cli.sh user create stillpoint -g admin',
        );
      const file = readFileSync(host.path('/etc/stillpoint/agent.yaml'), 'utf8');
      expect(file).to.contain('    url: http://127.0.0.1:11222\n').and.to.contain('    unit: infinispan\n');
      expect(file).not.to.match(/^ +tls:/m);
    }
  });

  it('is whole by the commands of the handbook, and its first checkpoint is valid', () => {
    const said = cluster.map((command) => must(operator, command));
    expect(said.at(-1)).to.contain('it has all that it needs');
    addPeer(alpha, beta);
    addPeer(beta, alpha);
    for (const host of old) must(host, 'stillpoint-agent --check');
    const rest = commands.slice(commands.findIndex((one) => one.includes('enable --now')));
    const [doctor] = rest.map((command) => must(operator, command)).slice(-2);
    expect(doctor).not.to.contain('problem');
    const list = must(operator, 'stillpoint checkpoint list --grid orders/grid.yaml --output json');
    expect((JSON.parse(list) as { checkpoints: { state: string }[] }).checkpoints).to.have.nested.property(
      '0.state',
      'valid',
    );
  });

  it('has a checkpoint while its clients write to it and to the PostgreSQL servers beside it', async () => {
    const databases = old.map((host) => onHost(host, `${host.short}-main`));
    for (const database of databases) letClientsIn(database);
    for (const host of lab.hosts())
      must(
        host,
        'runuser -u infinispan -- /opt/infinispan/bin/cli.sh user create app -g application -p "correct horse"',
      );
    const own = join(secrets.path, 'stillpoint');
    writeFileSync(own, readFileSync(operator.path('/root/infinispan.password')), { mode: 0o600 });
    writeFileSync(join(secrets.path, 'app'), 'correct horse', { mode: 0o600 });
    application = new ClientOfServers('app', join(secrets.path, 'app'));
    administrator = new ClientOfServers('stillpoint', own);
    for (const cache of CACHES) await administrator.createCache(urlOfServer(alpha), cache, TEXT);
    clients = await CausalClients.start(shards(old, databases), 4, UNHURRIED);
    await until('clients to write', () => clients.writes.length > 100);
    begun = performance.now();
    const written = clients.writes.length;
    const { code, stdout, stderr } = await operator.begin(
      'stillpoint checkpoint create loaded --grid orders/grid.yaml --output json',
    );
    expect(code, stdout + stderr).to.equal(0);
    const { members } = JSON.parse(stdout) as { members: { name: string; state: string }[] };
    expect(members.map(({ name, state }) => `${name} ${state}`)).to.have.members([
      'alpha captured',
      'beta covered',
      'alpha-main captured',
      'beta-main captured',
    ]);
    await until('clients to write on', () => clients.writes.length > written + 100);
  });

  it('serves its clients again seconds after the whole units of all agents were killed in the hold', async () => {
    for (const host of old) {
      mkdirSync(host.path('/etc/systemd/system/stillpoint-agent.service.d'), { recursive: true });
      writeFileSync(
        host.path('/etc/systemd/system/stillpoint-agent.service.d/hooks.conf'),
        `[Service]\nEnvironment=STILLPOINT_HOOKS=${HOOKS}\n`,
      );
    }
    const [hooks] = old.map((host) => new Hooks(host.path(HOOKS)));
    for (const host of old) must(host, 'systemctl daemon-reload && systemctl restart stillpoint-agent');
    const before = hooks?.timesReached('fenced', 'alpha') ?? 0;
    hooks?.hold('fenced', 'alpha');
    const ended: Promise<Done> = operator.begin(
      'stillpoint checkpoint create killed --grid orders/grid.yaml --output json',
    );
    await reached(ended, () => (hooks?.timesReached('fenced', 'alpha') ?? 0) > before);
    const put = (host: BootedHost): Promise<number> =>
      application
        .ask({ url: urlOfServer(host) }, 'PUT', 'caches/carts/-1%20-1', AbortSignal.timeout(5000))
        .then(({ status }) => status);
    expect(await put(beta)).to.equal(503);
    hooks?.release('fenced', 'alpha');
    const killedAt = performance.now();
    for (const host of old) must(host, 'systemctl kill -s KILL stillpoint-agent');
    for (const host of old)
      await until(`${host.name} to serve`, async () => (await put(host)) === 204, SERVED_MS);
    console.log(`      served again after ${((performance.now() - killedAt) / 1000).toFixed(1)} s`);
    await until('nothing to be ignored', async () => (await ignored()) === '[]', SERVED_MS);
    const { code, stdout, stderr } = await ended;
    expect(code, stdout + stderr).to.be.oneOf([4, 5]);
    const again = await operator.begin('stillpoint checkpoint create again --grid orders/grid.yaml --quiet');
    expect(again.code, again.stderr).to.equal(0);
  });

  /** Rejects with what the command said where it has ended before. */
  async function reached(command: Promise<Done>, isThere: () => boolean): Promise<void> {
    const ended = command.then(({ code, stdout, stderr }) => {
      throw new Error(`it ended before with ${code}: ${stdout}${stderr}`);
    });
    ended.catch(() => undefined);
    await Promise.race([until('the command to come so far', isThere, MOMENT_MS), ended]);
  }

  const ignored = async (): Promise<string> =>
    (
      await administrator.ask(
        { url: urlOfServer(alpha) },
        'GET',
        'server/ignored-caches',
        AbortSignal.timeout(5000),
      )
    ).text;

  it('is backed up by a document, whose server the agent starts as its user within the bounds of its unit', async () => {
    const [settings = ''] = documentedBlocks('docs/documents.md', "The agent's file", 'yaml');
    const [document = ''] = documentedBlocks('docs/documents.md', 'A backup', 'yaml');
    must(alpha, documentedCommands('docs/documents.md', "The agent's file")[0]?.join('\n') ?? '');
    const { documents } = parse(settings) as { documents: { clusters: Record<string, object> } };
    const source = documents.clusters['source-cluster'] as {
      url: string;
      tls?: unknown;
      auth: object;
      member: { url: string };
    };
    // The page has TLS, which these servers have not.
    delete source.tls;
    source.url = 'http://alpha.example:11222';
    source.auth = {
      type: 'digest',
      user: 'stillpoint',
      passwordFile: '/etc/stillpoint/infinispan.password',
    };
    source.member.url = source.member.url.replace('https:', 'http:');
    appendFileSync(alpha.path('/etc/stillpoint/agent.yaml'), stringify({ documents }));
    must(alpha, 'stillpoint-agent --check && systemctl restart stillpoint-agent');
    writeFileSync(operator.path('/root/my-backup.yaml'), document);
    const hooks = new Hooks(alpha.path(HOOKS));
    hooks.hold('documentRunning', 'my-backup');
    must(operator, 'stillpoint apply -f my-backup.yaml --grid orders/grid.yaml');
    await until('its server to work', () => hooks.hasReached('documentRunning', 'my-backup'), MOMENT_MS);
    const member = (): string => alpha.try(`pgrep --full --list-full -- ${MEMBER}`).stdout;
    expect(alpha.shell(`ps -o user= -p $(pgrep --full -- ${MEMBER} | paste -sd,)`)).to.match(
      /^(infinispan|infinis\+)(\n\1)*\n$/,
    );
    // A package that is upgraded restarts the agent; the server of a document goes on.
    must(alpha, 'systemctl restart --no-block stillpoint-agent');
    const stateIs = (state: string): Promise<void> =>
      until(
        `the agent to be ${state}`,
        () => alpha.try('systemctl is-active stillpoint-agent').stdout.trim() === state,
        MOMENT_MS,
      );
    await stateIs('deactivating');
    const before = member();
    hooks.hold('documentDone', 'my-backup');
    hooks.release('documentRunning', 'my-backup');
    await until(
      'the next agent to see it done',
      () => hooks.hasReached('documentDone', 'my-backup'),
      MOMENT_MS,
    );
    await stateIs('active');
    expect(member()).to.equal(before).and.not.equal('');
    hooks.release('documentDone', 'my-backup');
    await until(
      'the document to end',
      () => {
        const { phase, reason } = status();
        if (phase === 'Failed') throw new Error(`it has failed: ${reason}\n${log()}`);
        return phase === 'Succeeded';
      },
      MOMENT_MS,
    );
    expect(log()).to.contain("ISPN005044: Backup file created 'my-backup.zip'");
    expect(member()).to.equal('');
    must(alpha, 'test -s /srv/backups/backups/my-backup/my-backup.zip');

    function status(): { phase: string; reason?: string } {
      const said = must(operator, 'stillpoint get backup my-backup -o json --grid orders/grid.yaml');
      return (JSON.parse(said) as { status: { phase: string; reason?: string } }).status;
    }
    function log(): string {
      return operator.try('stillpoint logs backup my-backup --grid orders/grid.yaml').stdout;
    }
  });

  it('loses its hosts at once, and comes back on two others with nothing missing', async () => {
    for (const host of old) await host.cutPower();
    await clients.stop();
    must(operator, 'stillpoint pki issue orders gamma.example delta.example');
    await startInfinispan(others);
    for (const [index, host] of others.entries()) takesThePlaceOf(host, old[index] ?? host);
    must(operator, `sed '${RENAMED}' orders/grid.yaml > orders/target.yaml`);
    const maps = others.map((host, index) => `--map ${old[index]?.name ?? ''}=${host.name}`).join(' ');
    const restored = must(
      operator,
      `stillpoint restore loaded --grid orders/target.yaml ${maps} --stop --yes --output json`,
    );
    expect(JSON.parse(restored)).to.have.property('verified', true);
    const databases = others.map((host) => onHost(host, `${host.short}-main`));
    const report = await checkOrder(shards(others, databases), clients.writes, begun);
    expect(report).to.include({ missing: 0, withoutCause: 0 });
    expect(report.found).to.be.greaterThan(100);
    must(operator, 'stillpoint checkpoint create there --grid orders/target.yaml --quiet');
  });

  /** With what an operator keeps of the old host: the agent's file and the passwords. */
  function takesThePlaceOf(host: BootedHost, lost: BootedHost): void {
    must(host, 'systemctl stop postgresql@15-main');
    const documented = [...commands.slice(0, 3), ...cluster].filter((line) => line.includes(lost.name));
    for (const command of documented.filter(
      (line) => !line.includes('grid init') && !line.includes('init --apply'),
    ))
      must(operator, command.replaceAll(lost.name, host.name));
    const folder = '/etc/stillpoint';
    copyFileSync(lost.path(`${folder}/postgres.password`), host.path(`${folder}/postgres.password`));
    const [file = ''] = readFileSync(lost.path(`${folder}/agent.yaml`), 'utf8').split(/^documents:/m);
    writeFileSync(
      host.path(`${folder}/agent.yaml`),
      file.replaceAll('alpha.example', 'gamma.example').replaceAll('beta.example', 'delta.example'),
      { mode: 0o600 },
    );
    must(host, 'stillpoint-agent --check; systemctl enable --quiet --now stillpoint-agent');
  }
});

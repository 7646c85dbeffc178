import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { copyFileSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { FoundMember } from '../../../agent/engines/discovery.ts';
import { isBegunBy } from '../../../agent/engines/host-processes.ts';
import { discoverInfinispan } from '../../../agent/engines/infinispan/discover.ts';
import { until } from '../../lab/processes.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: the agent's file that is written for a server is right for servers as their archive lays them out and as their
// operators start them. Method: processes with the command lines of such servers, and what listens where these would.

/** As the archive has it: TLS stands there as a comment. */
const AS_SHIPPED = `<infinispan>
  <cache-container name="default"><transport cluster="\${infinispan.cluster.name:cluster}"/></cache-container>
  <server>
    <interfaces><interface name="public"><inet-address value="\${infinispan.bind.address:127.0.0.1}"/></interface></interfaces>
    <socket-bindings default-interface="public" port-offset="\${infinispan.socket.binding.port-offset:0}">
      <socket-binding name="default" port="\${infinispan.bind.port:11222}"/>
    </socket-bindings>
    <security><security-realms><security-realm name="default">
      <!-- server-identities><ssl><keystore path="server.pfx"/></ssl></server-identities -->
      <properties-realm/>
    </security-realm></security-realms></security>
    <endpoints socket-binding="default" security-realm="default"/>
  </server>
</infinispan>`;

describe('a server that its own script has started', () => {
  const folder = temporaryFolder('discover');
  const root = join(folder.path, 'server');
  const java = join(folder.path, 'java');
  const children: ChildProcess[] = [];
  let listener: Server;
  let port = 0;

  before(async () => {
    mkdirSync(join(root, 'conf'), { recursive: true });
    writeFileSync(join(root, 'conf/infinispan.xml'), AS_SHIPPED);
    copyFileSync(realpathSync('/bin/sh'), java);
    listener = createServer();
    await new Promise<void>((resolve) => listener.listen(0, '127.0.86.1', resolve));
    ({ port } = listener.address() as AddressInfo);
  });

  afterEach(async () => {
    for (const child of children.splice(0)) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    }
  });

  after(() => {
    listener.close();
    folder.remove();
  });

  /** `java -Dinfinispan.server.home.path=… …Loader …Bootstrap OPTIONS`, as far as it can be seen from outside. */
  function start(...options: readonly string[]): ChildProcess {
    const args = [`-Dinfinispan.server.home.path=${folder.path}`, 'org.infinispan.server.loader.Loader'];
    const words = ['-c', 'read forever', ...args, 'org.infinispan.server.Bootstrap', ...options];
    const child = spawn(java, words, { stdio: ['pipe', 'ignore', 'ignore'] });
    children.push(child);
    return child;
  }

  async function found(): Promise<FoundMember> {
    let member: FoundMember | undefined;
    await until('the process to be seen', async () => {
      const { members } = await discoverInfinispan({
        host: '127.0.86.1',
        folder: '/etc/stillpoint',
        participants: [],
      });
      member = members.find(({ keys }) => keys['root'] === root);
      return member !== undefined;
    });
    if (member === undefined) throw new Error('it was seen');
    return member;
  }

  it('is asked by what its file says, not by what is commented out in it', async () => {
    start('--bind-address=127.0.86.1', `--bind-port=${port}`);
    const { keys, doubt } = await found();
    expect(doubt).to.equal(null);
    expect(keys).to.include({ url: `http://127.0.86.1:${port}`, copyset: 'cluster' });
    expect(keys).to.have.property('auth');
    expect(keys).not.to.have.property('tls');
  });

  it('is asked where its options have it listen, as the cluster that they name', async () => {
    start('-b', 'SITE_LOCAL', '-p', String(port - 5), '-o', '5', '-g', 'carts', '-n', 'one');
    const { keys, doubt } = await found();
    expect(doubt).to.equal(null);
    expect(keys).to.include({ url: `http://127.0.86.1:${port}`, copyset: 'carts' });
  });

  it('is doubted where nothing answers', async () => {
    start('-b', '127.0.86.2', '-p', String(port));
    expect((await found()).doubt).to.contain(`nothing answers at 127.0.86.2:${port}`);
  });

  it('is of the unit whose script has begun it', async () => {
    const { pid = 0 } = start();
    expect(await isBegunBy(pid, pid)).to.equal(true);
    expect(await isBegunBy(pid, process.pid)).to.equal(true);
    expect(await isBegunBy(process.pid, pid)).to.equal(false);
    expect(await isBegunBy(pid, 0)).to.equal(false);
  });
});

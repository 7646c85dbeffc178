import { chmodSync, cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { dirname, join } from 'node:path';
import { openPromise } from 'yauzl';
import { Rest } from '../../../agent/engines/infinispan/server/rest.ts';
import { infinispanHome } from '../../lab/infinispan.ts';
import type { AskServer } from '../../lab/infinispan-shards.ts';
import { until } from '../../lab/processes.ts';
import type { BootedHost } from './booted-host.ts';

// The server as its own archive lays it out, for whom its archive cannot be had: its libraries, its loader, its own
// command line tool, the default configuration with its realm of users in files, and a unit that runs its script as a
// user without rights. What scripts and files say is in our words.

const HOME = '/opt/infinispan';
const STARTS_MS = 120_000;

/** What the archive has in `boot`: the loader, which loads the rest. */
const LOADER = 'org/infinispan/server/loader/';

const RUN_JAVA = `home=$(cd "$(dirname "$0")/.." && pwd)
run() {
  java $JAVA_OPTS -Dinfinispan.server.home.path="$home" -classpath ":$home/boot" \\
    org.infinispan.server.loader.Loader "$@"
}`;

/** With 10 the server asks to be started again. */
const SERVER_SH = `#!/bin/sh
: "\${JAVA_OPTS:=-Xms64m -Xmx256m -XX:MetaspaceSize=64M -XX:TieredStopAtLevel=1 -XX:+UseSerialGC}"
${RUN_JAVA}
while true; do
  run org.infinispan.server.Bootstrap "$@"
  status=$?
  [ "$status" -eq 10 ] || exit "$status"
done
`;

const CLI_SH = `#!/bin/sh
: "\${JAVA_OPTS:=-Xmx96m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC}"
${RUN_JAVA}
run org.infinispan.cli.commands.CLI "$@"
`;

/** The realm's TLS stands in it, commented out. */
const CONFIGURATION = `<infinispan xmlns="urn:infinispan:config:16.0">
   <cache-container name="default" statistics="true">
      <transport cluster="\${infinispan.cluster.name:cluster}" stack="\${infinispan.cluster.stack:tcp}" node-name="\${infinispan.node.name:}"/>
      <security>
         <authorization/>
      </security>
   </cache-container>
   <server xmlns="urn:infinispan:server:16.0">
      <interfaces>
         <interface name="public">
            <inet-address value="\${infinispan.bind.address:127.0.0.1}"/>
         </interface>
      </interfaces>
      <socket-bindings default-interface="public" port-offset="\${infinispan.socket.binding.port-offset:0}">
         <socket-binding name="default" port="\${infinispan.bind.port:11222}"/>
      </socket-bindings>
      <security>
         <security-realms>
            <security-realm name="default">
               <!-- For TLS:
               <server-identities>
                  <ssl>
                     <keystore path="server.pfx" password="password" alias="server" generate-self-signed-certificate-host="localhost"/>
                  </ssl>
               </server-identities> -->
               <properties-realm/>
            </security-realm>
         </security-realms>
      </security>
      <endpoints socket-binding="default" security-realm="default"/>
   </server>
</infinispan>
`;

const LOGGING = `<Configuration name="server" shutdownHook="disable">
  <Appenders><Console name="OUT"><PatternLayout pattern="%d{HH:mm:ss,SSS} %-5p (%t) [%c] %m%throwable%n"/></Console></Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="OUT"/></Root></Loggers>
</Configuration>
`;

const UNIT = `[Unit]
Description=Infinispan Server
After=network.target

[Service]
Environment=INFINISPAN_HOME=${HOME}
ExecStart=/bin/bash -c "\${INFINISPAN_HOME}/bin/server.sh --bind-address=0.0.0.0"
Type=simple
User=infinispan

[Install]
WantedBy=multi-user.target
`;

/** Lays it out and makes its user; nothing is started. */
export async function layOutInfinispan(host: BootedHost): Promise<void> {
  const home = host.path(HOME);
  for (const folder of ['bin', 'boot', 'lib', 'server/conf', 'server/data', 'server/lib', 'server/log'])
    mkdirSync(join(home, folder), { recursive: true });
  const libraries = join(infinispanHome(), 'lib');
  // Each is there once: those of one platform have the name of the one of all platforms.
  for (const name of readdirSync(libraries).filter((one) => !/-linux-\w+\.jar$/.test(one)))
    cpSync(join(libraries, name), join(home, 'lib', name));
  await extractLoader(join(libraries, runtimeOf(libraries)), join(home, 'boot'));
  const files = {
    [`${HOME}/bin/server.sh`]: SERVER_SH,
    [`${HOME}/bin/cli.sh`]: CLI_SH,
    [`${HOME}/server/conf/infinispan.xml`]: CONFIGURATION,
    [`${HOME}/server/conf/log4j2.xml`]: LOGGING,
    '/etc/systemd/system/infinispan.service': UNIT,
  };
  for (const [file, text] of Object.entries(files)) writeFileSync(host.path(file), text);
  for (const script of ['server.sh', 'cli.sh']) chmodSync(join(home, 'bin', script), 0o755);
  host.shell(
    `useradd --system --home-dir ${HOME} --shell /usr/sbin/nologin infinispan && chown -R infinispan: ${HOME} && systemctl daemon-reload`,
  );
}

function runtimeOf(libraries: string): string {
  const found = readdirSync(libraries).find((name) => name.startsWith('infinispan-server-runtime-'));
  if (found === undefined) throw new Error(`${libraries} has no infinispan-server-runtime`);
  return found;
}

async function extractLoader(jar: string, into: string): Promise<void> {
  const zip = await openPromise(jar, { autoClose: false });
  try {
    for await (const entry of zip.eachEntry()) {
      if (!entry.fileName.startsWith(LOADER) || entry.fileName.endsWith('/')) continue;
      const file = join(into, entry.fileName);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, await buffer(await zip.openReadStreamPromise(entry)));
    }
  } finally {
    zip.close();
  }
}

/** As an operator does; resolves when each says that it has started. The first is the cluster that others join. */
export async function startInfinispan(hosts: readonly BootedHost[]): Promise<void> {
  for (const host of hosts) {
    host.shell('systemctl enable --quiet --now infinispan');
    await until(
      `Infinispan on ${host.name} to start`,
      () => host.try('journalctl --unit infinispan --output cat | grep -q ISPN080001').code === 0,
      STARTS_MS,
    );
  }
}

/** As a client of the network: with a name and a password, which the servers ask for by digest. */
export class ClientOfServers {
  readonly #passwordFile: string;
  readonly #user: string;
  readonly #rests = new Map<string, Rest>();

  constructor(user: string, passwordFile: string) {
    this.#user = user;
    this.#passwordFile = passwordFile;
  }

  readonly ask: AskServer = (server, method, path, signal) =>
    this.#send(server?.url ?? '', {
      method,
      path,
      signal,
      ...(method === 'PUT' && { body: { type: 'text/plain', bytes: Buffer.from('x') } }),
    });

  async createCache(url: string, name: string, configuration: object): Promise<void> {
    const signal = AbortSignal.timeout(STARTS_MS);
    const { status, text } = await this.#send(url, {
      method: 'POST',
      path: `caches/${name}`,
      json: configuration,
      signal,
    });
    if (status !== 200) throw new Error(`${url} made no cache ${name}: ${status} ${text}`);
  }

  #send(url: string, asked: Omit<Parameters<Rest['ask']>[0], 'expected'>): ReturnType<Rest['ask']> {
    return this.#rest(url).ask({ ...asked, expected: [200, 204, 404, 503] });
  }

  #rest(url: string): Rest {
    const known = this.#rests.get(url);
    if (known !== undefined) return known;
    const auth = { type: 'digest', user: this.#user, passwordFile: this.#passwordFile } as const;
    const made = new Rest({ url, container: 'default', auth });
    this.#rests.set(url, made);
    return made;
  }

  close(): void {
    for (const rest of this.#rests.values()) rest.close();
  }
}

export const urlOfServer = ({ address }: BootedHost): string => `http://${address}:11222`;

import { appendFileSync, chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { postgresShards, TABLE_SQL } from '../../lab/shards.ts';
import type { Shard } from '../../lab/causal-clients.ts';
import { ROOT } from '../../lab/processes.ts';
import type { BootedHost } from './booted-host.ts';
import { NETWORK } from './network.ts';

/** One cluster of Debian's, as `pg_lsclusters` lists it, and the member of the grid that it is. */
export interface ClusterOnHost {
  readonly host: BootedHost;
  readonly member: string;
  readonly cluster: string;
  readonly port: number;
  /** How its agent starts and stops it: a line of the agent's file. */
  readonly supervision: string;
}

const BY_UNIT = 'unit: postgresql@15-CLUSTER';
export const BY_SYSTEMCTL =
  'run: { start: [systemctl, start, postgresql@15-CLUSTER], stop: [systemctl, stop, postgresql@15-CLUSTER] }';
export const BY_DEBIAN =
  'run: { start: [pg_ctlcluster, 15, CLUSTER, start], stop: [pg_ctlcluster, 15, CLUSTER, stop], user: postgres }';

const PASSWORD = 'correct horse';

export function onHost(
  host: BootedHost,
  member: string,
  { cluster = 'main', port = 5432, supervision = BY_UNIT } = {},
): ClusterOnHost {
  return { host, member, cluster, port, supervision: supervision.replaceAll('CLUSTER', cluster) };
}

/** What docs/engines/postgres.md asks of a server: the role, and who may come in from where. */
export function prepareServer(server: ClusterOnHost): void {
  const { host, cluster, port } = server;
  if (cluster !== 'main') host.shell(`pg_createcluster 15 ${cluster} --port ${port}`);
  appendFileSync(
    host.path(`/etc/postgresql/15/${cluster}/pg_hba.conf`),
    ['all', 'replication'].map((of) => `host ${of} stillpoint ${NETWORK} scram-sha-256\n`).join(''),
  );
  letClientsIn(server);
  runSql(server, `${documentedSql()} ALTER ROLE stillpoint PASSWORD '${PASSWORD}';`);
}

/** Clients of the network, and the table that they write. */
export function letClientsIn(server: ClusterOnHost): void {
  const { host, cluster } = server;
  const folder = `/etc/postgresql/15/${cluster}`;
  appendFileSync(host.path(`${folder}/pg_hba.conf`), `host all app ${NETWORK} scram-sha-256\n`);
  writeFileSync(host.path(`${folder}/conf.d/network.conf`), "listen_addresses = '*'\n");
  host.shell(`systemctl restart postgresql@15-${cluster}`);
  runSql(
    server,
    `CREATE ROLE app LOGIN PASSWORD '${PASSWORD}';
    ${TABLE_SQL};
    GRANT ALL ON causal TO app;`,
  );
}

function runSql({ host, port }: ClusterOnHost, sql: string): void {
  writeFileSync(host.path('/root/role.sql'), sql);
  host.shell(`cd /; runuser -u postgres -- psql -p ${port} -q -v ON_ERROR_STOP=1 < /root/role.sql`);
}

/** The role's statements, as the documentation has them. */
function documentedSql(): string {
  const text = readFileSync(join(ROOT, 'docs/engines/postgres.md'), 'utf8');
  const sql = /```sql\n(CREATE ROLE stillpoint[^`]*)```/.exec(text)?.[1];
  if (sql === undefined) throw new Error('docs/engines/postgres.md has no statements for the role');
  return sql;
}

/** Where the certificates of a grid lie below /root of its operator, and its repository on every host. */
interface GridPlaces {
  readonly issued: string;
  readonly repository: string;
}

const USUAL: GridPlaces = { issued: 'pki', repository: '/srv/stillpoint/repository' };

/** The agent's file and certificates on a host, and the agent started. */
export function startAgent(
  host: BootedHost,
  clusters: readonly ClusterOnHost[],
  operator: BootedHost,
  { issued = USUAL.issued, repository = USUAL.repository, more = [] as readonly string[] } = {},
): void {
  const folder = host.path('/etc/stillpoint');
  mkdirSync(folder, { recursive: true });
  for (const name of ['ca.pem', 'crl.pem', `${host.name}.pem`, `${host.name}-key.pem`]) {
    copyFileSync(operator.path(`/root/${issued}/${name}`), join(folder, name));
    chmodSync(join(folder, name), 0o600);
  }
  writeFileSync(join(folder, 'postgres.password'), `${PASSWORD}\n`, { mode: 0o600 });
  const lines = [
    'grid: orders',
    `listen: ${host.name}:7411`,
    `tls: { ca: ca.pem, cert: ${host.name}.pem, key: ${host.name}-key.pem, crl: crl.pem }`,
    'metrics: 127.0.0.1:9411',
    ...more,
    'state: /var/lib/stillpoint',
    `repository: ${repository}`,
    'members:',
    ...clusters.flatMap(({ member, cluster, port, supervision }) => [
      `  - name: ${member}`,
      `    role: node`,
      `    copyset: ${member}`,
      `    engine: postgres`,
      `    address: ${host.name}:${port}`,
      `    data: /var/lib/postgresql/15/${cluster}`,
      `    also: [/etc/postgresql/15/${cluster}]`,
      `    connection: postgresql://stillpoint@${host.name}:${port}/postgres`,
      `    passwordFile: /etc/stillpoint/postgres.password`,
      `    ${supervision}`,
    ]),
  ];
  writeFileSync(join(folder, 'agent.yaml'), `${lines.join('\n')}\n`);
  host.shell('systemctl enable --quiet --now stillpoint-agent && systemctl is-active stillpoint-agent');
}

/** On the host where commands are given: CA, certificates for all, and the grid file of these hosts. */
export function makeCertificates(operator: BootedHost, hosts: readonly BootedHost[]): void {
  operator.shell('stillpoint pki init pki --for orders');
  operator.shell(`stillpoint pki issue pki ${hosts.map(({ name }) => name).join(' ')}`);
}

export function writeGridFile(
  operator: BootedHost,
  file: string,
  hosts: readonly BootedHost[],
  members: readonly string[],
  { issued = USUAL.issued, repository = USUAL.repository, leaseSeconds = 10 } = {},
): void {
  const files = ['ca.pem', 'coordinator.pem', 'coordinator-key.pem', 'crl.pem'].map(
    (name) => `${issued}/${name}`,
  );
  const [ca, cert, key, crl] = files;
  const lines = [
    'grid: orders',
    `agents: [${hosts.map(({ name }) => `${name}:7411`).join(', ')}]`,
    `repository: ${repository}`,
    `tls: { ca: ${ca}, cert: ${cert}, key: ${key}, crl: ${crl} }`,
    `copysets: [${members.join(', ')}]`,
    `leaseSeconds: ${leaseSeconds}`,
  ];
  writeFileSync(operator.path(`/root/${file}`), `${lines.join('\n')}\n`);
}

/** As clients on the machine reach it. */
export function urlOf({ host, port }: ClusterOnHost): string {
  return `postgresql://app:${encodeURIComponent(PASSWORD)}@${host.address}:${port}/postgres`;
}

export function shardsOf(clusters: readonly ClusterOnHost[]): Shard[] {
  return postgresShards(clusters.map(urlOf));
}

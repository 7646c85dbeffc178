import { readFile, realpath, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { dirname, join } from 'node:path';
import type { Discovery, FoundMember, HostToLookAt } from '../../discovery.ts';
import { unitOf } from '../../host-processes.ts';
import { userOf } from '../../restore/run-as.ts';
import { readControlFile } from '../restore/control-file.ts';
import { listedClusters, runningServers, type ListedCluster, type RunningServer } from './clusters.ts';
import { isThere } from '../../../../shared/runtime/is-there.ts';
import { beforePort } from '../../../address.ts';
import { NEWEST_VERSION, OLDEST_VERSION } from '../server/server-facts.ts';

/** A server of this host, however it was found. */
interface Server {
  readonly data: string;
  readonly port: number;
  readonly listed: ListedCluster | null;
  readonly running: RunningServer | null;
}

/** The PostgreSQL servers of this host: those that run, whoever started them, and those of Debian's list that do not. */
export async function discoverPostgres(host: HostToLookAt): Promise<Discovery> {
  const { here, elsewhere } = await runningServers();
  const listed = await listedClusters();
  const notes = elsewhere.map(
    (pid) => `process ${pid} is a PostgreSQL server in a container: the agent of that server belongs there`,
  );
  const servers = await merged(listed ?? [], here);
  const looked = await Promise.all(
    servers.map(async (server) => {
      const why = await whyNone(server);
      if (why !== null) notes.push(`${server.data} is no member: ${why}`);
      return why === null ? [server] : [];
    }),
  );
  const usable = looked.flat();
  const members: FoundMember[] = [];
  for (const server of usable) members.push(await memberOf(server, usable, host));
  return { members, notes };
}

async function merged(
  listed: readonly ListedCluster[],
  running: readonly RunningServer[],
): Promise<Server[]> {
  const byPlace = new Map<string, Server>();
  for (const cluster of listed) {
    const place = await realpath(cluster.data).catch(() => cluster.data);
    byPlace.set(place, { data: place, port: cluster.port, listed: cluster, running: null });
  }
  for (const server of running) {
    const place = await realpath(server.data);
    byPlace.set(place, {
      data: place,
      port: server.port,
      listed: byPlace.get(place)?.listed ?? null,
      running: server,
    });
  }
  return [...byPlace.values()].sort((a, b) => a.port - b.port);
}

/** Why a server cannot be a member; null where it can. */
async function whyNone({ data }: Server): Promise<string | null> {
  const version = Number((await readFile(join(data, 'PG_VERSION'), 'utf8').catch(() => '')).trim());
  if (!(version > 0)) return 'it cannot be read; run stillpoint-agent init as root';
  if (version < OLDEST_VERSION || version > NEWEST_VERSION)
    return `it is of PostgreSQL ${version}, and stillpoint knows ${OLDEST_VERSION} to ${NEWEST_VERSION}`;
  return readControlFile(data).then(
    () => null,
    (error: Error) => error.message,
  );
}

async function memberOf(server: Server, all: readonly Server[], host: HostToLookAt): Promise<FoundMember> {
  const { data, port, running } = server;
  const name = nameOf(server, all, host.host);
  const { systemIdentifier } = await readControlFile(data);
  const { uid, gid } = await stat(data);
  const owner = (await userOf({ uid, gid })).name ?? String(uid);
  const isStandby = await isThere(join(data, 'standby.signal'));
  const supervision = await supervisionOf(server);
  const also = await foldersOutside(server, uid);
  const passwordFile = isStandby && all.length > 1 ? `${name}.password` : 'postgres.password';
  return {
    keys: {
      name,
      role: 'node',
      copyset: `system-${systemIdentifier}`,
      engine: 'postgres',
      address: `${beforePort(host.host)}:${port}`,
      data,
      connection: connectionTo(running, port),
      passwordFile: join(host.folder, passwordFile),
      ...(also.length > 0 && { also }),
      owner,
      ...supervision.keys,
    },
    remarks: {
      name: 'what it is called in checkpoints; no other member of the grid may be called so',
      copyset:
        'by the system identifier, which a primary shares with its standbys; any name will do that they share',
      ...(isStandby && {
        passwordFile: "a standby: the password is its primary's; copy the file from that host",
      }),
      ...supervision.remarks,
    },
    grid: null,
    doubt: running === null ? 'it does not run. If it is a member, start it, and take the # away' : null,
  };
}

/** After the host and the cluster; more of it only where that is not one server's alone. */
function nameOf(server: Server, all: readonly Server[], host: string): string {
  const short = isIP(host) === 0 ? (host.split('.')[0] ?? host) : host;
  const called = ({ listed, port }: Server): string => listed?.name ?? String(port);
  const isAlone = all.filter((other) => called(other) === called(server)).length === 1;
  const version = isAlone ? '' : `${server.listed?.version ?? ''}-`;
  return `${short}-${version}${called(server)}`.replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(0, 64);
}

/** On this host, by the address at which the server says that it listens. */
export function connectionTo(
  running: Pick<RunningServer, 'listen' | 'socketFolder'> | null,
  port: number,
): string {
  const listen = running?.listen ?? 'localhost';
  const everywhere = ['*', 'localhost', '0.0.0.0'].includes(listen);
  const own = listen === '::' ? '::1' : listen;
  const host = listen === '' ? encodeURIComponent(running?.socketFolder ?? '') : beforePort(own);
  return `postgresql://stillpoint@${everywhere ? '127.0.0.1' : host}:${port}/postgres`;
}

/** What starts and stops it. */
async function supervisionOf({
  listed,
  running,
}: Server): Promise<{ keys: Record<string, unknown>; remarks: Record<string, string> }> {
  const bySystemd = await isThere('/run/systemd/system');
  const debian = listed === null ? null : `${listed.version}-${listed.name}`;
  if (running === null) {
    if (bySystemd && debian !== null) return { keys: { unit: `postgresql@${debian}` }, remarks: {} };
    return { keys: debian === null ? {} : { run: debianRun(listed) }, remarks: {} };
  }
  const { unit, why } = await unitOf(running.pid);
  if (unit !== null) return { keys: { unit }, remarks: {} };
  if (!bySystemd && listed !== null) return { keys: { run: debianRun(listed) }, remarks: {} };
  return {
    keys: { binaries: running.binaries },
    remarks: { binaries: `no unit: ${why}; a restore starts it by pg_ctl` },
  };
}

function debianRun(cluster: ListedCluster | null): Record<string, unknown> {
  const command = (verb: string): string[] => [
    'pg_ctlcluster',
    cluster?.version ?? '',
    cluster?.name ?? '',
    verb,
  ];
  return { start: command('start'), stop: command('stop'), user: 'postgres' };
}

/** Folders with the server's configuration outside of its data: of Debian's tools, or of the server's own user. */
async function foldersOutside({ data, listed, running }: Server, uid: number): Promise<string[]> {
  const folders = new Set<string>();
  if (listed !== null) folders.add(`/etc/postgresql/${listed.version}/${listed.name}`);
  else if (running !== null && running.configurationFile !== null)
    folders.add(dirname(running.configurationFile));
  const own: string[] = [];
  for (const folder of folders) {
    const found = await stat(folder).catch(() => null);
    if (found?.isDirectory() === true && found.uid === uid && !`${folder}/`.startsWith(`${data}/`))
      own.push(folder);
  }
  return own;
}

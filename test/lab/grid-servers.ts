import { spawnSync } from 'node:child_process';
import { chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GridOptions, TestGrid, TestHost, TestMember } from './grid.ts';
import { backupCalls, documentedRole } from './postgres-role.ts';
import { postgresServer, type PostgresServer, serverUser } from './postgres.ts';

/** What a standby may be behind without losing its primary: small journal files would go sooner than usual ones. */
const SLACK = ['wal_keep_size = 32MB'];

export async function makeMember(
  options: GridOptions,
  copyset: string,
  host: number,
  index: number,
  hosts: readonly TestHost[],
): Promise<TestMember> {
  const place = hosts[host] ?? missing(host);
  const name = `${copyset}${'abcdefgh'[index] ?? index}`;
  const data = join(place.folder, name, 'data');
  mkdirSync(join(place.folder, name), { recursive: true, mode: 0o755 });
  if (serverUser !== null) chownSync(join(place.folder, name), serverUser.uid, serverUser.gid);
  const walSegmentMb = options.walSegmentMb ?? 1;
  const server = await postgresServer({
    data,
    host: place.address,
    ...(options.version !== undefined && { version: options.version }),
    settings: [...(walSegmentMb === 1 ? SLACK : []), ...(options.settings ?? [])],
    ...(options.hba !== undefined && { hba: options.hba }),
    walSegmentMb,
    templates: options.templates ?? false,
    // A standby is a copy of its primary, made when that runs.
    existing: options.empty === true || index > 0,
  });
  return { name, copyset, host, standby: index > 0, server };
}

export async function startServers(grid: TestGrid, options: GridOptions): Promise<void> {
  for (const { server, copyset } of grid.primaries) {
    await server.start();
    if (options.superuser !== true) await server.query(documentedRole(server.version));
    for (const { server: standby, name } of grid.members.filter(
      (one) => one.standby && one.copyset === copyset,
    )) {
      await makeStandby(server, standby, name);
    }
  }
}

/** A cold copy of the running primary, made while it is told of it, started as a hot standby. */
async function makeStandby(primary: PostgresServer, standby: PostgresServer, name: string): Promise<void> {
  const client = await primary.connect();
  try {
    const [start, stop] = backupCalls(primary.version);
    await client.query(`SELECT ${start}`);
    const copied = spawnSync('cp', ['-a', primary.data, standby.data], { encoding: 'utf8' });
    if (copied.status !== 0) throw new Error(copied.stderr);
    const { rows } = await client.query<{ labelfile: string }>(`SELECT labelfile FROM ${stop}`);
    rmSync(join(standby.data, 'postmaster.pid'), { force: true });
    writeFileSync(join(standby.data, 'backup_label'), rows[0]?.labelfile ?? '');
  } finally {
    await client.end();
  }
  standby.configure([
    `port = ${standby.port}`,
    `listen_addresses = '${standby.host}'`,
    `primary_conninfo = 'host=${primary.host} port=${primary.port} user=postgres application_name=${name}'`,
  ]);
  writeFileSync(join(standby.data, 'standby.signal'), '');
  if (serverUser !== null) {
    for (const file of ['backup_label', 'standby.signal'])
      chownSync(join(standby.data, file), serverUser.uid, serverUser.gid);
  }
  await standby.start();
}

export function missing(host: number): never {
  throw new Error(`there is no host ${host}`);
}

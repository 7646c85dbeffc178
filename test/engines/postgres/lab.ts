import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Engine } from '../../../agent/engines/engine.ts';
import { createPostgresEngine } from '../../../agent/engines/postgres/postgres-engine.ts';
import type { PostgresSettings } from '../../../agent/engines/postgres/settings.ts';
import { documentedRole } from '../../lab/postgres-role.ts';
import { postgresServer, type PostgresServer, type PostgresVersion } from '../../lab/postgres.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

/**
 * Those that every test of the engine runs with. STILLPOINT_POSTGRES_VERSIONS=14,16,17 runs them with others; what is
 * cheap runs with all of them always (test/e2e/postgres-versions.test.ts).
 */
export const versions: readonly PostgresVersion[] = (
  process.env['STILLPOINT_POSTGRES_VERSIONS']?.split(',') ?? ['15', '18']
).map((version) => version as PostgresVersion);

/** What is long, and differs little between them, runs with the newest of them. */
export const newest: readonly PostgresVersion[] = versions.slice(-1);

export function settingsFor(
  server: Pick<PostgresServer, 'data' | 'host' | 'port' | 'binaries'>,
  change: Partial<PostgresSettings> = {},
): PostgresSettings {
  return {
    name: 'orders-1a',
    role: 'node',
    copyset: 'orders-1',
    engine: 'postgres',
    address: `${server.host}:${server.port}`,
    data: server.data,
    also: [],
    connection: `postgresql://stillpoint@${server.host}:${server.port}/postgres`,
    binaries: server.binaries,
    copy: { checkpoint: 'fast', mostJournal: 16 * 1024 ** 3, damagedPages: 'refuse' },
    pendingSettings: 'refuse',
    fence: 'set',
    tablespaces: {},
    withoutReads: [],
    ...change,
  };
}

/** One running server with the documented role, and an engine for it. */
export interface PostgresLab {
  readonly server: PostgresServer;
  readonly folder: string;
  readonly settings: PostgresSettings;
  readonly engine: Engine;
  remove(): void;
}

export async function postgresLab(
  version: PostgresVersion,
  options: {
    settings?: readonly string[];
    hba?: readonly string[];
    /** For a test that creates databases. Without, every copy of the server is two thirds smaller. */
    templates?: boolean;
    walSegmentMb?: 1 | 16;
  } = {},
): Promise<PostgresLab> {
  const folder = temporaryFolder(`engine-${version}`);
  const data = join(folder.path, 'data');
  const server = await postgresServer({
    version,
    data,
    host: '127.0.0.1',
    settings: ['fsync = off', 'max_prepared_transactions = 10', ...(options.settings ?? [])],
    ...(options.hba !== undefined && { hba: options.hba }),
    walSegmentMb: options.walSegmentMb ?? 1,
    templates: options.templates ?? false,
  });
  await server.start();
  await server.query(documentedRole(version));
  await server.query('CREATE TABLE entry (id bigint PRIMARY KEY, note text)');
  const settings = settingsFor(server);
  return {
    server,
    folder: folder.path,
    settings,
    engine: createPostgresEngine(settings),
    remove() {
      server.stop('immediate');
      folder.remove();
    },
  };
}

/** Asks until the answer is yes; a question may be a query. */
export async function until(
  what: string,
  isTrue: () => Promise<boolean> | boolean,
  timeoutMs = 10_000,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await isTrue())) {
    if (performance.now() > end) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A commit waits for the word of a standby; the agent's own may wait beside it. */
export function untilCommitsWait(server: PostgresServer): Promise<void> {
  return until('a commit to wait', async () => {
    const rows = await server.query("SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    return rows.length > 0;
  });
}

/** What a checkpoint must leave as it found it. */
export async function footprint(server: PostgresServer): Promise<{
  names: string;
  inFile: string[];
  slots: string[];
  connections: string[];
}> {
  const [row] = await server.query<{ names: string; slots: string[]; connections: string[] }>(
    `SELECT current_setting('synchronous_standby_names') AS names,
            ARRAY(SELECT slot_name::text FROM pg_replication_slots ORDER BY 1) AS slots,
            ARRAY(SELECT application_name FROM pg_stat_activity WHERE usename = 'stillpoint' ORDER BY 1) AS connections`,
  );
  if (row === undefined) throw new Error('no answer');
  return { ...row, inFile: autoConf(server) };
}

/** The same when no session of ours is left: those of the work before may end a moment after it. */
export async function footprintAtRest(server: PostgresServer): ReturnType<typeof footprint> {
  await until('our connections to be gone', async () => {
    const { connections, slots } = await footprint(server);
    return connections.length === 0 && slots.length === 0;
  });
  return footprint(server);
}

/** The lines of postgresql.auto.conf that set something. */
function autoConf(server: PostgresServer): string[] {
  return readFileSync(join(server.data, 'postgresql.auto.conf'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
}

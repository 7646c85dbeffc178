import { DatabaseError, type Client } from 'pg';
import type { Failure } from '../../../../shared/domain/errors.ts';

const QUERY_CANCELED = '57014';

/** Major versions that are supported; docs/engines/postgres.md says which are tested how. */
export const OLDEST_VERSION = 14;
export const NEWEST_VERSION = 18;

/** What is asked of a server when it is described or prepared: one statement, no lock. */
export interface ServerFacts {
  readonly serverVersion: number;
  readonly version: string;
  readonly inRecovery: boolean;
  readonly startedAt: string;
  readonly systemIdentifier: string;
  readonly walSegmentSizeBytes: number;
  readonly walLevel: string;
  readonly standbyNames: string;
  readonly standbyNamesSource: string;
  /** The file that sets it; null where the role may not see it, or none does. */
  readonly standbyNamesFile: string | null;
  /** From PostgreSQL 17 on it may be off: then nobody changes a setting with ALTER SYSTEM. */
  readonly allowsAlterSystem: boolean;
  readonly port: number;
  readonly listenAddresses: string;
  readonly archiving: boolean;
  readonly maxPrepared: number;
  readonly outsideFiles: readonly string[];
}

const STATEMENT = `
  select current_setting('server_version_num')::int as "serverVersion",
         split_part(current_setting('server_version'), ' ', 1) as version,
         pg_is_in_recovery() as "inRecovery",
         to_char(pg_postmaster_start_time() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as "startedAt",
         (select system_identifier::text from pg_control_system()) as "systemIdentifier",
         (select setting::bigint::int from pg_settings where name = 'wal_segment_size') as "walSegmentSizeBytes",
         current_setting('wal_level') as "walLevel",
         current_setting('synchronous_standby_names') as "standbyNames",
         (select source from pg_settings where name = 'synchronous_standby_names') as "standbyNamesSource",
         (select sourcefile from pg_settings where name = 'synchronous_standby_names') as "standbyNamesFile",
         coalesce(current_setting('allow_alter_system', true), 'on') = 'on' as "allowsAlterSystem",
         current_setting('port')::int as port,
         current_setting('listen_addresses') as "listenAddresses",
         current_setting('archive_mode') <> 'off' as archiving,
         current_setting('max_prepared_transactions')::int as "maxPrepared",
         array(select setting from pg_settings
                where name in ('config_file', 'hba_file', 'ident_file') and setting is not null
                  and setting not like current_setting('data_directory', true) || '/%') as "outsideFiles"`;

export async function readServerFacts(client: Client): Promise<ServerFacts> {
  const { rows } = await client.query<ServerFacts>(STATEMENT);
  const [row] = rows;
  if (row === undefined) throw new Error('the server said nothing of itself');
  return row;
}

/** What is said of a server that is older or newer than those that are supported; null of one that is. */
export function versionProblem(
  member: string,
  { serverVersion, version }: Pick<ServerFacts, 'serverVersion' | 'version'>,
): Failure | null {
  const major = Math.floor(serverVersion / 10_000);
  if (major >= OLDEST_VERSION && major <= NEWEST_VERSION) return null;
  return {
    code: 'postgres-version',
    message: `${member}: PostgreSQL ${version} is not supported: no checkpoint can be taken of it`,
    hint: `upgrade the server (pg_upgrade) to one of ${OLDEST_VERSION} to ${NEWEST_VERSION}, or take the member out of the agent file`,
  };
}

/** `server_version_num`. */
export async function readServerVersion(client: Client): Promise<number> {
  const { rows } = await client.query<{ version: number }>(
    "SELECT current_setting('server_version_num')::int AS version",
  );
  return rows[0]?.version ?? 0;
}

/**
 * The size of all databases, 0 where it is not known in this time: the server asks its file system for every file
 * of them, and with a million files and cold caches that takes minutes. Nobody waits for it but who wants an estimate.
 */
export async function readSizeBytes(client: Client, limitMs: number): Promise<number> {
  await client.query(`SET statement_timeout = ${limitMs}`);
  try {
    const { rows } = await client.query<{ size: string }>(
      `SELECT coalesce(sum(pg_database_size(oid)), 0)::text AS size FROM pg_database
        WHERE has_database_privilege(oid, 'connect') OR pg_has_role('pg_read_all_stats', 'member')`,
    );
    return Number(rows[0]?.size ?? 0);
  } catch (error) {
    if (error instanceof DatabaseError && error.code === QUERY_CANCELED) return 0;
    throw error;
  } finally {
    // No session of ours has a limit of its owner's, which a reset would bring back.
    await client.query('SET statement_timeout = 0');
  }
}

/** Changes with every start of the server, and is of this very copy of the data. */
export function incarnationOf(facts: Pick<ServerFacts, 'startedAt' | 'systemIdentifier'>): string {
  return `${facts.systemIdentifier}@${facts.startedAt}`;
}

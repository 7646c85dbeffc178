import { escapeIdentifier, type Client } from 'pg';
import type { Failure } from '../../../../shared/domain/errors.ts';
import type { PostgresSettings } from '../settings.ts';
import { readServerVersion } from '../server/server-facts.ts';

// All that the agent's role needs stands here: what is tested, what doctor says of it, what `stillpoint-agent init` does,
// and what docs/engines/postgres.md tells a superuser to run.

const SINCE_15 = 150_000;
const ROLES = ['pg_read_all_stats', 'pg_read_all_settings'];
const FUNCTIONS = [
  'pg_reload_conf()',
  'pg_create_restore_point(text)',
  'pg_switch_wal()',
  'pg_wal_replay_pause()',
  'pg_wal_replay_resume()',
  'pg_show_all_file_settings()',
  'pg_hba_file_rules()',
  'pg_ident_file_mappings()',
];
const VIEWS = ['pg_file_settings', 'pg_hba_file_rules', 'pg_ident_file_mappings'];

/** A role of the server's own. */
const CHECKPOINT = 'pg_checkpoint';
const ALTER_SYSTEM = 'GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO %s';

interface Privilege {
  readonly name: string;
  readonly test: string;
  readonly grant: string;
  /** Versions that know it; `server_version_num`. */
  readonly since?: number;
  readonly before?: number;
  /** Needed for this kind of fence only. */
  readonly ofFence?: PostgresSettings['fence'];
}

/** What a quiesce needs besides: it has the server write what is dirty in its buffers. */
const FOR_QUIESCE: readonly Privilege[] = [
  {
    name: CHECKPOINT,
    test: `pg_has_role('${CHECKPOINT}', 'usage')`,
    grant: `GRANT ${CHECKPOINT} TO %s`,
    since: SINCE_15,
  },
  {
    name: 'SUPERUSER, without which PostgreSQL 14 lets nobody use CHECKPOINT',
    test: '(SELECT rolsuper FROM pg_roles WHERE rolname = current_user)',
    grant: 'ALTER ROLE %s SUPERUSER',
    before: SINCE_15,
  },
];

/** Every privilege that a checkpoint uses, each with the statement that grants it. */
const PRIVILEGES: readonly Privilege[] = [
  {
    name: 'REPLICATION',
    test: '(SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user)',
    grant: 'ALTER ROLE %s REPLICATION',
  },
  {
    name: 'ALTER SYSTEM on synchronous_standby_names',
    test: "has_parameter_privilege('synchronous_standby_names', 'alter system')",
    grant: ALTER_SYSTEM,
    since: SINCE_15,
    ofFence: 'set',
  },
  {
    name: 'SUPERUSER, without which PostgreSQL 14 lets nobody use ALTER SYSTEM',
    test: '(SELECT rolsuper FROM pg_roles WHERE rolname = current_user)',
    grant: 'ALTER ROLE %s SUPERUSER',
    before: SINCE_15,
    ofFence: 'set',
  },
  ...ROLES.map((role) => ({
    name: role,
    test: `pg_has_role('${role}', 'usage')`,
    grant: `GRANT ${role} TO %s`,
  })),
  ...FUNCTIONS.map((name) => ({
    name: `EXECUTE on ${name}`,
    test: `has_function_privilege('${name}', 'execute')`,
    grant: `GRANT EXECUTE ON FUNCTION ${name} TO %s`,
    ...sinceOf(name),
  })),
  ...VIEWS.map((name) => ({
    name: `SELECT on ${name}`,
    test: `has_table_privilege('pg_catalog.${name}', 'select')`,
    grant: `GRANT SELECT ON ${name} TO %s`,
    ...sinceOf(name),
  })),
];

function sinceOf(name: string): Pick<Privilege, 'since'> {
  return name.startsWith('pg_ident_file_mappings') ? { since: SINCE_15 } : {};
}

/** As a name stands in SQL and in pg_hba.conf alike: quoted where it must be. */
export function roleName(role: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(role) ? role : escapeIdentifier(role);
}

/**
 * What a superuser runs on a primary, in the database that the agent connects to: such grants are of one database.
 * `exists`: the role is there, and keeps its password. `serverVersion`: `server_version_num`; an older server does not
 * know all of it, and makes no role a superuser by this.
 */
export function roleStatements(
  role: string,
  { exists, serverVersion = SINCE_15 }: { exists: boolean; serverVersion?: number },
): string[] {
  const name = roleName(role);
  const isKnown = (one: string): boolean => (sinceOf(one).since ?? 0) <= serverVersion;
  const [first, second] = [FUNCTIONS.slice(0, 5), FUNCTIONS.slice(5).filter(isKnown)];
  return [
    `${exists ? 'ALTER' : 'CREATE'} ROLE ${name} LOGIN REPLICATION;`,
    ...(serverVersion >= SINCE_15 ? [`${ALTER_SYSTEM.replace('%s', name)};`] : []),
    `GRANT ${[...ROLES, ...(serverVersion >= SINCE_15 ? [CHECKPOINT] : [])].join(', ')} TO ${name};`,
    `GRANT EXECUTE ON FUNCTION ${first.join(', ')} TO ${name};`,
    `GRANT EXECUTE ON FUNCTION ${second.join(', ')} TO ${name};`,
    `GRANT SELECT ON ${VIEWS.filter(isKnown).join(', ')} TO ${name};`,
    '-- From PostgreSQL 16 on; it helps where reserved_connections is more than 0:',
    'DO $$ BEGIN',
    "  IF current_setting('server_version_num')::int >= 160000 THEN",
    `    GRANT pg_use_reserved_connections TO ${name};`,
    '  END IF;',
    'END $$;',
  ];
}

/** What the role lacks, each with the very statement that a superuser must run. Needs PostgreSQL 14. */
export async function missingPrivileges(
  client: Client,
  fence: PostgresSettings['fence'],
): Promise<Failure[]> {
  const needed = PRIVILEGES.filter(({ ofFence = fence }) => ofFence === fence);
  return missing(client, needed, 'no checkpoint can be taken');
}

/** The same, of what no checkpoint needs and every quiesce does. */
export function missingForQuiesce(client: Client): Promise<Failure[]> {
  return missing(client, FOR_QUIESCE, 'checkpoints can be taken, and it cannot be quiesced');
}

/** What `roleStatements` would give of it: PostgreSQL 14 lets nobody but a superuser do it. */
export async function grantableForQuiesce(client: Client): Promise<Failure[]> {
  return (await readServerVersion(client)) < SINCE_15 ? [] : missingForQuiesce(client);
}

async function missing(
  client: Client,
  privileges: readonly Privilege[],
  consequence: string,
): Promise<Failure[]> {
  const serverVersion = await readServerVersion(client);
  const known = privileges.filter(
    ({ since = 0, before = Infinity }) => since <= serverVersion && serverVersion < before,
  );
  const { rows } = await client.query<{ role: string; database: string; held: boolean[] }>(
    `SELECT quote_ident(current_user) AS role, current_database() AS database,
            ARRAY[${known.map(({ test }) => test).join(', ')}] AS held`,
  );
  const [row] = rows;
  return known.flatMap(({ name, grant }, index): Failure[] => {
    if (row?.held[index] === true) return [];
    const role = row?.role ?? 'stillpoint';
    return [
      {
        code: 'postgres-privilege',
        message: `role ${role} lacks ${name}: ${consequence}`,
        hint: `as superuser, on the primary, in database ${row?.database ?? 'postgres'}: ${grant.replace('%s', role)};`,
      },
    ];
  });
}

import { escapeIdentifier, type Client } from 'pg';
import type { Failure } from '../../../../shared/domain/errors.ts';

// All that the agent's role needs stands here: what is tested, what doctor says of it, what `stillpoint-agent init` does,
// and what docs/engines/postgres.md tells a superuser to run.

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

const ALTER_SYSTEM = 'GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO %s';

/** Every privilege that a checkpoint uses, each with the statement that grants it. */
const PRIVILEGES: readonly { readonly name: string; readonly test: string; readonly grant: string }[] = [
  {
    name: 'REPLICATION',
    test: '(SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user)',
    grant: 'ALTER ROLE %s REPLICATION',
  },
  {
    name: 'ALTER SYSTEM on synchronous_standby_names',
    test: "has_parameter_privilege('synchronous_standby_names', 'alter system')",
    grant: ALTER_SYSTEM,
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
  })),
  ...VIEWS.map((name) => ({
    name: `SELECT on ${name}`,
    test: `has_table_privilege('pg_catalog.${name}', 'select')`,
    grant: `GRANT SELECT ON ${name} TO %s`,
  })),
];

/** As a name stands in SQL and in pg_hba.conf alike: quoted where it must be. */
export function roleName(role: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(role) ? role : escapeIdentifier(role);
}

/**
 * What a superuser runs on a primary, in the database that the agent connects to: such grants are of one database.
 * `exists`: the role is there, and keeps its password.
 */
export function roleStatements(role: string, { exists }: { exists: boolean }): string[] {
  const name = roleName(role);
  return [
    `${exists ? 'ALTER' : 'CREATE'} ROLE ${name} LOGIN REPLICATION;`,
    `${ALTER_SYSTEM.replace('%s', name)};`,
    `GRANT ${ROLES.join(', ')} TO ${name};`,
    `GRANT EXECUTE ON FUNCTION ${FUNCTIONS.slice(0, 5).join(', ')} TO ${name};`,
    `GRANT EXECUTE ON FUNCTION ${FUNCTIONS.slice(5).join(', ')} TO ${name};`,
    `GRANT SELECT ON ${VIEWS.join(', ')} TO ${name};`,
    '-- From PostgreSQL 16 on; it helps where reserved_connections is more than 0:',
    'DO $$ BEGIN',
    "  IF current_setting('server_version_num')::int >= 160000 THEN",
    `    GRANT pg_use_reserved_connections TO ${name};`,
    '  END IF;',
    'END $$;',
  ];
}

/** What the role lacks, each with the very statement that a superuser must run. Needs PostgreSQL 15. */
export async function missingPrivileges(client: Client): Promise<Failure[]> {
  const list = PRIVILEGES.map(({ test }) => test).join(', ');
  const { rows } = await client.query<{ role: string; database: string; held: boolean[] }>(
    `SELECT quote_ident(current_user) AS role, current_database() AS database, ARRAY[${list}] AS held`,
  );
  const [row] = rows;
  return PRIVILEGES.flatMap(({ name, grant }, index): Failure[] => {
    if (row?.held[index] === true) return [];
    const role = row?.role ?? 'stillpoint';
    return [
      {
        code: 'postgres-privilege',
        message: `role ${role} lacks ${name}: no checkpoint can be taken`,
        hint: `as superuser, on the primary, in database ${row?.database ?? 'postgres'}: ${grant.replace('%s', role)};`,
      },
    ];
  });
}

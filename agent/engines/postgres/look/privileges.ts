import type { Client } from 'pg';
import type { Failure } from '../../../../shared/domain/errors.ts';

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
    grant: 'GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO %s',
  },
  ...['pg_read_all_stats', 'pg_read_all_settings'].map((role) => ({
    name: role,
    test: `pg_has_role('${role}', 'usage')`,
    grant: `GRANT ${role} TO %s`,
  })),
  ...[
    'pg_reload_conf()',
    'pg_create_restore_point(text)',
    'pg_switch_wal()',
    'pg_wal_replay_pause()',
    'pg_wal_replay_resume()',
    'pg_show_all_file_settings()',
    'pg_hba_file_rules()',
    'pg_ident_file_mappings()',
  ].map((name) => ({
    name: `EXECUTE on ${name}`,
    test: `has_function_privilege('${name}', 'execute')`,
    grant: `GRANT EXECUTE ON FUNCTION ${name} TO %s`,
  })),
  ...['pg_file_settings', 'pg_hba_file_rules', 'pg_ident_file_mappings'].map((name) => ({
    name: `SELECT on ${name}`,
    test: `has_table_privilege('pg_catalog.${name}', 'select')`,
    grant: `GRANT SELECT ON ${name} TO %s`,
  })),
];

/** What the role lacks, each with the very statement that a superuser must run. Needs PostgreSQL 15. */
export async function missingPrivileges(client: Client): Promise<Failure[]> {
  const list = PRIVILEGES.map(({ test }) => test).join(', ');
  const { rows } = await client.query<{ role: string; held: boolean[] }>(
    `SELECT quote_ident(current_user) AS role, ARRAY[${list}] AS held`,
  );
  const [row] = rows;
  return PRIVILEGES.flatMap(({ name, grant }, index): Failure[] => {
    if (row?.held[index] === true) return [];
    const role = row?.role ?? 'stillpoint';
    return [
      {
        code: 'postgres-privilege',
        message: `role ${role} lacks ${name}`,
        hint: `as superuser, on the primary, in the database of 'connection': ${grant.replace('%s', role)};`,
      },
    ];
  });
}

import { access, constants, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Client } from 'pg';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { Finding } from '../engine.ts';
import { connect } from './connection.ts';
import type { PostgresSettings } from './settings.ts';

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
  ...['pg_read_all_stats', 'pg_read_all_settings', 'pg_checkpoint'].map((role) => ({
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
  ].map((name) => ({
    name: `EXECUTE on ${name}`,
    test: `has_function_privilege('${name}', 'execute')`,
    grant: `GRANT EXECUTE ON FUNCTION ${name} TO %s`,
  })),
];

/** What `grid doctor` asks of a member beyond what preflight looks at. */
export async function diagnosePostgres(settings: PostgresSettings): Promise<Finding[]> {
  const findings: Finding[] = await diagnoseDirectories(settings);
  let client: Client;
  try {
    client = await connect(settings, { applicationName: 'stillpoint-look', queryTimeoutMs: 8000 });
  } catch (error) {
    if (!(error instanceof StillpointError)) throw error;
    return [...findings, { level: 'problem', failure: error.failure }];
  }
  try {
    return [...findings, ...(await diagnosePrivileges(client))];
  } finally {
    client.end().catch(() => undefined);
  }
}

async function diagnosePrivileges(client: Client): Promise<Finding[]> {
  const list = PRIVILEGES.map(({ test }) => test).join(', ');
  const { rows } = await client.query<{ role: string; held: boolean[] }>(
    `SELECT quote_ident(current_user) AS role, ARRAY[${list}] AS held`,
  );
  const [row] = rows;
  return PRIVILEGES.flatMap(({ name, grant }, index): Finding[] => {
    if (row?.held[index] === true) return [];
    const role = row?.role ?? 'stillpoint';
    const failure = {
      code: 'postgres-privilege',
      message: `role ${role} lacks ${name}`,
      hint: `as superuser, on the primary: ${grant.replace('%s', role)};`,
    };
    return [{ level: 'problem', failure }];
  });
}

/** A restore renames the data directory: its parent must be writable, and it must be no mount point. */
async function diagnoseDirectories({ data, name }: PostgresSettings): Promise<Finding[]> {
  const parent = dirname(data);
  try {
    await access(parent, constants.W_OK);
    const [inner, outer] = await Promise.all([stat(data), stat(parent)]);
    if (inner.dev === outer.dev) return [];
    const failure = {
      code: 'data-is-mount-point',
      message: `${data} of ${name} is a mount point: a restore could not rename it`,
      hint: 'put the data directory one level below the mount point',
    };
    return [{ level: 'problem', failure }];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const failure = {
      code: 'data-unreachable',
      message: `${data} of ${name} cannot be replaced by a restore (${code ?? String(error)})`,
      hint: 'let the agent run as root, or as a user that may write the parent of the data directory',
    };
    return [{ level: 'warning', failure }];
  }
}

import { readFileSync } from 'node:fs';
import { roleStatements } from '../../agent/engines/postgres/look/privileges.ts';
import type { PostgresVersion } from './postgres.ts';

/** The statements that docs/engines/postgres.md tells a superuser to run. */
export function documentedRole(version: PostgresVersion): string {
  if (version === '14')
    return [
      ...roleStatements('stillpoint', { exists: false, serverVersion: 140_000 }),
      'ALTER ROLE stillpoint SUPERUSER;',
    ].join('\n');
  const page = readFileSync(new URL('../../docs/engines/postgres.md', import.meta.url), 'utf8');
  const sql = /```sql\n([\s\S]*?)```/.exec(page)?.[1];
  if (sql === undefined) throw new Error('docs/engines/postgres.md has no sql block');
  return sql;
}

/** How a session says that a copy of the files begins and ends. */
export function backupCalls(version: PostgresVersion): readonly [start: string, stop: string] {
  return version === '14'
    ? ["pg_start_backup('copy', true, false)", 'pg_stop_backup(false, false)']
    : ["pg_backup_start('copy', true)", 'pg_backup_stop(false)'];
}

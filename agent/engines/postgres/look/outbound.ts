import type { Client } from 'pg';
import type { Warning } from '../../../../shared/domain/warning.ts';
import { connect, databaseUrl, type ConnectionSettings } from '../server/connection.ts';
import { collationsOf, type UsedCollation } from './collations.ts';
import { leadsOf, type Outbound } from './leads.ts';

// Data may name other servers: a foreign server, a worker of Citus, a job of pg_cron. A copy of it names the same ones,
// so a restored shard would write into the grid that it was copied from, and nobody would be told.

/** Databases that are looked at in a checkpoint, and for how long; a restore looks at all of them. */
const MOST_DATABASES = 100;
const LOOK_MS = 10_000;

/** Of every database that the agent may enter, as long as it does not take too long. */
export async function lookIntoDatabases(
  settings: ConnectionSettings,
  control: Client,
): Promise<{ outbound: Outbound[]; collations: UsedCollation[] }> {
  const { rows } = await control.query<{ name: string }>(
    `SELECT datname AS name FROM pg_database
      WHERE datallowconn AND NOT datistemplate AND has_database_privilege(oid, 'connect') ORDER BY oid`,
  );
  const outbound: Outbound[] = [];
  const collations: UsedCollation[] = [];
  const endAt = performance.now() + LOOK_MS;
  for (const { name } of rows.slice(0, MOST_DATABASES)) {
    const leftMs = endAt - performance.now();
    if (leftMs <= 0) break;
    let client: Client;
    try {
      client = await connect(
        { ...settings, connection: databaseUrl(settings.connection, name) },
        { applicationName: 'stillpoint-look', timeoutMs: leftMs, queryTimeoutMs: leftMs },
      );
    } catch {
      continue;
    }
    // What this role may not see, the restore sees; and what it may not see of one hides nothing of the other.
    const leads = await leadsOf(client, name).catch(() => []);
    for (const { edit: _, ...lead } of leads) outbound.push(lead);
    collations.push(...(await collationsOf(client, name).catch(() => [])));
    client.end().catch(() => undefined);
  }
  return { outbound, collations };
}

export function outboundWarnings(about: string, found: readonly Outbound[]): Warning[] {
  return found.map(({ database, kind, name, address, change }) => ({
    code: 'postgres-names-other',
    about,
    text: `in database ${database}: ${kind} ${name} leads to ${address}, as it did when the checkpoint was taken`,
    hint: `where a restore makes a copy, see to it before clients come in: ${change}`,
  }));
}

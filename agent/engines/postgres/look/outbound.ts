import { escapeIdentifier, type Client } from 'pg';
import type { Warning } from '../../../../shared/domain/warning.ts';
import { connect, databaseUrl, type ConnectionSettings } from '../server/connection.ts';
import { parseConninfo } from '../restore/auto-conf.ts';
import type { PostgresFacts } from '../copy/facts.ts';

// Data may name other servers: a foreign server, a worker of Citus, a job of pg_cron. A copy of it names the same ones,
// so a restored shard would write into the grid that it was copied from, and nobody would be told.

export type Outbound = PostgresFacts['outbound'][number];

/** Options of foreign servers that say where one is, whatever their wrapper calls it. Never a login. */
const PLACES = ['host', 'hostaddr', 'address', 'servername', 'server', 'dbserver', 'svr_host', 'url'];
/** Databases that are looked at in a checkpoint, and for how long; a restore looks at all of them. */
const MOST_DATABASES = 100;
const LOOK_MS = 10_000;
/** A host in a connection string inside a statement: quotes may be doubled, and are no part of it. */
const HOST = /\bhost(?:addr)?\s*=\s*'*([^\s';"]+)|\bpostgres(?:ql)?:\/\/(?:[^@/\s']*@)?([^/?\s']+)/g;

/** Of one database: what in its data leads to another server. The role sees what it may see. */
export async function outboundOf(client: Client, database: string): Promise<Outbound[]> {
  const found: Omit<Outbound, 'database'>[] = [
    ...(await foreignServers(client)),
    ...(await workersOfCitus(client)),
    ...(await jobs(client)),
    ...(await callers(client)),
  ];
  return found.map((one) => ({ database, ...one }));
}

/** Of every database that the agent may enter, as long as it does not take too long. */
export async function findOutbound(settings: ConnectionSettings, control: Client): Promise<Outbound[]> {
  const { rows } = await control.query<{ name: string }>(
    `SELECT datname AS name FROM pg_database
      WHERE datallowconn AND NOT datistemplate AND has_database_privilege(oid, 'connect') ORDER BY oid`,
  );
  const found: Outbound[] = [];
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
    try {
      found.push(...(await outboundOf(client, name)));
    } catch {
      // What this role may not see, the restore sees.
    } finally {
      client.end().catch(() => undefined);
    }
  }
  return found;
}

export function outboundWarnings(about: string, found: readonly Outbound[]): Warning[] {
  return found.map(({ database, kind, name, address, change }) => ({
    code: 'postgres-names-other',
    about,
    text: `in database ${database}: ${kind} ${name} leads to ${address}, as it did when the checkpoint was taken`,
    hint: `where a restore makes a copy, see to it before clients come in: ${change}`,
  }));
}

async function foreignServers(client: Client): Promise<Omit<Outbound, 'database'>[]> {
  const { rows } = await client.query<{
    name: string;
    wrapper: string;
    options: string[] | null;
    users: string[];
  }>(
    `SELECT s.srvname AS name, w.fdwname AS wrapper, s.srvoptions AS options,
            ARRAY(SELECT m.usename::text FROM pg_catalog.pg_user_mappings m WHERE m.srvid = s.oid ORDER BY 1) AS users
       FROM pg_catalog.pg_foreign_server s JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw ORDER BY 1`,
  );
  return rows.flatMap(({ name, wrapper, options, users }) => {
    const said = new Map((options ?? []).map((option) => splitAt(option, '=')));
    const [key] = PLACES.filter((place) => said.has(place));
    // Both wrappers of PostgreSQL reach the local server where no host is named.
    if (key === undefined && !['postgres_fdw', 'dblink_fdw'].includes(wrapper)) return [];
    const place = key === undefined ? 'the local server' : withoutLogin(said.get(key) ?? '');
    const port = said.get('port');
    const mapped = users.length === 0 ? '' : `, with user mappings for ${users.join(', ')}`;
    return [
      {
        kind: `foreign server (${wrapper})`,
        name,
        address: `${place}${port === undefined ? '' : `:${port}`}${mapped}`,
        change: `ALTER SERVER ${escapeIdentifier(name)} OPTIONS (${key === undefined ? 'ADD' : 'SET'} ${key ?? 'host'} '…')`,
      },
    ];
  });
}

async function workersOfCitus(client: Client): Promise<Omit<Outbound, 'database'>[]> {
  if (!(await mayRead(client, 'pg_catalog.pg_dist_node'))) return [];
  const { rows } = await client.query<{ id: string; name: string; port: string }>(
    'SELECT nodeid::text AS id, nodename::text AS name, nodeport::text AS port FROM pg_catalog.pg_dist_node ORDER BY nodeid',
  );
  return rows.map(({ id, name, port }) => ({
    kind: 'node of Citus',
    name: id,
    address: `${name}:${port}`,
    change: `SELECT citus_update_node(${id}, '…', …)`,
  }));
}

async function jobs(client: Client): Promise<Omit<Outbound, 'database'>[]> {
  if (!(await mayRead(client, 'cron.job'))) return [];
  const { rows } = await client.query<{ id: string; host: string; port: string; schedule: string }>(
    'SELECT jobid::text AS id, nodename::text AS host, nodeport::text AS port, schedule::text AS schedule FROM cron.job ORDER BY jobid',
  );
  return rows.map(({ id, host, port, schedule }) => ({
    kind: `job of pg_cron (${schedule})`,
    name: id,
    address: `${host}:${port}`,
    change: `SELECT cron.unschedule(${id}), or cron.alter_job`,
  }));
}

/** Functions and views that call dblink with a host of their own. What they put together as they run is not seen. */
async function callers(client: Client): Promise<Omit<Outbound, 'database'>[]> {
  const { rows } = await client.query<{ kind: string; name: string; text: string }>(
    `SELECT 'function' AS kind, p.oid::pg_catalog.regprocedure::text AS name,
            body.text
       FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang,
            LATERAL (SELECT coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) AS text) AS body
      WHERE l.lanname NOT IN ('c', 'internal') AND body.text ~ 'dblink'
     UNION ALL
     SELECT 'view', c.oid::pg_catalog.regclass::text, definition.text
       FROM pg_catalog.pg_class c, LATERAL (SELECT pg_catalog.pg_get_viewdef(c.oid) AS text) AS definition
      WHERE c.relkind IN ('v', 'm') AND definition.text ~ 'dblink'
        AND EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'dblink')
      ORDER BY 1, 2`,
  );
  return rows.flatMap(({ kind, name, text }) => {
    const hosts = [...text.matchAll(HOST)].map(([, host, place]) => host ?? place ?? '');
    if (hosts.length === 0) return [];
    const address = [...new Set(hosts)].join(', ');
    return [{ kind: `${kind} (dblink)`, name, address, change: `give ${kind} ${name} another host` }];
  });
}

async function mayRead(client: Client, table: string): Promise<boolean> {
  const { rows } = await client.query<{ may: boolean | null }>(
    `SELECT CASE WHEN has_schema_privilege(n.oid, 'usage') THEN has_table_privilege(c.oid, 'select') ELSE false END AS may
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname || '.' || c.relname = $1`,
    [table],
  );
  return rows[0]?.may === true;
}

function splitAt(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
}

/** A place may be a whole URL, and have a login in it. */
function withoutLogin(place: string): string {
  if (place.includes('=')) return parseConninfo(place).get('host') ?? 'a server';
  return place.replace(/\/\/[^@/]*@/, '//');
}

import { escapeIdentifier, escapeLiteral, type Client, type QueryConfig } from 'pg';
import { formatConninfo, parseConninfo } from '../server/conninfo.ts';
import type { PostgresFacts } from '../copy/facts.ts';
import {
  LIBPQ_PORT,
  parametersFor,
  placeInWords,
  placesInWords,
  placesOf,
  type Parameters,
  type Place,
} from './places.ts';

// What stands in a database and leads to another server. Each kind of it is read here, and says how it is changed.

export type Outbound = PostgresFacts['outbound'][number];

export interface Lead extends Outbound {
  /** What makes it lead to these places, as many as before, instead; null where only a person can. */
  readonly edit: ((places: readonly Place[]) => QueryConfig) | null;
}

type Found = Omit<Lead, 'database' | 'editable'>;

/** Options of foreign servers that say where one is, whatever their wrapper calls it. Never a login. */
const PLACES = ['host', 'hostaddr', 'address', 'servername', 'server', 'dbserver', 'svr_host', 'url'];
/** Their options are those of libpq, which reaches the local server where no host is named. */
const OF_LIBPQ = new Set(['postgres_fdw', 'dblink_fdw']);
/** A host in a connection string inside a statement: quotes may be doubled, and are no part of it. */
const HOST = /\bhost(?:addr)?\s*=\s*'*([^\s';"]+)|\bpostgres(?:ql)?:\/\/(?:[^@/\s']*@)?([^/?\s']+)/g;

/** Of one database: what in its data leads to another server. The role sees what it may see. */
export async function leadsOf(client: Client, database: string): Promise<Lead[]> {
  const found: Found[] = [
    ...(await foreignObjects(client)),
    ...(await subscriptions(client)),
    ...(await nodesOfReplication(client)),
    ...(await workersOfCitus(client)),
    ...(await jobs(client)),
    ...(await callers(client)),
  ];
  return found.map((one) => ({ database, editable: one.edit !== null, ...one }));
}

interface ForeignObject {
  readonly kind: string;
  readonly name: string;
  readonly wrapper: string;
  readonly options: readonly string[] | null;
  readonly users: readonly string[];
  /** The beginning of the statement that changes its options. */
  readonly alter: string;
  readonly isServer: boolean;
}

/** Servers; and user mappings and foreign tables, of wrappers that let these say where the server is. */
async function foreignObjects(client: Client): Promise<Found[]> {
  const { rows } = await client.query<ForeignObject>(
    `SELECT 'foreign server' AS kind, s.srvname::text AS name, w.fdwname::text AS wrapper, s.srvoptions AS options, true AS "isServer",
            ARRAY(SELECT m.usename::text FROM pg_catalog.pg_user_mappings m WHERE m.srvid = s.oid ORDER BY 1) AS users,
            pg_catalog.format('ALTER SERVER %I', s.srvname) AS alter
       FROM pg_catalog.pg_foreign_server s JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
     UNION ALL
     SELECT 'user mapping', pg_catalog.format('for %s on %s', m.usename, m.srvname), w.fdwname, m.umoptions, false, '{}',
            pg_catalog.format('ALTER USER MAPPING FOR %s SERVER %I', CASE WHEN m.umuser = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(m.usename) END, m.srvname)
       FROM pg_catalog.pg_user_mappings m JOIN pg_catalog.pg_foreign_server s ON s.oid = m.srvid
       JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
     UNION ALL
     SELECT 'foreign table', t.ftrelid::pg_catalog.regclass::text, w.fdwname, t.ftoptions, false, '{}',
            pg_catalog.format('ALTER FOREIGN TABLE %s', t.ftrelid::pg_catalog.regclass)
       FROM pg_catalog.pg_foreign_table t JOIN pg_catalog.pg_foreign_server s ON s.oid = t.ftserver
       JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
      ORDER BY 1, 2`,
  );
  return rows.flatMap((row) => {
    const options = new Map((row.options ?? []).map((option) => splitAt(option, '=')));
    const led = OF_LIBPQ.has(row.wrapper) ? libpqOptions(row, options) : otherOptions(options);
    if (led === null) return [];
    const mapped = row.users.length === 0 ? '' : `, with user mappings for ${row.users.join(', ')}`;
    const { key, edit } = led;
    return [
      {
        kind: `${row.kind} (${row.wrapper})`,
        name: row.name,
        address: led.address + mapped,
        change: `${row.alter} OPTIONS (${options.has(key) ? 'SET' : 'ADD'} ${key} '…')`,
        places: led.places,
        edit:
          edit === null
            ? null
            : (places) => ({ text: `${row.alter} OPTIONS (${optionChanges(options, edit(places))})` }),
      },
    ];
  });
}

interface Led {
  readonly key: string;
  readonly address: string;
  readonly places: readonly Place[];
  readonly edit: ((places: readonly Place[]) => ReadonlyMap<string, string | null>) | null;
}

function libpqOptions({ isServer }: ForeignObject, options: Parameters): Led | null {
  const led = libpqLed(options);
  if (led.edit === null) return { key: 'service', ...led };
  return isServer || namesHost(options) ? { key: 'host', ...led } : null;
}

/** As libpq reads parameters: a service leads nowhere that we know, and is the operator's to change. */
function libpqLed(parameters: Parameters): Omit<Led, 'key'> {
  const service = parameters.get('service');
  if (service !== undefined && !namesHost(parameters))
    return { address: `the service ${service} of pg_service.conf`, places: [], edit: null };
  const places = placesOf(parameters);
  return { address: placesInWords(places), places, edit: (to) => parametersFor(parameters, to) };
}

function namesHost(parameters: Parameters): boolean {
  return parameters.has('host') || parameters.has('hostaddr');
}

/** Nobody knows what port such a wrapper takes where none is said. */
function otherOptions(options: Parameters): Led | null {
  const key = PLACES.find((place) => options.has(place));
  if (key === undefined) return null;
  const value = options.get(key) ?? '';
  const portText = options.get('port');
  const port = portText === undefined || !/^\d+$/.test(portText) ? null : Number(portText);
  if (/^([\w.-]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)$/.test(value)) {
    const place = { host: value, port };
    return {
      key,
      address: placeInWords(place),
      places: [place],
      edit([to = place]) {
        const changes = new Map<string, string | null>();
        if (to.host !== value) changes.set(key, to.host);
        if (to.port !== null && to.port !== port) changes.set('port', String(to.port));
        return changes;
      },
    };
  }
  const [, host = '', inPlace] =
    /^(?:(?:[a-z][\w+.-]*:)*\/\/)?(?:[^@/]*@)?(\[[^\]]*\]|[\w.-]+)(?::(\d+))?/i.exec(value) ?? [];
  return {
    key,
    address: withoutLogin(value) + (port === null ? '' : `:${port}`),
    places:
      host === ''
        ? []
        : [{ host: host.replace(/^\[|\]$/g, ''), port: inPlace === undefined ? port : Number(inPlace) }],
    edit: null,
  };
}

function optionChanges(options: Parameters, changes: ReadonlyMap<string, string | null>): string {
  return [...changes]
    .map(([key, value]) => {
      const name = escapeIdentifier(key);
      if (value === null) return `DROP ${name}`;
      return `${options.has(key) ? 'SET' : 'ADD'} ${name} ${escapeLiteral(value)}`;
    })
    .join(', ');
}

/** Their connections are for superusers to see. */
async function subscriptions(client: Client): Promise<Found[]> {
  const { rows: may } = await client.query<{ may: boolean }>(
    "SELECT pg_catalog.has_column_privilege('pg_catalog.pg_subscription', 'subconninfo', 'select') AS may",
  );
  if (may[0]?.may !== true) return [];
  const { rows } = await client.query<{ name: string; conninfo: string }>(
    `SELECT subname::text AS name, subconninfo AS conninfo FROM pg_catalog.pg_subscription
      WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) ORDER BY 1`,
  );
  return rows.map(({ name, conninfo }) => ({
    kind: 'subscription',
    name,
    change: `ALTER SUBSCRIPTION ${escapeIdentifier(name)} CONNECTION '…'`,
    ...conninfoLead(conninfo, (to) => ({
      text: `ALTER SUBSCRIPTION ${escapeIdentifier(name)} CONNECTION ${escapeLiteral(to)}`,
    })),
  }));
}

/** Of extensions that replicate by a table of connections: pglogical, and what was made of it. */
async function nodesOfReplication(client: Client): Promise<Found[]> {
  const found: Found[] = [];
  for (const extension of ['pglogical', 'spock']) {
    const table = `${extension}.node_interface`;
    if (!(await mayRead(client, table))) continue;
    const { rows } = await client.query<{ id: string; name: string; dsn: string }>(
      `SELECT if_id::text AS id, if_name::text AS name, if_dsn AS dsn FROM ${table} ORDER BY 2`,
    );
    for (const { id, name, dsn } of rows)
      found.push({
        kind: `node of ${extension}`,
        name,
        change: `UPDATE ${table} SET if_dsn = '…' WHERE if_id = ${id}`,
        ...conninfoLead(dsn, (to) => ({
          text: `UPDATE ${table} SET if_dsn = $1 WHERE if_id::text = $2`,
          values: [to, id],
        })),
      });
  }
  return found;
}

function conninfoLead(
  conninfo: string,
  change: (conninfo: string) => QueryConfig,
): Pick<Found, 'address' | 'places' | 'edit'> {
  const parameters = parseConninfo(conninfo);
  const { edit, ...led } = libpqLed(parameters);
  if (edit === null) return { ...led, edit };
  return {
    ...led,
    edit(to) {
      const changed = new Map(parameters);
      for (const [key, value] of edit(to))
        if (value === null) changed.delete(key);
        else changed.set(key, value);
      return change(formatConninfo(changed));
    },
  };
}

async function workersOfCitus(client: Client): Promise<Found[]> {
  if (!(await mayRead(client, 'pg_catalog.pg_dist_node'))) return [];
  const { rows } = await client.query<{ id: string; name: string; port: string }>(
    'SELECT nodeid::text AS id, nodename::text AS name, nodeport::text AS port FROM pg_catalog.pg_dist_node ORDER BY nodeid',
  );
  return rows.map(({ id, name, port }) => ({
    kind: 'node of Citus',
    name: id,
    address: `${name}:${port}`,
    change: `SELECT citus_update_node(${id}, '…', …)`,
    places: [{ host: name, port: Number(port) }],
    // Citus is not loaded where this is done: it reads the table when it is.
    edit: ([to]) => ({
      text: 'UPDATE pg_catalog.pg_dist_node SET nodename = $1, nodeport = $2 WHERE nodeid::text = $3',
      values: [to?.host ?? name, to?.port ?? Number(port), id],
    }),
  }));
}

async function jobs(client: Client): Promise<Found[]> {
  if (!(await mayRead(client, 'cron.job'))) return [];
  const { rows } = await client.query<{ id: string; host: string; port: string; schedule: string }>(
    'SELECT jobid::text AS id, nodename::text AS host, nodeport::text AS port, schedule::text AS schedule FROM cron.job ORDER BY jobid',
  );
  return rows.map(({ id, host, port, schedule }) => ({
    kind: `job of pg_cron (${schedule})`,
    name: id,
    address: `${host}:${port}`,
    change: `UPDATE cron.job SET nodename = '…', nodeport = … WHERE jobid = ${id}, or SELECT cron.unschedule(${id})`,
    places: [{ host, port: Number(port) }],
    edit: ([to]) => ({
      text: 'UPDATE cron.job SET nodename = $1, nodeport = $2 WHERE jobid::text = $3',
      values: [to?.host ?? host, to?.port ?? Number(port), id],
    }),
  }));
}

/** Functions and views that call dblink with a host of their own. What they put together as they run is not seen. */
async function callers(client: Client): Promise<Found[]> {
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
    const places = [...text.matchAll(HOST)].flatMap((match) => placesAt(text, match));
    if (places.length === 0) return [];
    const address = [...new Set(places.map(placeInWords))].join(', ');
    return [
      {
        kind: `${kind} (dblink)`,
        name,
        address,
        change: `give ${kind} ${name} another host`,
        places,
        edit: null,
      },
    ];
  });
}

/** Of one connection string: it ends where its quotes do. */
function placesAt(text: string, { index, 0: found, 1: host, 2: authority }: RegExpMatchArray): Place[] {
  if (authority !== undefined) return placesOf(parseConninfo(`postgresql://${authority}`));
  const before = /[^';$]*$/.exec(text.slice(0, index))?.[0] ?? '';
  const after = /^[^';$]*/.exec(text.slice((index ?? 0) + found.length))?.[0] ?? '';
  const port = /\bport\s*=\s*(\d+)/.exec(`${before} ${after}`)?.[1];
  return [{ host: host ?? '', port: port === undefined ? LIBPQ_PORT : Number(port) }];
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

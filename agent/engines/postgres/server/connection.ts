import type { EventEmitter } from 'node:events';
import { Client, DatabaseError, escapeLiteral, type ClientConfig } from 'pg';
import { parseIntoClientConfig } from 'pg-connection-string';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { beside } from '../../../safe-files.ts';
import { OLDEST_VERSION, versionProblem } from './server-facts.ts';
import { socketFolderOf } from './connection-url.ts';

/** What is needed to connect; small and plain, so that it can be handed to a thread. */
export interface ConnectionSettings {
  readonly name: string;
  readonly connection: string;
  readonly passwordFile?: string | undefined;
}

export interface ConnectOptions {
  readonly applicationName: string;
  /**
   * A walsender's connection: `physical` for streams; `database` takes statements too, simple queries only. It has a
   * slot of max_wal_senders, which no client of the application can take.
   */
  readonly replication?: 'physical' | 'database';
  readonly timeoutMs?: number;
  /** Of a stream: the server drops it when it hears nothing for so long. */
  readonly silenceMs?: number | undefined;
  /** With the defaults that the server has for others: for a look at them. */
  readonly asOthers?: boolean;
  /** Bound of every statement, by the client's own clock. 0: none. */
  readonly queryTimeoutMs?: number;
}

const CONNECT_TIMEOUT_MS = 5000;
/**
 * What ends sessions that are slow or idle, or makes them wait, by default of server, database or role: none of ours.
 * The last is for standbys that say nothing, which is time enough for ours; no server of ours is older than these settings.
 */
const UNHINDERED = {
  statement_timeout: '0',
  lock_timeout: '0',
  idle_session_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  // A standby turns every statement away that would be serializable.
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  wal_sender_timeout: '60s',
} as const;
/** The same, of PostgreSQL 17 and later: an older server turns away whoever asks for it. It needs a database. */
const UNHINDERED_SINCE_17 = { transaction_timeout: '0' } as const;
/**
 * How each of our sessions begins, whatever server, database and role have as their defaults. Its login may write (a
 * login trigger that keeps a log), and must not wait for the very standby that we are: nobody could get in to undo.
 * A base copy says in warnings what it leaves out, and which pages are damaged.
 */
const SESSION = Object.entries({
  synchronous_commit: 'local',
  client_min_messages: 'warning',
  ...UNHINDERED,
})
  .map(([name, value]) => `-c ${name}=${value.replaceAll(' ', '\\ ')}`)
  .join(' ');
/** After the login, for a login trigger may need its owner's: then nothing of the database's owner is taken for the server's. */
const OWN_NAMES_ONLY = { search_path: 'pg_catalog' } as const;
/** What our sessions may set for themselves after the login, also where they look at the defaults of others. */
export const SET_BY_US: readonly string[] = Object.keys({
  ...OWN_NAMES_ONLY,
  ...UNHINDERED,
  ...UNHINDERED_SINCE_17,
});
/** Keys of a connection URL that would win over ours, in the library or in the server. */
const OURS_ALONE = [
  'application_name',
  'fallback_application_name',
  'options',
  'replication',
  'query_timeout',
  'connectionTimeoutMillis',
  'keepAlive',
  ...Object.keys(UNHINDERED),
];
const LOST = /terminated|ECONNRESET|EPIPE|not queryable|closed the connection|Query read timeout/;

/** Connects, with errors that say what to do. A lost connection shows as the rejection of the next query. */
export async function connect(settings: ConnectionSettings, options: ConnectOptions): Promise<Client> {
  const url = new URL(settings.connection);
  const owners = url.searchParams.get('options');
  for (const key of OURS_ALONE) url.searchParams.delete(key);
  if (settings.passwordFile !== undefined)
    url.searchParams.set('password', await readPassword(settings.passwordFile));
  const client = new Client({
    ...clientConfig(settings, url),
    application_name: options.applicationName,
    connectionTimeoutMillis: options.timeoutMs ?? CONNECT_TIMEOUT_MS,
    query_timeout: options.queryTimeoutMs ?? 0,
    keepAlive: true,
    options: [
      owners ?? '',
      options.asOthers === true ? '' : SESSION,
      options.silenceMs === undefined ? '' : `-c wal_sender_timeout=${options.silenceMs}ms`,
    ]
      .join(' ')
      .trim(),
    ...(options.replication !== undefined && {
      replication: options.replication === 'database' ? 'database' : 'true',
    }),
  });
  client.on('error', () => undefined);
  // A stream is the one thing that its connection does, and no statement.
  if (options.replication !== 'physical') queueStatements(client);
  const version = versionSaid(client);
  const major = (): number => Number.parseInt(version()) || 0;
  try {
    await client.connect();
    const tooOld = versionProblem(settings.name, { serverVersion: major() * 10_000, version: version() });
    // It may not know what our sessions set.
    if (major() > 0 && major() < OLDEST_VERSION && tooOld !== null) throw new StillpointError(tooOld, 3);
    if (options.replication !== 'physical')
      await client.query(
        assignments({
          ...OWN_NAMES_ONLY,
          ...(options.asOthers === true && UNHINDERED),
          ...(major() >= 17 && UNHINDERED_SINCE_17),
        }),
      );
  } catch (error) {
    client.end().catch(() => undefined);
    throw connectionError(settings, error);
  }
  return client;
}

/**
 * What is asked on one connection by parts that do not know of one another (a thaw, the look at who streams meanwhile, the
 * undo of a fence whose stream is lost) goes one after another, statement by statement, in the order of asking: none waits
 * for all of another's. The driver's own queue does the same, warns of it, and will go.
 */
function queueStatements(client: Client): void {
  const send = client.query.bind(client) as (...given: unknown[]) => Promise<unknown>;
  let last: Promise<void> | null = null;
  const query = (...given: unknown[]): Promise<unknown> => {
    const sent = last === null ? send(...given) : last.then(() => send(...given));
    const over = (): void => {
      if (last === settled) last = null;
    };
    const settled: Promise<void> = sent.then(over, over);
    last = settled;
    return sent;
  };
  client.query = query as Client['query'];
}

/** The same connection to another database. */
export function databaseUrl(connection: string, database: string): string {
  const url = new URL(connection);
  url.pathname = `/${encodeURIComponent(database)}`;
  return url.toString();
}

/** As the library reads it; but for the name of the database, of which it leaves `%2F` and its like as they are. */
function clientConfig(settings: ConnectionSettings, url: URL): ClientConfig {
  try {
    const database = decodeURIComponent(url.pathname.slice(1));
    return { ...parseIntoClientConfig(url.toString()), ...(database !== '' && { database }) };
  } catch (error) {
    throw new StillpointError(
      {
        code: 'postgres-connection',
        message: `connection of ${settings.name} cannot be used: ${error instanceof Error ? error.message : String(error)}`,
        hint: `correct connection of ${settings.name} in the agent file: postgresql://ROLE@HOST:PORT/DATABASE`,
      },
      3,
      { cause: error },
    );
  }
}

function assignments(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `SET ${name} = ${escapeLiteral(value)}`)
    .join('; ');
}

/** What a server says of itself with each login. Empty: nothing yet. */
function versionSaid(client: Client): () => string {
  let version = '';
  const { connection } = client as unknown as { connection: EventEmitter };
  connection.on('parameterStatus', (said: { parameterName: string; parameterValue: string }) => {
    if (said.parameterName === 'server_version') version = said.parameterValue;
  });
  return () => version;
}

/** The server's process for this connection. */
export function processIdOf(client: Client): number {
  return (client as unknown as { processID: number }).processID;
}

/** What stands in it goes to the server: never a file that the server's user links to. */
export async function readPassword(path: string): Promise<string> {
  try {
    const bytes = await beside(path, (directory, name) => directory.read(name));
    if (bytes === null) throw new Error('it is not there');
    return bytes.toString('utf8').replace(/\r?\n$/, '');
  } catch (error) {
    if (error instanceof StillpointError) throw error;
    throw new StillpointError(
      {
        code: 'postgres-password',
        message: `the password file ${path} cannot be read`,
        hint: `write the password of the role into it, alone, for the user of the agent: chmod 600 ${path}; or correct passwordFile`,
      },
      3,
      { cause: error },
    );
  }
}

/** Turns what PostgreSQL or the network says into a failure with a remedy. */
export function connectionError(settings: ConnectionSettings, error: unknown): StillpointError {
  if (error instanceof StillpointError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const { passwordFile } = settings;
  const { host, port, username } = new URL(settings.connection);
  const role = decodeURIComponent(username);
  const socket = socketFolderOf(settings.connection);
  const where = `${settings.name} at ${socket === null ? host || port : `${socket}/.s.PGSQL.${port || 5432}`}`;
  const code = error instanceof DatabaseError ? (error.code ?? '') : '';
  const as = (failureCode: string, hint: string): StillpointError =>
    new StillpointError({ code: failureCode, message: `${where}: ${message}`, hint }, 3, { cause: error });
  if (code === '28P01' || /password/i.test(message)) {
    return as(
      'postgres-password',
      `write the password of role ${role}, alone, into ${passwordFile === undefined ? 'a file that passwordFile names, or into PGPASSWORD of the agent' : `passwordFile (${passwordFile})`}; a new one: \\password ${role} in psql, as superuser on the primary`,
    );
  }
  if (code === '28000' && socket !== null) {
    const user = process.getuid?.() === 0 ? 'root' : 'USER';
    return as(
      'postgres-hba',
      `stillpoint-agent init --apply on the host of the server does it; by hand, at the head of pg_hba.conf: "local all ${role} scram-sha-256" and "local replication ${role} scram-sha-256", or "peer map=stillpoint" in their last places and "stillpoint ${user} ${role}" in pg_ident.conf, with the agent's user; then SELECT pg_reload_conf()`,
    );
  }
  if (code === '28000') {
    return as(
      'postgres-hba',
      `stillpoint-agent init --apply on the host of the server does it; by hand, at the head of pg_hba.conf: "host all ${role} ADDRESS scram-sha-256" and "host replication ${role} ADDRESS scram-sha-256", with the agent's address or samehost; then SELECT pg_reload_conf()`,
    );
  }
  if (code === '42501')
    return as(
      'postgres-privilege',
      'stillpoint-agent init --apply on the host of the primary grants all that is missing; stillpoint grid doctor names each statement',
    );
  if (code === '53300')
    return as(
      'postgres-connections',
      'ALTER SYSTEM SET max_connections = N (or max_wal_senders, as the message says), some more than now, then restart the server: a checkpoint needs five connections and three wal senders',
    );
  if (code === '57P03')
    return as('postgres-starting', 'wait until it accepts connections; its log says how far it is');
  if (code.startsWith('57P') || LOST.test(message))
    return as(
      'postgres-connection-lost',
      'it was restarted, or somebody ended the session: its log says which; then try again',
    );
  if (error instanceof DatabaseError) return as('postgres-error', `see its log (SQLSTATE ${code})`);
  return as(
    'postgres-unreachable',
    `start it if it is down; if it runs, compare port and ${socket === null ? 'listen_addresses' : 'unix_socket_directories'} (SHOW, in psql) with connection in the agent file`,
  );
}

/** The failure behind a rejected query; anything that is not the server's doing stays what it is. */
export function serverError(settings: ConnectionSettings, error: unknown): unknown {
  const isServers = error instanceof DatabaseError || (error instanceof Error && LOST.test(error.message));
  return isServers ? connectionError(settings, error) : error;
}

import { readFile } from 'node:fs/promises';
import { Client, DatabaseError } from 'pg';
import { StillpointError } from '../../../shared/domain/errors.ts';

/** What is needed to connect; small and plain, so that it can be handed to a thread. */
export interface ConnectionSettings {
  readonly name: string;
  readonly connection: string;
  readonly passwordFile?: string | undefined;
}

export interface ConnectOptions {
  readonly applicationName: string;
  readonly database?: string;
  readonly replication?: boolean;
  readonly timeoutMs?: number;
  /** Bound of every statement, by the client's own clock. 0: none. */
  readonly queryTimeoutMs?: number;
}

const CONNECT_TIMEOUT_MS = 5000;

/** Connects, with errors that say what to do. A lost connection shows as the rejection of the next query. */
export async function connect(settings: ConnectionSettings, options: ConnectOptions): Promise<Client> {
  const url = new URL(settings.connection);
  if (options.database !== undefined) url.pathname = `/${encodeURIComponent(options.database)}`;
  const password =
    settings.passwordFile === undefined ? undefined : (await readPassword(settings.passwordFile)).trim();
  const client = new Client({
    connectionString: url.toString(),
    ...(password !== undefined && { password }),
    application_name: options.applicationName,
    connectionTimeoutMillis: options.timeoutMs ?? CONNECT_TIMEOUT_MS,
    query_timeout: options.queryTimeoutMs ?? 0,
    keepAlive: true,
    ...(options.replication === true && { replication: 'true' }),
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    throw connectionError(settings, error);
  }
  return client;
}

async function readPassword(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new StillpointError(
      {
        code: 'postgres-password',
        message: `the password file ${path} cannot be read`,
        hint: 'look at its path and owner: the agent reads it',
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
  const { host, port, username } = new URL(settings.connection);
  const where = `${settings.name} at ${host || port}`;
  const code = error instanceof DatabaseError ? (error.code ?? '') : '';
  const as = (failureCode: string, hint: string): StillpointError =>
    new StillpointError({ code: failureCode, message: `${where}: ${message}`, hint }, 3, { cause: error });
  if (code === '28P01' || /password/i.test(message)) {
    return as(
      'postgres-password',
      `look at passwordFile of ${settings.name}, and at the password of role ${decodeURIComponent(username)}`,
    );
  }
  if (code === '28000') {
    return as(
      'postgres-hba',
      `add a line to pg_hba.conf for role ${decodeURIComponent(username)}, and one for the database 'replication'`,
    );
  }
  if (code === '42501')
    return as(
      'postgres-privilege',
      'grant the role what docs/engines/postgres.md lists; stillpoint grid doctor names what is missing',
    );
  if (code === '53300')
    return as(
      'postgres-connections',
      'raise max_connections or max_wal_senders: a checkpoint needs three of each',
    );
  if (code === '57P03') return as('postgres-starting', 'wait until it accepts connections');
  if (error instanceof DatabaseError) return as('postgres-error', 'see the log of its server');
  return as('postgres-unreachable', 'does it run, and listen there? See its log');
}

import { Client } from 'pg';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { Owner } from '../../../foreign-files.ts';

const CONNECT_MS = 5000;
const QUERY_MS = 30_000;

/** Where a server of this host is reached by its own user. */
export interface LocalServer {
  readonly name: string;
  readonly socketFolder: string;
  readonly port: number;
  readonly owner: Owner;
  /** The owner's name, and the superuser's: so it is where a server is made as packages do it. */
  readonly user: string;
}

/**
 * A superuser's session over the Unix socket, by who we are and without a password (`peer`). The server asks the kernel
 * who has connected, so we are the owner for that one call, which Node makes at once.
 */
export async function loginAsOwner(server: LocalServer, database: string): Promise<Client> {
  const client = new Client({
    host: server.socketFolder,
    port: server.port,
    user: server.user,
    database,
    application_name: 'stillpoint-init',
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: QUERY_MS,
    // A synchronous standby that is away, or a login trigger, must not hold up who comes to mend things.
    options: '-c synchronous_commit=local -c statement_timeout=20s',
  });
  client.on('error', () => undefined);
  try {
    await asUser(server.owner, () => client.connect());
    await client.query('SET search_path = pg_catalog');
    const { rows } = await client.query<{ super: string }>("SELECT current_setting('is_superuser') AS super");
    if (rows[0]?.super !== 'on') throw new Error(`role ${server.user} is no superuser`);
    return client;
  } catch (error) {
    client.end().catch(() => undefined);
    throw new StillpointError(
      {
        code: 'postgres-owner-login',
        message: `${server.name} does not let its own user ${server.user} in over ${server.socketFolder}: ${(error as Error).message}`,
        hint: `run stillpoint-agent init as root, where pg_hba.conf has "local all ${server.user} peer"; or carry out by hand, as a superuser, what it prints without --apply`,
      },
      undefined,
      { cause: error },
    );
  }
}

/** `begin` reaches the kernel before it returns. */
function asUser<T>({ uid, gid }: Owner, begin: () => T): T {
  const { setegid, seteuid, getegid, geteuid } = process;
  if (setegid === undefined || seteuid === undefined || geteuid?.() !== 0) return begin();
  const ourGroup = getegid?.() ?? 0;
  setegid(gid);
  try {
    seteuid(uid);
    return begin();
  } finally {
    seteuid(0);
    setegid(ourGroup);
  }
}

/**
 * A connection URL as all of the engine reads it: the host, also the directory of a Unix socket, stands before the path
 * (`postgresql://role@%2Frun%2Fpostgresql:5433/postgres`). libpq takes it among the parameters as well, behind no host at
 * all (`postgresql://role@/postgres?host=/run/postgresql&port=5433`), which no URL of other kinds may be. Null where it
 * is no URL of PostgreSQL, or cannot be decoded.
 */
export function readConnectionUrl(text: string): string | null {
  const [, scheme = '', login = '', rest = ''] =
    /^(postgres(?:ql)?:\/\/)([^/?#@]*@)?([\s\S]*)$/.exec(text) ?? [];
  if (scheme === '') return null;
  // A login before an empty host, or before a port alone, is no URL.
  const isHostless = rest === '' || /^[/?:]/.test(rest);
  const whole = `${scheme}${login}${isHostless ? 'localhost' : ''}${rest}`;
  if (!URL.canParse(whole)) return null;
  const url = new URL(whole);
  const host = url.searchParams.get('host');
  const port = url.searchParams.get('port');
  try {
    if (host !== null) url.hostname = host.startsWith('/') ? encodeURIComponent(host) : host;
    if (port !== null) url.port = port;
    for (const key of ['host', 'port']) url.searchParams.delete(key);
    for (const part of [url.username, url.hostname, url.pathname]) decodeURIComponent(part);
  } catch {
    return null;
  }
  const isTaken = host === null || decodeURIComponent(url.hostname) === host;
  return isTaken && (port === null || url.port === port) ? url.toString() : null;
}

/** The directory of the Unix socket that a connection goes over; null for one over TCP. */
export function socketFolderOf(connection: string): string | null {
  const host = decodeURIComponent(new URL(connection).hostname);
  return host.startsWith('/') ? host : null;
}

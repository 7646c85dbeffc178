/** A connection string of libpq, either form; its hosts and ports last of a URI. */
export function parseConninfo(text: string): Map<string, string> {
  const uri = /^postgres(?:ql)?:\/\/(?:([^@/?]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(text);
  if (uri !== null) return parseUri(uri[1], uri[2], uri[3], uri[4]);
  const parts = new Map<string, string>();
  const pairs = text.matchAll(/(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s\\]|\\.)+))/gs);
  for (const [, key = '', quoted, plain] of pairs)
    parts.set(key, (quoted ?? plain ?? '').replace(/\\(.)/gs, '$1'));
  return parts;
}

/** libpq's key='value' form. */
export function formatConninfo(parts: ReadonlyMap<string, string>): string {
  return [...parts].map(([key, value]) => `${key}='${value.replace(/(['\\])/g, '\\$1')}'`).join(' ');
}

/** By hand: libpq allows several hosts, none, and a plus that is one, where `URL` does not. */
function parseUri(login = '', authority = '', database = '', query = ''): Map<string, string> {
  const [user = '', ...password] = login.split(':');
  const parts = new Map<string, string>();
  const set = (key: string, value: string): void => {
    if (value !== '') parts.set(key, decoded(value));
  };
  set('user', user);
  set('password', password.join(':'));
  set('dbname', database);
  const servers = authority.split(',').map((server) => /^(\[[^\]]*\]|[^:]*)(?::(\d*))?$/.exec(server));
  const ports = servers.map((server) => server?.[2] ?? '');
  for (const pair of query.split('&')) {
    const [key = '', ...value] = pair.split('=');
    if (key !== '') set(decoded(key), value.join('='));
  }
  const hosts = servers.map((server) => (server?.[1] ?? '').replace(/^\[|\]$/g, ''));
  if (!parts.has('host') && hosts.some((host) => host !== '')) set('host', hosts.join(','));
  if (!parts.has('port') && ports.some((port) => port !== '')) set('port', ports.join(','));
  return parts;
}

/** What is no escape stands for itself: libpq would refuse it, and its server then says so. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

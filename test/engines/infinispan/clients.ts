import { once } from 'node:events';
import { connect } from 'node:net';

/* Clients of a cluster as its applications are: over REST, one request after another. */

const TEXT = { 'content-type': 'text/plain', 'key-content-type': 'text/plain' };
const JSON_TYPE = { 'content-type': 'application/json' };

async function ask(
  method: string,
  url: string,
  body?: string,
  headers: Record<string, string> = {},
): Promise<number> {
  const response = await fetch(url, { method, headers, ...(body !== undefined && { body }) });
  await response.arrayBuffer();
  return response.status;
}

export function put(server: string, cache: string, key: string, value: string): Promise<number> {
  return ask('PUT', `${server}/rest/v2/caches/${cache}/${key}`, value, TEXT);
}

export async function get(server: string, cache: string, key: string): Promise<string | number> {
  const response = await fetch(`${server}/rest/v2/caches/${cache}/${key}`, {
    headers: { accept: 'text/plain' },
  });
  const text = await response.text();
  return response.status === 200 ? text : response.status;
}

export const TEXT_CACHE = {
  'distributed-cache': { mode: 'SYNC', encoding: { 'media-type': 'text/plain' } },
};

export function createCache(
  server: string,
  cache: string,
  configuration: unknown = TEXT_CACHE,
): Promise<number> {
  return ask('POST', `${server}/rest/v2/caches/${cache}`, JSON.stringify(configuration), JSON_TYPE);
}

export function removeCache(server: string, cache: string): Promise<number> {
  return ask('DELETE', `${server}/rest/v2/caches/${cache}`);
}

export function setIgnored(server: string, cache: string, isIgnored: boolean): Promise<number> {
  return ask(isIgnored ? 'POST' : 'DELETE', `${server}/rest/v2/server/ignored-caches/${cache}`);
}

export function createCounter(server: string, counter: string): Promise<number> {
  const configuration = { 'strong-counter': { 'initial-value': 5 } };
  return ask('POST', `${server}/rest/v2/counters/${counter}`, JSON.stringify(configuration), JSON_TYPE);
}

export function increment(server: string, counter: string): Promise<number> {
  return ask('POST', `${server}/rest/v2/counters/${counter}?action=increment`);
}

async function read<T>(server: string, path: string): Promise<T> {
  const response = await fetch(`${server}/rest/v2/${path}`);
  return (await response.json()) as T;
}

/** Everything that a hold must leave as it found it. */
export async function footprint(server: string): Promise<{
  readonly ignored: readonly string[];
  readonly backups: readonly string[];
  readonly connectors: readonly string[];
}> {
  const names = await read<string[]>(server, 'server/connectors');
  const connectors = await Promise.all(
    names.map((name) => read<{ enabled: boolean }>(server, `server/connectors/${name}`)),
  );
  return {
    ignored: (await read<string[]>(server, 'server/ignored-caches')).toSorted(),
    backups: await read<string[]>(server, 'container/backups'),
    connectors: names.map(
      (name, index) => `${name} ${connectors[index]?.enabled === true ? 'open' : 'stopped'}`,
    ),
  };
}

/** Null while the cache is ignored. */
export async function entriesOf(server: string, cache: string): Promise<number | null> {
  const response = await fetch(`${server}/rest/v2/caches/${cache}?action=size`);
  const text = await response.text();
  return response.status === 200 ? Number(text) : null;
}

/** Many entries at once, over memcached: its clients wait for no answer. Resolves when all are there. */
export async function fill(at: { address: string; port: number }, entries: number): Promise<void> {
  const value = 'value '.repeat(12);
  const socket = connect(at.port, at.address);
  const answered = once(socket, 'data');
  for (let key = 0; key < entries; key += 1)
    if (!socket.write(`set k${key} 0 0 ${value.length} noreply\r\n${value}\r\n`)) await once(socket, 'drain');
  socket.write('version\r\n');
  await answered;
  socket.destroy();
}

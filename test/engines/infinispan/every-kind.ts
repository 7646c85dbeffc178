import type { InfinispanNode } from '../../lab/infinispan.ts';

/** What a server's configuration file defines in these tests: a cache, and a template. */
export const DEFINED_IN_FILE = `
  <distributed-cache name="from-file" mode="SYNC"><encoding media-type="text/plain"/></distributed-cache>
  <distributed-cache-configuration name="template-from-file" mode="SYNC">
    <encoding media-type="text/plain"/>
  </distributed-cache-configuration>`;

const encoded = (type: string): object => ({ mode: 'SYNC', encoding: { 'media-type': type } });
const text = encoded('text/plain');

/** A cache of each kind, and in each encoding that a client can write through REST. */
export const CACHES: Readonly<Record<string, object>> = {
  protobuf: { 'distributed-cache': encoded('application/x-protostream') },
  text: { 'distributed-cache': text },
  octets: { 'replicated-cache': encoded('application/octet-stream') },
  json: { 'distributed-cache': encoded('application/json') },
  xml: { 'distributed-cache': encoded('application/xml') },
  serialised: { 'distributed-cache': encoded('application/x-java-serialized-object') },
  objects: { 'distributed-cache': encoded('application/x-java-object') },
  unencoded: { 'distributed-cache': { mode: 'SYNC' } },
  transactional: {
    'distributed-cache': { ...text, transaction: { mode: 'NON_XA', locking: 'PESSIMISTIC' } },
  },
  optimistic: {
    'distributed-cache': {
      ...text,
      transaction: { mode: 'NON_XA', locking: 'OPTIMISTIC' },
      locking: { isolation: 'REPEATABLE_READ' },
    },
  },
  'off-heap': { 'distributed-cache': { ...text, memory: { storage: 'OFF_HEAP' } } },
  persistent: { 'distributed-cache': { ...text, persistence: { 'file-store': {} } } },
  passivating: {
    'distributed-cache': {
      ...text,
      memory: { 'max-count': '10' },
      persistence: { passivation: true, 'file-store': {} },
    },
  },
  'odd name & <more>': { 'distributed-cache': text },
  indexed: {
    'distributed-cache': {
      ...encoded('application/x-protostream'),
      indexing: { enabled: true, storage: 'local-heap', 'indexed-entities': ['lab.Person'] },
    },
  },
  mortal: { 'distributed-cache': text },
};

const SCHEMA = `syntax = "proto2"; package lab;
/* @Indexed */ message Person { /* @Basic */ optional string name = 1; optional int32 age = 2; }`;

export async function ask(
  node: Pick<InfinispanNode, 'url'>,
  method: string,
  path: string,
  body?: string | Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ status: number; text: string }> {
  const response = await fetch(`${node.url}/rest/v2/${path}`, {
    method,
    headers,
    ...(body !== undefined && { body: body as string }),
  });
  return { status: response.status, text: await response.text() };
}

export async function must(...asked: Parameters<typeof ask>): Promise<string> {
  const { status, text: said } = await ask(...asked);
  if (status >= 300) throw new Error(`${asked[1]} ${asked[2]}: ${status} ${said}`);
  return said;
}

const JSON_TYPE = { 'content-type': 'application/json' };
const TEXT_TYPE = { 'content-type': 'text/plain', 'key-content-type': 'text/plain' };

export function entryPath(cache: string, key: string): string {
  return `caches/${encodeURIComponent(cache)}/${encodeURIComponent(key)}`;
}

export function put(
  node: Pick<InfinispanNode, 'url'>,
  cache: string,
  key: string,
  value: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  return must(node, 'PUT', entryPath(cache, key), value, { ...TEXT_TYPE, ...headers });
}

export function createCache(
  node: Pick<InfinispanNode, 'url'>,
  cache: string,
  configuration: object,
): Promise<string> {
  return must(node, 'POST', `caches/${encodeURIComponent(cache)}`, JSON.stringify(configuration), JSON_TYPE);
}

/** Caches, counters and a schema of every kind, with entries in each. */
export async function fill(node: Pick<InfinispanNode, 'url'>): Promise<void> {
  await must(node, 'POST', 'schemas/person.proto', SCHEMA);
  await Promise.all(
    Object.entries(CACHES).map(([name, configuration]) => createCache(node, name, configuration)),
  );
  const counters = {
    durable: { 'strong-counter': { 'initial-value': 5, storage: 'PERSISTENT', 'upper-bound': 100 } },
    strong: { 'strong-counter': { 'initial-value': 1 } },
    weak: { 'weak-counter': { 'initial-value': 7 } },
  };
  for (const [name, configuration] of Object.entries(counters))
    await must(node, 'POST', `counters/${name}`, JSON.stringify(configuration), JSON_TYPE);
  await must(node, 'POST', 'counters/durable?action=increment');
  await must(node, 'POST', 'counters/weak?action=increment');

  const texts = [
    'protobuf', 'text', 'transactional', 'optimistic', 'off-heap', 'persistent', 'passivating', 'from-file',
    'odd name & <more>',
  ]; // prettier-ignore
  await Promise.all(
    texts.map(async (cache) => {
      for (let index = 0; index < 20; index += 1)
        await put(node, cache, `key ${index}`, `value ${index} of ${cache}`);
    }),
  );
  await put(node, 'unencoded', 'key', 'value');
  const javaString = 'application/x-java-object;type=java.lang.String';
  await put(node, 'serialised', 'key', 'value', {
    'content-type': javaString,
    'key-content-type': javaString,
  });
  await put(node, 'objects', 'key', 'value');
  await must(node, 'PUT', entryPath('octets', 'AAEC_w'), Buffer.from([0, 1, 255, 254]), {
    'content-type': 'application/octet-stream',
    'key-content-type': 'application/octet-stream',
  });
  await must(node, 'PUT', entryPath('json', '"key"'), '{"a":[1,2]}', JSON_TYPE);
  await must(node, 'PUT', entryPath('xml', 'key'), '<a>1</a>', { 'content-type': 'application/xml' });
  await must(
    node,
    'PUT',
    entryPath('indexed', 'ada'),
    '{"_type":"lab.Person","name":"Ada","age":36}',
    JSON_TYPE,
  );
  await put(node, 'mortal', 'lives long', 'x', { timeToLiveSeconds: '3600' });
  await put(node, 'mortal', 'may idle', 'x', { maxIdleTimeSeconds: '3600' });
  await put(node, 'mortal', 'lives long, may idle', 'x', {
    timeToLiveSeconds: '3600',
    maxIdleTimeSeconds: '1800',
  });
}

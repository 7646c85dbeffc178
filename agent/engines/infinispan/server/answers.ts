import * as z from 'zod';

/*
 * What servers answer, as of version 16.0: only what is used of it, under our names. More than this may stand there.
 */

const name = z.string().min(1);

/** `DEGRADED`: a cache has lost entries or refuses writes after a split; `HEALTHY_REBALANCING`: entries are moving. */
const health = z.string();

export const clusterHealth = z
  .object({
    cluster_health: z.object({ cluster_name: z.string(), health_status: health, node_names: z.array(name) }),
    cache_health: z.array(z.object({ cache_name: name, status: health })),
  })
  .transform(({ cluster_health, cache_health }) => ({
    clusterName: cluster_health.cluster_name,
    status: cluster_health.health_status,
    nodes: cluster_health.node_names,
    caches: cache_health.map(({ cache_name, status }) => ({ name: cache_name, status })),
  }));
export type ClusterHealth = z.infer<typeof clusterHealth>;

export const containerInfo = z
  .object({
    version: z.string(),
    name,
    cluster_name: z.string(),
    cache_manager_status: z.string(),
    node_address: name,
    coordinator_address: name,
    cluster_members: z.array(name),
    cluster_members_physical_addresses: z.array(z.string()),
    rebalancing_enabled: z.boolean().nullish(),
    local_site: z.string().nullish(),
    sites_view: z.array(z.string()).nullish(),
  })
  .transform((said) => ({
    version: said.version,
    name: said.name,
    clusterName: said.cluster_name,
    status: said.cache_manager_status,
    /** The server that was asked, and the one that coordinates the cluster, by their names in it. */
    node: said.node_address,
    coordinator: said.coordinator_address,
    members: said.cluster_members,
    /** Of the members, in their order: `host:port` between servers. */
    physicalAddresses: said.cluster_members_physical_addresses,
    isRebalancingEnabled: said.rebalancing_enabled ?? true,
    localSite: said.local_site ?? null,
    sites: said.sites_view ?? [],
  }));
export type ContainerInfo = z.infer<typeof containerInfo>;

export const nodeInfo = z
  .object({
    'node-id': name,
    'coordinator-id': name,
    'product-version': z.string(),
  })
  .transform((said) => ({
    /** It keeps this in its data directory, for as long as that is there. */
    id: said['node-id'],
    /** The id of the server that coordinates the cluster: the same for all of its servers. */
    coordinatorId: said['coordinator-id'],
    version: said['product-version'],
  }));
export interface NodeInfo extends z.infer<typeof nodeInfo> {
  /** Of this run of the server: another one after each start, where its process is for us to see. */
  readonly incarnation: string;
}

const statePath = z.object({ 'persistent-location': z.object({ path: z.string().startsWith('/') }) });
export const stateDirectory = z
  .object({ infinispan: z.object({ 'cache-container': z.object({ 'global-state': statePath }) }) })
  .transform(({ infinispan }) => infinispan['cache-container']['global-state']['persistent-location'].path);

const cacheDetails = z.object({
  name,
  /** `RUNNING`, `IGNORED`, `FAILED`… */
  status: z.string(),
  type: z.string(),
  health: z.string().nullish(),
  transactional: z.boolean(),
  persistent: z.boolean(),
  bounded: z.boolean(),
  indexed: z.boolean(),
  secured: z.boolean(),
  has_remote_backup: z.boolean(),
  rebalancing_inflight: z.number().nullish(),
});

export const cacheList = z.array(
  cacheDetails.transform((said) => ({
    name: said.name,
    status: said.status,
    type: said.type,
    health: said.health ?? null,
    isTransactional: said.transactional,
    isPersistent: said.persistent,
    isBounded: said.bounded,
    isIndexed: said.indexed,
    isSecured: said.secured,
    hasOtherSites: said.has_remote_backup,
    /** Segments that are on their way to another server. */
    movingSegments: Math.max(0, said.rebalancing_inflight ?? 0),
  })),
);
type CacheDetails = z.infer<typeof cacheList>[number];
export interface CacheInfo extends CacheDetails {
  /** As JSON text, without the name. */
  readonly configuration: string;
}

export const configurations = z.array(
  z.object({ name, configuration: z.record(z.string(), z.unknown()) }).transform((said) => ({
    name: said.name,
    configuration: JSON.stringify(said.configuration[said.name] ?? said.configuration),
  })),
);
export const names = z.array(name);
export const namedThings = z.array(z.object({ name }));

export const connector = z
  .object({
    name,
    enabled: z.boolean(),
    'default-cache': z.string().nullish(),
    port: z.number().nullish(),
  })
  .transform((said) => ({
    name: said.name,
    protocol: protocolOf(said.name),
    isEnabled: said.enabled,
    defaultCache: said['default-cache'] ?? null,
    port: said.port ?? null,
  }));
export type Connector = z.infer<typeof connector>;

/** `endpoint` is the port that others share. A name says what a connector speaks: `HotRod-hotrod-default`. */
export type Protocol = 'rest' | 'hotrod' | 'resp' | 'memcached' | 'endpoint' | 'other';

function protocolOf(connectorName: string): Protocol {
  const word = connectorName.split('-', 1)[0]?.toLowerCase() ?? '';
  return word === 'rest' ||
    word === 'hotrod' ||
    word === 'resp' ||
    word === 'memcached' ||
    word === 'endpoint'
    ? word
    : 'other';
}

export const connections = z.array(
  z
    .object({
      'server-node-name': z.string(),
      created: z.string().nullish(),
      'remote-address': z.string().nullish(),
      'protocol-version': z.string().nullish(),
      'client-library': z.string().nullish(),
      principal: z.string().nullish(),
    })
    .transform((said) => ({
      node: said['server-node-name'],
      /** When it began, as its server says it; empty where it does not. */
      created: said.created ?? '',
      /** `host:port` of the client. */
      remote: (said['remote-address'] ?? '').replace(/^\//, ''),
      protocol: said['protocol-version'] ?? null,
      library: said['client-library'] ?? null,
      principal: said.principal ?? null,
    })),
);
type Connection = z.infer<typeof connections>[number];

export interface Clients {
  readonly known: readonly Connection[];
  /** Of all servers of the cluster; false: of the one that was asked alone. */
  readonly isWhole: boolean;
}

/** Names of what an archive may hold; a `*` stands for all of its kind. A kind that is not named is left out. */
export interface ResourceNames {
  readonly templates?: readonly string[];
  readonly caches?: readonly string[];
  readonly counters?: readonly string[];
  readonly protoSchemas?: readonly string[];
  readonly tasks?: readonly string[];
}

/** What a cluster has. */
export type Resources = Required<ResourceNames>;

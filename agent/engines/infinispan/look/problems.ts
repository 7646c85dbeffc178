import { StillpointError, type Failure } from '../../../../shared/domain/errors.ts';
import { boundOf, tooLong } from '../hold/failures.ts';
import type { ContainerInfo } from '../server/answers.ts';
import { InfinispanServer } from '../server/infinispan-server.ts';
import type { ServerSettings } from '../server/settings.ts';
import type { InfinispanSettings } from '../settings.ts';
import type { Seen } from './seen.ts';

/** Another server of the cluster that does not answer is for its own agent to tell. */
const PEER_MS = 3000;

/** What keeps a cluster from being held and copied as it is. `held`: of the lead, how much that would be. */
export function problemsOf(
  settings: InfinispanSettings,
  seen: Seen,
  held: { readonly entries: number; readonly predictedMs: number } | null,
): Failure[] {
  const { container, status, caches, isLeft, isZeroCapacity } = seen;
  const { name, maxHoldSeconds } = settings;
  const found: Failure[] = [];
  const find = (code: string, message: string, hint: string): void =>
    void found.push({ code, message, hint });
  if (container.name !== settings.container)
    find(
      'infinispan-differs',
      `the cache container of ${name} is called ${container.name}, the agent's file says ${settings.container}`,
      "correct container of the member in the agent's file",
    );
  if (isLeft)
    find(
      'infinispan-fence-left',
      `all caches of cluster ${container.clusterName} are ignored, since a checkpoint or a restore that has not ended: its clients are refused`,
      'start the agent of the host that made it, which serves them again. Where that host is lost: server ignore in the CLI of a server lists them, and DELETE /rest/v2/server/ignored-caches/NAME serves one again',
    );
  if (container.status !== 'RUNNING')
    find(
      'infinispan-not-running',
      `the cache manager of ${name} is ${container.status}`,
      'wait until the server has started, or see its log',
    );
  if (!status.startsWith('HEALTHY'))
    find(
      'infinispan-degraded',
      `cluster ${container.clusterName} says of itself that it is ${status}`,
      'see the logs of its servers: entries may be missing; a checkpoint needs all of them',
    );
  for (const cache of caches) {
    if (cache.status === 'FAILED' || cache.health === 'FAILED')
      find(
        'infinispan-cache-failed',
        `cache ${cache.name} of cluster ${container.clusterName} has failed`,
        'see the log of the server for why; mend or remove the cache',
      );
    if (cache.name.includes('/'))
      find(
        'infinispan-cache-name',
        `cache ${cache.name} has a / in its name, and servers cannot put such a cache into a backup`,
        'make it anew under another name',
      );
  }
  if (isZeroCapacity)
    find(
      'infinispan-zero-capacity',
      `${name} is a member that holds no entries (zero-capacity-node)`,
      "take it out of the agent's file: it comes and goes, and the servers that hold entries are the members of a grid",
    );
  if (held !== null && held.predictedMs > maxHoldSeconds * 1000)
    found.push(
      tooLong(held.predictedMs, held.entries, boundOf(maxHoldSeconds, Infinity, caches.length)).failure,
    );
  return found;
}

/** A cluster that has come apart: servers that do not have each other. */
export async function splitProblems(
  { name }: InfinispanSettings,
  peers: readonly ServerSettings[],
  own: ContainerInfo,
  signal: AbortSignal,
): Promise<Failure[]> {
  const found = await Promise.all(peers.map((peer) => splitFrom(name, peer, own, signal)));
  return found.flat();
}

async function splitFrom(
  name: string,
  peer: ServerSettings,
  own: ContainerInfo,
  signal: AbortSignal,
): Promise<Failure[]> {
  const server = new InfinispanServer(peer);
  try {
    const other = await server.container(AbortSignal.any([signal, AbortSignal.timeout(PEER_MS)]));
    if (other.clusterName !== own.clusterName)
      return [
        {
          code: 'infinispan-differs',
          message: `the server at ${peer.url} is of cluster ${other.clusterName}, ${name} of ${own.clusterName}`,
          hint: "correct peers of the member in the agent's file",
        },
      ];
    if (own.members.includes(other.node) && other.members.includes(own.node)) return [];
    return [
      {
        code: 'infinispan-split',
        message: `cluster ${own.clusterName} has come apart: ${own.node} has ${own.members.join(', ')}, and ${other.node} has ${other.members.join(', ')}`,
        hint: 'mend the network between them, and see that their entries are one again (ISPN000094 in their logs): neither part is the cluster',
      },
    ];
  } catch (error) {
    if (error instanceof StillpointError && error.failure.code !== 'infinispan-unreachable')
      return [error.failure];
    return [];
  } finally {
    server.close();
  }
}

import { expect } from 'chai';
import { createInfinispanEngine } from '../../../agent/engines/infinispan/infinispan-engine.ts';
import { infinispanMemberSchema } from '../../../agent/engines/infinispan/settings.ts';
import { StillpointError, type Failure } from '../../../shared/domain/errors.ts';
import type { MemberDescription } from '../../../shared/domain/grid.ts';
import type { InfinispanNode } from '../../lab/infinispan.ts';
import { ask, must } from './every-kind.ts';

/* What servers say, and what an agent of theirs says of them. */

export async function failureOf(work: Promise<unknown>): Promise<Failure> {
  return work.then(
    () => expect.fail('it was done'),
    (error: unknown) => {
      if (error instanceof StillpointError) return error.failure;
      throw error;
    },
  );
}

export async function status(node: InfinispanNode): Promise<string> {
  const said = JSON.parse(await must(node, 'GET', 'container/health')) as {
    cluster_health: { health_status: string };
  };
  return said.cluster_health.health_status;
}

/** The names of the servers that this one has, sorted. */
export async function members(node: InfinispanNode): Promise<string> {
  const said = JSON.parse(await must(node, 'GET', 'container')) as { cluster_members: string[] };
  return said.cluster_members.toSorted().join();
}

export function jobPath(name: string): string {
  return `container/backups/${name}`;
}

export async function jobState(node: InfinispanNode, name: string): Promise<number> {
  return (await ask(node, 'HEAD', jobPath(name))).status;
}

export function startJob(node: InfinispanNode, name: string): Promise<string> {
  return must(node, 'POST', jobPath(name), '{}', { 'content-type': 'application/json' });
}

/** As the agent of this server describes it. */
export function look(
  { name, hostport, root, url }: InfinispanNode,
  ...peers: readonly InfinispanNode[]
): Promise<MemberDescription> {
  const settings = infinispanMemberSchema.parse({
    engine: 'infinispan',
    name,
    role: 'node',
    copyset: 'grid',
    address: hostport,
    root,
    url,
    peers: peers.map((peer) => peer.url),
  });
  return createInfinispanEngine(settings).describe(AbortSignal.timeout(10_000));
}

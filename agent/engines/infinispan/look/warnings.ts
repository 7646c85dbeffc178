import type { Warning } from '../../../../shared/domain/warning.ts';
import type { Clients } from '../server/answers.ts';
import type { InfinispanSettings } from '../settings.ts';
import type { Seen } from './seen.ts';

/** Of which each server has its own entries, which no other knows of. */
const OF_EACH_SERVER = ['local-cache', 'invalidation-cache'];

/** What to know of a cluster before it is held. `lead`: said once, by the member that will hold it. */
export function warningsOf(
  { name }: InfinispanSettings,
  seen: Seen,
  lead: { readonly clients: Clients; readonly predictedMs: number } | null,
): Warning[] {
  if (lead === null) return [];
  const { container, status, caches, ignored } = seen;
  const found: Warning[] = [];
  const warn = (code: string, text: string, hint: string): void =>
    void found.push({ code, about: name, text, hint });
  const { clients, predictedMs } = lead;
  const who = whoIsConnected(clients, `cluster ${container.clusterName}`);
  if (who !== null)
    warn(
      'infinispan-clients',
      `${who}, and will be refused with 503 for some ${inSeconds(predictedMs)} s`,
      'clients that try again feel a pause; disconnect those that do not',
    );
  if (status === 'HEALTHY_REBALANCING')
    warn(
      'infinispan-rebalancing',
      `entries of cluster ${container.clusterName} are on their way between servers`,
      'nothing is to be done: a checkpoint waits for them',
    );
  if (!container.isRebalancingEnabled)
    warn(
      'infinispan-rebalancing',
      `rebalancing of cluster ${container.clusterName} is switched off`,
      'switch it on when the work is done that it was switched off for: until then a lost server loses copies',
    );
  const apart =
    container.members.length < 2 ? [] : caches.filter(({ type }) => OF_EACH_SERVER.includes(type));
  if (apart.length > 0)
    warn(
      'infinispan-cache-apart',
      `of ${namesOf(apart)} each server has its own entries, and only those of ${container.node} are copied`,
      'make it a distributed or replicated cache, or do without what is in it after a restore',
    );
  const linked = caches.filter(({ hasOtherSites }) => hasOtherSites);
  if (linked.length > 0 || container.sites.length > 1)
    warn(
      'infinispan-sites',
      `cluster ${container.clusterName} shares ${linked.length === 0 ? 'its site view' : namesOf(linked)} with other sites (${container.sites.join(', ')})`,
      'a checkpoint is of this site alone; take the others offline for a restore, and push the state to them afterwards',
    );
  const others = seen.isLeft ? [] : caches.filter((cache) => ignored.includes(cache.name));
  if (others.length > 0)
    warn(
      'infinispan-ignored',
      `${namesOf(others)} of cluster ${container.clusterName} ${others.length === 1 ? 'is' : 'are'} ignored by an operator`,
      'it is copied as it is, and stays ignored; server ignore in the CLI of the server shows the list',
    );
  return found;
}

/** In words, for a sentence; null where nobody is. */
export function whoIsConnected({ known, isWhole }: Clients, where: string): string | null {
  if (known.length === 0)
    return isWhole ? null : `clients may be connected to ${where}, whose servers do not tell of each other's`;
  const protocols = [...new Set(known.map(({ protocol }) => protocol ?? 'unknown'))].sort().join(', ');
  const count = `${isWhole ? '' : 'at least '}${known.length} ${known.length === 1 ? 'client is' : 'clients are'}`;
  return `${count} connected to ${where} (${protocols})`;
}

function namesOf(caches: readonly { readonly name: string }[]): string {
  const [first = '', ...others] = caches.map(({ name }) => name);
  if (others.length === 0) return `cache ${first}`;
  const told = [first, ...others.slice(0, 4)].join(', ');
  return `caches ${told}${others.length > 4 ? ` and ${others.length - 4} more` : ''}`;
}

function inSeconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}

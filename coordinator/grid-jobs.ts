import { parseCheckpointId } from '../shared/domain/checkpoint-id.ts';
import { PURPOSE_WORDS } from '../shared/domain/purpose.ts';
import type { HeldBy } from '../shared/domain/wire.ts';
import type { JobReport } from './reports.ts';

/**
 * The operations for which hosts are claimed, in the order of the hosts that know of them. Their tokens are left out: who
 * has one may end its job, and a status is pasted into chats.
 */
export function jobsOf(
  hosts: readonly { readonly host: string; readonly held: HeldBy | null }[],
): JobReport[] {
  const claims = hosts.flatMap(({ host, held }) => (held === null ? [] : [{ host, held }]));
  const operations = new Set(claims.map(({ held }) => held.operation));
  return [...operations].flatMap((operation) => {
    const own = claims.filter(({ held }) => held.operation === operation);
    // A host of which no member takes part does not know what it is claimed for.
    const known = own.find(({ held }) => held.checkpoint !== null) ?? own[0];
    if (known === undefined) return [];
    const { holder, checkpoint, purpose } = known.held;
    const since = checkpoint === null ? null : (parseCheckpointId(checkpoint)?.at.toISOString() ?? null);
    return [
      { purpose: purpose?.type ?? null, checkpoint, holder, since, hosts: own.map(({ host }) => host) },
    ];
  });
}

export function jobInWords({ purpose, checkpoint, holder, since, hosts }: JobReport): string {
  const what = purpose === null ? 'an operation' : `${PURPOSE_WORDS[purpose]} ${checkpoint}`;
  return `${what} of ${holder} has ${hosts.join(', ')}${since === null ? '' : `, since ${since}`}`;
}

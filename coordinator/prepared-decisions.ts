import type { GridManifest, GridManifestMember } from '../shared/domain/manifest.ts';
import type { FoundPrepared } from '../shared/domain/wire.ts';
import type { PreparedDecision } from './reports.ts';
import type { PlannedMember } from './restore-plan.ts';

/**
 * Two-phase transactions that stood prepared at the mark. Where another member of the checkpoint had
 * committed the same gid, it is committed where it is found, while the member is proven; the rest is left as it is,
 * with the commands to decide: only the application's own transaction manager knows.
 */
export async function committedElsewhere(
  manifest: GridManifest,
  readFacts: (member: GridManifestMember) => Promise<unknown>,
): Promise<ReadonlyMap<GridManifestMember, readonly string[]>> {
  const primaries = manifest.members.filter((one) => one.primary);
  const facts = new Map<GridManifestMember, unknown>();
  for (const member of primaries) facts.set(member, await readFacts(member));
  const committed = new Set<string>();
  for (const one of facts.values())
    for (const { gid, outcome } of listOf(one, 'preparedEnded', isEnded))
      if (outcome === 'committed') committed.add(gid);
  return new Map(
    [...facts].map(([member, one]) => [
      member,
      listOf(one, 'preparedAtMark', isPrepared)
        .map(({ gid }) => gid)
        .filter((gid) => committed.has(gid)),
    ]),
  );
}

/** What was found on a restored member, and what is left for a person to do. */
export function preparedReport(member: PlannedMember, found: readonly FoundPrepared[]): PreparedDecision[] {
  return found.map(({ gid, database, committed, cause }) => {
    const base = { gid, member: member.name, database, found: 'prepared' as const };
    if (committed) return { ...base, decided: 'commit', applied: true, command: null };
    const quoted = `'${gid.replaceAll("'", "''")}'`;
    const where = `in database ${database} at ${member.to.address}`;
    if (cause !== '') {
      const command = `COMMIT PREPARED ${quoted}; ${where}`;
      return { ...base, decided: 'commit', applied: false, command, cause };
    }
    const command = `COMMIT PREPARED ${quoted}; or ROLLBACK PREPARED ${quoted}; ${where}`;
    return { ...base, decided: null, applied: false, command };
  });
}

/** Engines that know two-phase transactions tell of them in lists of their facts. */
function listOf<T>(facts: unknown, name: string, isOne: (one: unknown) => one is T): readonly T[] {
  if (typeof facts !== 'object' || facts === null) return [];
  const list = (facts as Record<string, unknown>)[name];
  return Array.isArray(list) ? list.filter(isOne) : [];
}

function isPrepared(one: unknown): one is { gid: string } {
  return typeof one === 'object' && one !== null && 'gid' in one;
}

function isEnded(one: unknown): one is { gid: string; outcome: string } {
  return isPrepared(one) && 'outcome' in one;
}

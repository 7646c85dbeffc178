import type { GridManifest, GridManifestMember } from '../shared/domain/manifest.ts';
import type { FoundPrepared } from '../shared/domain/wire.ts';
import type { Warning } from '../shared/domain/warning.ts';
import type { PreparedDecision } from './reports.ts';
import type { PlannedMember } from './planned-member.ts';

/**
 * Two-phase transactions that stood prepared at the mark. Where another member of the checkpoint had
 * committed the same gid, it is committed where it is found, while the member is proven; the rest is left as it is,
 * with the commands to decide: only the application's own transaction manager knows. So is a gid that any member saw
 * used more than once: what was committed elsewhere may have been the transaction before, and half of a transaction
 * would be committed here.
 */
export async function committedElsewhere(
  manifest: GridManifest,
  readFacts: (member: GridManifestMember) => Promise<unknown>,
): Promise<{
  readonly committed: ReadonlyMap<GridManifestMember, readonly string[]>;
  /** Why some of them are left, where another member had committed the gid. */
  readonly warnings: readonly Warning[];
}> {
  const primaries = manifest.members.filter((one) => one.primary);
  const facts = new Map<GridManifestMember, unknown>();
  for (const member of primaries) facts.set(member, await readFacts(member));
  const ended = new Set<string>();
  const reused = new Set<string>();
  for (const one of facts.values()) {
    for (const { gid, outcome } of listOf(one, 'preparedEnded', isEnded))
      if (outcome === 'committed') ended.add(gid);
    for (const gid of listOf(one, 'preparedReused', isText)) reused.add(gid);
  }
  const committed = new Map<GridManifestMember, readonly string[]>();
  const warnings: Warning[] = [];
  for (const [member, one] of facts) {
    const standing = listOf(one, 'preparedAtMark', isPrepared).map(({ gid }) => gid);
    const found = standing.filter((gid) => ended.has(gid));
    committed.set(
      member,
      found.filter((gid) => !reused.has(gid)),
    );
    for (const gid of found.filter((name) => reused.has(name)))
      warnings.push({
        code: 'prepared-name-reused',
        about: member.name,
        text: `prepared transaction ${gid} is left for you to decide: its name was used more than once while the checkpoint was made, so a commit elsewhere may be that of an earlier one`,
        hint: 'commit it or roll it back, as its application says',
      });
  }
  return { committed, warnings };
}

/** What was found on a restored member, and what is left for a person to do. */
export function preparedReport(member: PlannedMember, found: readonly FoundPrepared[]): PreparedDecision[] {
  return found.map(({ gid, database, committed, cause, byHand }) => {
    const base = { gid, member: member.name, database, found: 'prepared' as const };
    if (committed) return { ...base, decided: 'commit', applied: true, command: null };
    const where = `in database ${database} at ${member.to.address}`;
    if (cause !== '') {
      const command = `${byHand.commit}; ${where}`;
      return { ...base, decided: 'commit', applied: false, command, cause };
    }
    const command = `${byHand.commit}; or ${byHand.rollback}; ${where}`;
    return { ...base, decided: null, applied: false, command };
  });
}

/** Engines that know two-phase transactions tell of them in lists of their facts. */
function listOf<T>(facts: unknown, name: string, isOne: (one: unknown) => one is T): readonly T[] {
  if (typeof facts !== 'object' || facts === null) return [];
  const list = (facts as Record<string, unknown>)[name];
  return Array.isArray(list) ? list.filter(isOne) : [];
}

function isText(one: unknown): one is string {
  return typeof one === 'string';
}

function isPrepared(one: unknown): one is { gid: string } {
  return typeof one === 'object' && one !== null && 'gid' in one;
}

function isEnded(one: unknown): one is { gid: string; outcome: string } {
  return isPrepared(one) && 'outcome' in one;
}

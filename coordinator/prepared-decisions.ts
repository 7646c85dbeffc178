import { failureOf } from '../shared/domain/errors.ts';
import type { GridManifest, GridManifestMember } from '../shared/domain/manifest.ts';
import type { PreparedDecision } from './reports.ts';
import type { PlannedMember } from './restore-plan.ts';

export interface FoundPrepared {
  readonly gid: string;
  readonly database: string;
  readonly member: PlannedMember;
}

export interface DecisionInput {
  readonly found: readonly FoundPrepared[];
  readonly manifest: GridManifest;
  readFacts(member: GridManifestMember): Promise<unknown>;
  decide(member: PlannedMember, gid: string, database: string, outcome: 'commit' | 'rollback'): Promise<void>;
}

/**
 * Two-phase transactions that stood prepared at the mark. Where another member of the checkpoint had
 * committed the same gid, it is committed here too; the rest is left as it is, with the commands to decide:
 * only the application's own transaction manager knows.
 */
export async function decidePrepared(input: DecisionInput): Promise<PreparedDecision[]> {
  if (input.found.length === 0) return [];
  const committed = await committedElsewhere(input);
  const decisions: PreparedDecision[] = [];
  for (const { gid, database, member } of input.found) {
    const quoted = `'${gid.replaceAll("'", "''")}'`;
    const where = `in database ${database} at ${member.to.address}`;
    const base = { gid, member: member.name, database, found: 'prepared' as const };
    if (!committed.has(gid)) {
      const command = `COMMIT PREPARED ${quoted}; or ROLLBACK PREPARED ${quoted}; ${where}`;
      decisions.push({ ...base, decided: null, applied: false, command });
      continue;
    }
    try {
      await input.decide(member, gid, database, 'commit');
      decisions.push({ ...base, decided: 'commit', applied: true, command: null });
    } catch (error) {
      const { message } = failureOf(error, { code: 'decide', hint: '' });
      decisions.push({
        ...base,
        decided: 'commit',
        applied: false,
        command: `COMMIT PREPARED ${quoted}; ${where}`,
        cause: message,
      });
    }
  }
  return decisions;
}

/** The gids that a member of this checkpoint had committed by its mark. */
async function committedElsewhere(input: DecisionInput): Promise<Set<string>> {
  const committed = new Set<string>();
  for (const member of input.manifest.members.filter((one) => one.primary)) {
    const facts = await input.readFacts(member);
    for (const { gid, outcome } of preparedEnded(facts)) if (outcome === 'committed') committed.add(gid);
  }
  return committed;
}

/** Engines that know two-phase transactions tell their ended ones as `preparedEnded` of their facts. */
function preparedEnded(facts: unknown): readonly { gid: string; outcome: string }[] {
  if (typeof facts !== 'object' || facts === null || !('preparedEnded' in facts)) return [];
  const list = facts.preparedEnded;
  return Array.isArray(list) ? list.filter(isEnded) : [];
}

function isEnded(one: unknown): one is { gid: string; outcome: string } {
  return typeof one === 'object' && one !== null && 'gid' in one && 'outcome' in one;
}

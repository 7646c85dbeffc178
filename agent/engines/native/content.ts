import * as z from 'zod';
import type { Content, ParticipantDescription } from '../../../shared/domain/participant.ts';
import type { Warning } from '../../../shared/domain/warning.ts';
import type { RestoreContext } from '../engine.ts';

const factsSchema = z.object({ content: z.object({ count: z.number(), digest: z.string() }).nullable() });
const WHAT = { node: 'rows', 'state-keeper': 'copysets', 'realm-service': 'defined processes', proxy: '' };

export interface Comparison {
  /** What does not hold; null where nothing is known to be wrong. */
  readonly differs: string | null;
  /** What holds, in words. */
  readonly proven: string;
  readonly warnings: readonly Warning[];
}

/**
 * What a restored process came up with, against what was there at the mark, both in its own words. Only what it had
 * from its own files counts: a node that came up empty is soon filled by its copyset, and would look restored.
 */
export function compareContent(
  { source, follow }: Pick<RestoreContext, 'source' | 'follow'>,
  { name, role, startedWith }: Pick<ParticipantDescription, 'name' | 'role' | 'startedWith'>,
): Comparison {
  // What follows another stored nothing, and is told everything; a proxy has nothing.
  if (role === 'proxy' || follow !== null)
    return { differs: null, proven: 'has nothing of its own', warnings: [] };
  const captured = factsSchema.safeParse(source.manifest.engineFacts).data?.content ?? null;
  if (captured === null) {
    const warning = {
      code: 'content-unproven',
      about: name,
      text: 'it did not say at the mark what it holds: its identity and health are proven, its content is not',
      hint: 'let it say so: docs/participant.md names how',
    };
    return { differs: null, proven: 'has the identity that was captured', warnings: [warning] };
  }
  if (startedWith === null)
    return {
      differs: `said at the mark what it holds (${inWords(role, captured)}), and says it no more`,
      proven: '',
      warnings: [],
    };
  const proven = `came up with ${inWords(role, captured)}, as captured`;
  if (startedWith.count === captured.count && startedWith.digest === captured.digest)
    return { differs: null, proven, warnings: [] };
  const differs = `${proven}, but with ${inWords(role, startedWith)}`;
  return { differs, proven: '', warnings: [] };
}

function inWords(role: ParticipantDescription['role'], { count, digest }: Content): string {
  return `${count} ${WHAT[role]} (${digest.slice(0, 12) || 'no digest'})`;
}

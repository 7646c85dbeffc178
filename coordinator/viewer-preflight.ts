import { EXIT, StillpointError, type Failure } from '../shared/domain/errors.ts';
import { findUnheld } from '../shared/protocol/viewers.ts';
import type { PlacedMember } from './realm-preflight.ts';

/** Whoever has a member's journal and would not be held: exit code 3. The members are those that run. */
export function checkViewers(running: readonly PlacedMember[], allowLogical: boolean): void {
  const failure = unheld(running, allowLogical);
  if (failure !== null) throw new StillpointError({ ...failure, phase: 'preflight' }, EXIT.refused);
}

/** The same for `grid doctor`. What an option allows is no more than good to know. */
export function viewerFindings(
  running: readonly PlacedMember[],
): { level: 'problem' | 'warning'; failure: Failure }[] {
  const problem = unheld(running, true);
  if (problem !== null) return [{ level: 'problem', failure: problem }];
  const outside = unheld(running, false);
  return outside === null ? [] : [{ level: 'warning', failure: outside }];
}

function unheld(running: readonly PlacedMember[], allowLogical: boolean): Failure | null {
  const viewed = running.map(({ description: { name, freezeKind, viewing } }) => ({
    name,
    kind: freezeKind,
    viewing,
  }));
  const found = findUnheld(viewed, allowLogical);
  if (found === null) return null;
  const { code, member, cause, hint } = found;
  const host = running.find(({ description }) => description.name === member)?.host;
  return { code, message: `${member}: ${cause}`, hint, member, ...(host !== undefined && { host }) };
}

import type { Assignment } from '../domain/assignment.ts';
import type { FreezeKind } from '../domain/grid.ts';
import type { Suspension, ThawProof } from '../domain/messages.ts';
import { findUnheld } from './viewers.ts';

/**
 * Why a cut that was taken may still be no cut.
 *
 * Every member marked while its fence held, and the thaw went out after the last mark: if each fence held
 * from its mark until that member's thaw came, nothing logged after one member's mark was visible before
 * every other had marked, and the cut is consistent. The coordinator cannot see the fences. So each member
 * proves its own, and the checkpoint is committed only when all proofs are there, all say "held", and all
 * come from the very process that was armed and marked; and when nobody else had the journal of a member who
 * could have shown it meanwhile (viewers). The proof of a lead stands for all of its domain. Anything less is no
 * success with a warning: it is no checkpoint.
 */
export interface InvalidCut {
  readonly member: string;
  readonly cause: string;
  /** Where the cause has a code and a remedy of its own. */
  readonly code?: string;
  readonly hint?: string;
}

export interface HeldMember {
  readonly name: string;
  readonly kind: FreezeKind;
  /** Not set: it holds itself. */
  readonly hold?: Assignment['hold'];
  /** Whose proof stands for it, where it holds nothing itself. */
  readonly heldBy?: string | undefined;
  /** The process that was armed, that marked, and that the proof is from. */
  readonly armed: string | undefined;
  readonly marked: string | undefined;
  readonly proof: ThawProof | undefined;
}

/** The first reason against the cut, null when the proof is complete. */
export function findInvalid(members: readonly HeldMember[], allowLogical = false): InvalidCut | null {
  const leads = new Set(members.filter(({ hold }) => hold === 'lead').map(({ name }) => name));
  for (const { name, hold, heldBy, armed, marked, proof } of members) {
    if (hold === 'none') {
      if (heldBy !== undefined && leads.has(heldBy)) continue;
      return { member: name, cause: 'nobody held it: the lead of its domain takes no part' };
    }
    if (proof === undefined) return { member: name, cause: 'it gave no proof that it held' };
    if (proof.type === 'alreadyResumed')
      return { member: name, cause: `it had resumed before the thaw: ${proof.cause}` };
    if (proof.type === 'broken') return { member: name, cause: proof.cause };
    if (armed !== proof.incarnation || marked !== proof.incarnation) {
      return { member: name, cause: 'its process was restarted in between' };
    }
  }
  const viewed = members.map(({ name, kind, proof }) => ({
    name,
    kind,
    viewing: proof?.type === 'held' ? proof.viewing : undefined,
  }));
  return findUnheld(viewed, allowLogical);
}

/**
 * The first member of a freeze whose database files may have changed before its end, null when all say that they have
 * not. One that says nothing has not held: an observer, which has no write daemon that anybody copies from, says so too.
 */
export function findNotSuspended(
  collected: ReadonlyMap<string, { readonly suspension?: Suspension }>,
): InvalidCut | null {
  for (const [member, { suspension }] of collected) {
    if (suspension === undefined) return { member, cause: 'it gave no proof that it was suspended' };
    if (!suspension.held) return { member, cause: suspension.cause };
  }
  return null;
}

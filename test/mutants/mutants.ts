import { CHECKPOINT_MUTANTS } from './list/checkpoint.ts';
import { DOCUMENT_MUTANTS } from './list/documents.ts';
import { JOB_MUTANTS } from './list/jobs.ts';
import { NATIVE_HOLD_MUTANTS } from './list/native-holds.ts';
import { PROTOCOL_MUTANTS } from './list/protocol.ts';
import { REALM_MUTANTS } from './list/realm.ts';
import { RESTORE_MUTANTS } from './list/restore.ts';
import { SET_MUTANTS } from './list/sets.ts';
import type { Mutant } from './mutant.ts';

/** A requirement is covered when it has one here, and the test that claims it kills it. */
export const MUTANTS: readonly Mutant[] = [
  ...CHECKPOINT_MUTANTS,
  ...RESTORE_MUTANTS,
  ...SET_MUTANTS,
  ...REALM_MUTANTS,
  ...PROTOCOL_MUTANTS,
  ...JOB_MUTANTS,
  ...NATIVE_HOLD_MUTANTS,
  ...DOCUMENT_MUTANTS,
].sort((one, other) => numberOf(one) - numberOf(other));

function numberOf({ id }: Mutant): number {
  return Number(id.slice(1));
}

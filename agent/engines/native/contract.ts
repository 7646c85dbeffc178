import type { StillpointError } from '../../../shared/domain/errors.ts';
import { contractBroken } from '../../../shared/rpc/participant-failure.ts';
import type { NativeSettings } from './settings.ts';

/** What the agent sees broken for itself, word for word as proto/participant.proto has it. */
export const SENTENCES = {
  markNamesState:
    'A state keeper or realm service answers with the version of the state it has, in decimal, and length 0',
  markNamesFile: 'The name of the file that ends here, within the journal directory.',
  firstIsKept:
    'The journal files from `first_journal_file` on are not removed as long as it is suspended or the journal is retained.',
} as const;

/** A process answered what the contract does not allow. */
export function breaksContract(
  { participant }: Pick<NativeSettings, 'participant'>,
  what: string,
  sentence: keyof typeof SENTENCES,
): StillpointError {
  return contractBroken(participant, `${what}. The contract: "${SENTENCES[sentence]}"`);
}

import { assertNever } from '../../shared/domain/assert-never.ts';
import { servesContract } from './brought-up.ts';
import type { Lab } from './lab.ts';
import type { Need } from './promise.ts';

/** What is missing for a check, in the words of the command line; null where it is there. */
export async function missingFor(lab: Lab, need: Need): Promise<string | null> {
  const { writer, programs, files } = lab;
  switch (need) {
    case 'writer':
      return writer === undefined ? 'needs --writer and --reader' : null;
    case 'busy':
      return programs.busy === undefined ? 'needs --busy' : null;
    case 'start':
      return programs.start === undefined ? 'needs --start' : null;
    case 'socket':
      return servesContract(lab) ? null : 'needs --start with {socket}';
    case 'files':
      return (await files.areReadable()) ? null : `${files.live} cannot be read here`;
    default:
      return assertNever(need);
  }
}

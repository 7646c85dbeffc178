import { createInterface } from 'node:readline/promises';
import { StillpointError } from '../shared/domain/errors.ts';

/** Asks before something is destroyed. Off a terminal nobody can answer: then only --yes will do. */
export async function confirm(question: string, options: { yes: boolean }): Promise<void> {
  if (options.yes) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new StillpointError({
      code: 'not-confirmed',
      message: `${question} was not confirmed`,
      hint: 'give --yes where nobody can be asked',
    });
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`${question}? [y/N] `);
    if (/^y(es)?$/i.test(answer.trim())) return;
  } finally {
    terminal.close();
  }
  throw new StillpointError({
    code: 'not-confirmed',
    message: 'not confirmed, nothing was changed',
    hint: 'answer y, or give --yes',
  });
}

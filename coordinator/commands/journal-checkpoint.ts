import type { Command } from 'commander';
import type { Reach } from '../../shared/runtime/moments.ts';
import { holdOnce, withHoldOptions, type HoldOptions } from './hold-options.ts';

export function registerJournalCheckpoint(program: Command, reach: Reach): Command {
  const journalCheckpoint = program
    .command('journal-checkpoint')
    .description(
      'switch every data server to a new journal file at one moment, and tell which files end there; only updates wait, for an instant',
    )
    .addHelpText(
      'after',
      '\nExample: stillpoint journal-checkpoint --grid /etc/stillpoint/grid.yaml --output json',
    );
  return withHoldOptions(journalCheckpoint).action((options: HoldOptions, command: Command) =>
    holdOnce(command, options, { type: 'journalCheckpoint' }, reach),
  );
}

import { Option, type Command } from 'commander';
import type { Reach } from '../../shared/runtime/moments.ts';
import { parseDuration } from '../options.ts';
import { holdUntilLetGo, withLastingOptions, type LastingOptions } from './hold-options.ts';

/** What 0 stands for, too. */
const USUAL_MS = 600_000;

export function registerFreeze(program: Command, reach: Reach): Command {
  const freeze = program
    .command('freeze')
    .description(
      'suspend writing to the database files, with a journal checkpoint, until your own copies are made; clients go on',
    )
    .addHelpText(
      'after',
      '\nExample: stillpoint freeze --grid /etc/stillpoint/grid.yaml -- /usr/local/bin/copy-all',
    );
  const timeOut = new Option(
    '--time-out <duration>',
    'so long clients may go on updating before they may have to wait; the freeze does not end by it; 0 is 600',
  )
    .argParser(parseDuration)
    .default(USUAL_MS, '600');
  return withLastingOptions(freeze, timeOut).action(
    (cmd: string[], options: LastingOptions, command: Command) => {
      const timeOutMs = options.timeOut === 0 ? USUAL_MS : options.timeOut;
      return holdUntilLetGo(command, options, {
        purpose: { type: 'freeze', timeOutMs },
        program: cmd,
        reach,
      });
    },
  );
}

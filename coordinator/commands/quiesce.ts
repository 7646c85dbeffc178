import { Option, type Command } from 'commander';
import type { Reach } from '../../shared/runtime/moments.ts';
import { holdUntilLetGo, seconds, withLastingOptions, type LastingOptions } from './hold-options.ts';

interface QuiesceOptions extends LastingOptions {
  readonly allowReads?: boolean;
}

export function registerQuiesce(program: Command, reach: Reach): Command {
  const quiesce = program
    .command('quiesce')
    .description('block all activity until everything is on disk and your own copies are made, then resume')
    .option('--allow-reads', 'clients may go on reading')
    .addHelpText(
      'after',
      '\nExample: stillpoint quiesce --grid /etc/stillpoint/grid.yaml -- /usr/local/bin/snapshot-all',
    );
  const timeOut = new Option('--time-out <duration>', 'for each member to come to rest: 60, 90s, 5m')
    .argParser(seconds)
    .default(60_000, '60');
  return withLastingOptions(quiesce, timeOut).action(
    (cmd: string[], options: QuiesceOptions, command: Command) => {
      const { allowReads = false, timeOut: timeOutMs } = options;
      const purpose = { type: 'quiesce', allowReads, timeOutMs } as const;
      return holdUntilLetGo(command, options, { purpose, program: cmd, reach });
    },
  );
}

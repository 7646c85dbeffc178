import { Command, CommanderError } from 'commander';
import { StillpointError } from '../shared/domain/errors.ts';
import { version } from '../shared/runtime/version.ts';
import { registerCatalogue } from './commands/checkpoint-catalogue.ts';
import { registerCheckpointCreate } from './commands/checkpoint-create.ts';
import { registerSalvage } from './commands/checkpoint-salvage.ts';
import { registerPrune } from './commands/checkpoint-prune.ts';
import { registerGrid } from './commands/grid.ts';
import { registerPki } from './commands/pki.ts';
import { registerRestore } from './commands/restore.ts';
import { createPrinter } from './output.ts';
import { addGlobalOptions } from './session.ts';

/** Asked of the words themselves: a wrong command line must be told in the form that was asked for. */
function wantsJson(words: readonly string[]): boolean {
  return words.includes('--output=json') || words[words.indexOf('--output') + 1] === 'json';
}

function createProgram(): Command {
  const program = new Command('stillpoint')
    .description('live backup and restore for whole data grids')
    .version(version)
    .showSuggestionAfterError()
    .addHelpText('after', '\nExample: stillpoint checkpoint create nightly --grid /etc/stillpoint/grid.yaml');
  const checkpoint = program.command('checkpoint').description('create checkpoints and look after them');
  const commands = [
    program,
    checkpoint,
    registerCheckpointCreate(checkpoint),
    ...registerCatalogue(checkpoint),
    registerPrune(checkpoint),
    registerSalvage(checkpoint),
    registerRestore(program),
    ...registerGrid(program),
    ...registerPki(program),
  ];
  for (const command of commands) {
    addGlobalOptions(command)
      .exitOverride()
      .configureOutput({ writeErr: () => undefined });
  }
  return program;
}

async function main(): Promise<number> {
  const words = process.argv.slice(2);
  const printer = createPrinter(wantsJson(words) ? 'json' : 'text');
  try {
    await createProgram().parseAsync(process.argv);
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      const message = error.message.replace(/^error: /, '').replace(/\n/g, ' ');
      const asked = error.code === 'commander.help';
      return printer.error(
        new StillpointError({
          code: 'usage',
          message: asked ? 'no command was given' : message,
          hint: 'stillpoint --help, or --help behind a command, shows an example',
        }),
      );
    }
    return printer.error(error);
  }
}

process.exitCode = await main();
// Whatever an operation left open (a stream that is being closed) must not keep a script waiting.
process.stdout.write('', () => process.stderr.write('', () => process.exit()));

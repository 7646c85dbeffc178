import { Command } from 'commander';
import { goOn, type Reach } from '../shared/runtime/moments.ts';
import { version } from '../shared/runtime/version.ts';
import { addGlobalOptions } from './options.ts';
import { stdout } from './words.ts';

/** Adds commands to the program and returns those that it added. */
type Register = (program: Command, reach: Reach) => Command | Command[];

/** The first words of all commands, in the order of the help, and where they are. */
const COMMANDS: readonly { readonly words: readonly string[]; load(): Promise<Register> }[] = [
  {
    words: ['checkpoint'],
    load: async () => (await import('./commands/checkpoint.ts')).registerCheckpoint,
  },
  { words: ['restore'], load: async () => (await import('./commands/restore.ts')).registerRestore },
  { words: ['drill'], load: async () => (await import('./commands/drill.ts')).registerDrill },
  { words: ['import'], load: async () => (await import('./commands/import.ts')).registerImport },
  { words: ['export'], load: async () => (await import('./commands/export.ts')).registerExport },
  { words: ['quiesce'], load: async () => (await import('./commands/quiesce.ts')).registerQuiesce },
  { words: ['resume'], load: async () => (await import('./commands/let-go.ts')).registerResume },
  {
    words: ['journal-checkpoint'],
    load: async () => (await import('./commands/journal-checkpoint.ts')).registerJournalCheckpoint,
  },
  { words: ['freeze'], load: async () => (await import('./commands/freeze.ts')).registerFreeze },
  { words: ['thaw'], load: async () => (await import('./commands/let-go.ts')).registerThaw },
  { words: ['set'], load: async () => (await import('./commands/set.ts')).registerSets },
  {
    words: ['apply', 'get', 'describe', 'delete', 'logs'],
    load: async () => (await import('./commands/documents.ts')).registerDocuments,
  },
  { words: ['grid'], load: async () => (await import('./commands/grid.ts')).registerGrid },
  { words: ['repository'], load: async () => (await import('./commands/repository.ts')).registerRepository },
  { words: ['pki'], load: async () => (await import('./commands/pki.ts')).registerPki },
  { words: ['metrics'], load: async () => (await import('./commands/metrics.ts')).registerMetrics },
];

/**
 * `stillpoint` with its commands and their options. Parsing rejects CommanderErrors; actions, StillpointErrors.
 *
 * @param given the words of a command line: only what they need is loaded, for a script may ask every few seconds.
 *   Null is all of it.
 */
export async function createProgram(given: readonly string[] | null, reach: Reach = goOn): Promise<Command> {
  const program = new Command('stillpoint')
    .description('live backup and restore for whole data grids')
    .version(version)
    .showSuggestionAfterError()
    .addHelpText('after', '\nExample: stillpoint checkpoint create nightly --grid /etc/stillpoint/grid.yaml');
  const registers = await Promise.all(
    COMMANDS.filter(({ words }) => isNeeded(words, given)).map(({ load }) => load()),
  );
  for (const command of [program, ...registers.flatMap((register) => register(program, reach))]) {
    addGlobalOptions(command)
      .exitOverride()
      .configureOutput({ writeErr: () => undefined, writeOut: (text) => stdout.write(text) });
  }
  return program;
}

/** Whoever asks for help, or means a word that there is not, is shown all words. */
function isNeeded(words: readonly string[], given: readonly string[] | null): boolean {
  if (given === null) return true;
  const first = given[0] ?? '';
  if (first === '--version' || first === '-V') return false;
  return words.includes(first) || !COMMANDS.some((command) => command.words.includes(first));
}

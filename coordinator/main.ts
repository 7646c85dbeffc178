import '../shared/runtime/keep-compiled.ts';
import { CommanderError } from 'commander';
import { StillpointError } from '../shared/domain/errors.ts';
import { reach } from '../shared/runtime/hooks.ts';
import { createPrinter } from './output.ts';
import { createProgram } from './program.ts';
import { wordsAreTaken } from './words.ts';

/** Asked of the words themselves: a wrong command line must be told in the form that was asked for. */
function wantsJson(words: readonly string[]): boolean {
  return words.some(
    (word, at) =>
      ['--output=json', '-ojson', '-o=json'].includes(word) ||
      (['--output', '-o'].includes(word) && words[at + 1] === 'json'),
  );
}

async function main(): Promise<number> {
  const given = process.argv.slice(2);
  // What stands behind -- are the words of another program.
  const end = given.indexOf('--');
  const words = end === -1 ? given : given.slice(0, end);
  const printer = createPrinter(wantsJson(words) ? 'json' : 'text');
  try {
    const program = await createProgram(given, reach);
    await program.parseAsync(process.argv);
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

/**
 * The end of a process waits for its threads, and one that reads from a file server that is gone never returns. Another
 * program in its place has none of them.
 */
function leave(): void {
  const isReading = process.getActiveResourcesInfo().some((name) => name.startsWith('FSReq'));
  if (isReading) process.execve?.('/bin/sh', ['sh', '-c', `exit ${process.exitCode ?? 0}`], {});
  process.exit();
}

process.exitCode = await main();
// Whatever an operation left open (a stream that is being closed) must not keep a script waiting.
await wordsAreTaken();
leave();

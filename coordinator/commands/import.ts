import { basename } from 'node:path';
import type { Command } from 'commander';
import type { Reach } from '../../shared/runtime/moments.ts';
import { importArchive } from '../archives/import-archive.ts';
import { importedInWords } from '../archives/imported-words.ts';
import { inMegabytes } from '../megabytes.ts';
import type { ImportReport } from '../reports.ts';
import { withSession } from '../session.ts';

interface ImportOptions {
  readonly name?: string;
  readonly member?: string;
  readonly partial?: boolean;
}

export function registerImport(program: Command, reach: Reach): Command {
  return program
    .command('import <file>')
    .description("make a checkpoint of an archive that a member's own software wrote, such as FILE.zip")
    .option('--name <name>', 'of the checkpoint (default: that of the file, without .zip)')
    .option(
      '--member <member>',
      'whose archive it is, by name or HOST:PORT, where it could be of several groups',
    )
    .option('--partial', 'also where it was made of some kinds of data alone')
    .addHelpText(
      'after',
      '\nThe file lies on this host. It is read to its last byte before anything is committed. The checkpoint is of one group of members: latest, prune and the age of checkpoints pass it over, and restore leaves all other members as they are.' +
        '\n\nExample: stillpoint import my-backup.zip --grid /etc/stillpoint/grid.yaml',
    )
    .action((file: string, { name, member, partial }: ImportOptions, command: Command) =>
      withSession(
        command,
        async ({ gridFile, cancellation, progress, log, printer }) => {
          const report = await importArchive({
            gridFile: await gridFile(),
            file,
            name: name ?? nameOf(file),
            member: member ?? null,
            partial: partial ?? false,
            cancellation,
            progress,
            log,
            reach,
          });
          progress.finish();
          printer.result(report, inWords(report));
        },
        { abortsItself: true },
      ),
    );
}

/** Of the file, as far as a checkpoint may be called so. */
function nameOf(file: string): string {
  const name = basename(file)
    .replace(/\.zip$/i, '')
    .replaceAll(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 64);
  return name === '' ? 'imported' : name;
}

function inWords(report: ImportReport): string {
  const { checkpoint, imported, content, sizeBytes, storedBytes, durationMs, members, warnings } = report;
  return [
    checkpoint,
    `  ${importedInWords(imported)}`,
    `  state of ${members.map(({ name, host }) => `${name} on ${host}`).join(', ')}; ${content.join('; ')}`,
    `  ${inMegabytes(sizeBytes)}, ${inMegabytes(storedBytes)} of it new, in ${(durationMs / 1000).toFixed(1)} s`,
    ...warnings.map((warning) => `  warning: ${warning}`),
  ].join('\n');
}

import type { Command } from 'commander';
import { notValid } from '../checkpoint-selector.ts';
import { exportArchive } from '../archives/export-archive.ts';
import { LINEAGE_HELP } from '../lineage.ts';
import { inMegabytes } from '../megabytes.ts';
import { withSession } from '../session.ts';
import { selected, type SelectOptions } from './checkpoint-catalogue.ts';

export function registerExport(program: Command): Command {
  return program
    .command('export <id> <file>')
    .description('write the archive of a member out of a checkpoint, for its own software to restore')
    .option(
      '--member <member>',
      'which member, by name or HOST:PORT, where the checkpoint has archives of several',
    )
    .option('--lineage <lineage>', LINEAGE_HELP)
    .addHelpText(
      'after',
      '\nThe file is written on this host, for you alone to read. Every byte is verified. A file that is there is never written over.' +
        '\n\nExample: stillpoint export latest my-backup.zip --repository /srv/stillpoint',
    )
    .action(
      (id: string, file: string, options: SelectOptions & { readonly member?: string }, command: Command) =>
        withSession(
          command,
          async (session) => {
            const { printer, progress, cancellation } = session;
            const { repository, entry } = await selected(session, id, options);
            if (entry.state !== 'valid' || entry.manifest === null) throw notValid(entry);
            const report = await exportArchive({
              repository,
              manifest: entry.manifest,
              member: options.member ?? null,
              file,
              progress,
              signal: cancellation.signal,
            });
            progress.finish();
            const { checkpoint, member, sizeBytes, sha256 } = report;
            printer.result(
              report,
              `${report.file}: the archive of ${member} in ${checkpoint}, ${inMegabytes(sizeBytes)}, sha256 ${sha256}`,
            );
          },
          { abortsItself: true },
        ),
    );
}

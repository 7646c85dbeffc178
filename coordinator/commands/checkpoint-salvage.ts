import type { Command } from 'commander';
import { table } from '../output.ts';
import { inMegabytes } from '../megabytes.ts';
import type { SalvageReport } from '../reports.ts';
import { salvageCheckpoint } from '../salvage.ts';
import { withSession } from '../session.ts';

export function registerSalvage(checkpoint: Command): Command {
  return checkpoint
    .command('salvage <id>')
    .description('store a checkpoint whose repository is gone again, from the copies on the hosts')
    .addHelpText(
      'after',
      '\nLet `repository` in the grid file and in the agent files name a new place first, make it (stillpoint repository init), and restart the agents.' +
        '\n\nExample: stillpoint checkpoint salvage latest --grid /etc/stillpoint/grid.yaml',
    )
    .action((selector: string, _options: unknown, command: Command) =>
      withSession(
        command,
        async ({ gridFile, cancellation, progress, printer }) => {
          const report = await salvageCheckpoint({
            gridFile: await gridFile(),
            selector,
            cancellation,
            progress,
          });
          progress.finish();
          printer.result(report, inWords(report));
        },
        { abortsItself: true },
      ),
    );
}

function inWords(report: SalvageReport): string {
  return [
    `salvaged ${report.checkpoint}: ${inMegabytes(report.sizeBytes)} in ${(report.durationMs / 1000).toFixed(1)} s, every byte as it was captured`,
    table([
      ['  member', 'host', 'size'],
      ...report.members.map(({ name, host, sizeBytes }) => [`  ${name}`, host, inMegabytes(sizeBytes)]),
    ]),
  ].join('\n');
}

import { InvalidArgumentError, type Command } from 'commander';
import { StillpointError } from '../../shared/domain/errors.ts';
import { entriesOfOneGrid } from '../checkpoint-selector.ts';
import { confirm } from '../confirm.ts';
import { LINEAGE_HELP } from '../lineage.ts';
import { inMegabytes } from '../megabytes.ts';
import { pruneCheckpoints } from '../prune.ts';
import type { PruneReport } from '../reports.ts';
import { parseDuration, withSession } from '../session.ts';

interface PruneOptions {
  readonly keep?: number;
  readonly keepWithin?: number;
  readonly leftovers?: boolean;
  readonly dryRun?: boolean;
  readonly lineage?: string;
  readonly acceptTimes?: boolean;
  readonly yes?: boolean;
}

export function registerPrune(checkpoint: Command): Command {
  return checkpoint
    .command('prune')
    .description('delete the valid checkpoints that a rule does not keep; never the newest')
    .option('--keep <n>', 'keep so many of the newest', parseKeep)
    .option(
      '--keep-within <duration>',
      'keep what is no older than the newest by more than: 12h, 30d or 8w',
      parseDuration,
    )
    .option('--lineage <lineage>', LINEAGE_HELP)
    .option('--accept-times', 'count ages although the times of the checkpoints leap')
    .option('--leftovers', 'remove also what aborted runs have stored for the next one')
    .option('--dry-run', 'print what would be deleted and change nothing')
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      '\nWithout a grid file (only --repository) the copies on hosts stay.' +
        '\n\nExample: stillpoint checkpoint prune --keep 7 --keep-within 30d --yes --grid /etc/stillpoint/grid.yaml',
    )
    .action((options: PruneOptions, command: Command) => {
      const {
        keep = null,
        keepWithin = null,
        leftovers = false,
        dryRun = false,
        yes = false,
        lineage = null,
        acceptTimes = false,
      } = options;
      return withSession(
        command,
        async ({ repository: open, gridFile, cancellation, progress, printer }) => {
          if (keep === null && keepWithin === null) throw ruleMissing();
          const { repository, grid } = await open();
          const entries = await entriesOfOneGrid(repository, grid);
          const report = await pruneCheckpoints({
            repository,
            entries,
            gridFile: grid === null ? null : await gridFile(),
            lineage,
            acceptTimes,
            leftovers,
            rule: { keep, keepWithinMs: keepWithin },
            dryRun,
            confirm: ({ deleted }) =>
              confirm(`delete ${deleted.length} checkpoints and what hosts have of them, for good`, { yes }),
            cancellation,
            progress,
          });
          progress.finish();
          printer.result(report, inWords(report, dryRun));
        },
        { abortsItself: true },
      );
    });
}

function parseKeep(text: string): number {
  const keep = Number(text);
  if (/^\d+$/.test(text) && keep >= 1) return keep;
  throw new InvalidArgumentError('write a number, at least 1');
}

function ruleMissing(): StillpointError {
  return new StillpointError({
    code: 'usage',
    message: 'nothing says which checkpoints to keep',
    hint: 'give --keep N, --keep-within DURATION or both; what one of them keeps is kept',
  });
}

function inWords(report: PruneReport, dryRun: boolean): string {
  const would = dryRun ? 'would be ' : '';
  return [
    ...report.deleted.map((checkpoint) => `${checkpoint}: ${would}deleted`),
    ...report.local.map(
      ({ host, checkpoints }) => `${host}: copies ${would}removed: ${checkpoints.join(', ')}`,
    ),
    ...report.busy.map(({ checkpoint, holder }) => `${checkpoint}: kept for now, ${holder} reads it`),
    ...report.kept
      .filter((one) => !report.busy.some(({ checkpoint }) => checkpoint === one))
      .map((checkpoint) => `${checkpoint}: kept`),
    dryRun
      ? 'nothing was changed'
      : `${report.deleted.length} deleted, ${report.kept.length} kept, ${inMegabytes(report.removedBytes)} freed`,
  ].join('\n');
}

import { InvalidArgumentError, type Command } from 'commander';
import { StillpointError } from '../../shared/domain/errors.ts';
import { HOLD_PURPOSES } from '../../shared/domain/purpose.ts';
import { entriesOfOneGrid } from '../checkpoint-selector.ts';
import { confirm } from '../confirm.ts';
import { PERIODS, saysSomething, type KeepRule } from '../keep-rule.ts';
import { LINEAGE_HELP } from '../lineage.ts';
import { inMegabytes } from '../megabytes.ts';
import type { HoldsPlan } from '../prune-plan.ts';
import { pruneCheckpoints } from '../prune.ts';
import type { PruneReport } from '../reports.ts';
import { parseDuration } from '../options.ts';
import { withSession } from '../session.ts';

interface PruneOptions {
  readonly keep?: number;
  readonly keepLast?: number;
  readonly keepWithin?: number;
  readonly keepHourly?: number;
  readonly keepDaily?: number;
  readonly keepWeekly?: number;
  readonly keepMonthly?: number;
  readonly keepYearly?: number;
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
    .option('--keep-last <n>', 'the same', parseKeep)
    .option(
      '--keep-within <duration>',
      'keep what is no older than the newest by more than: 12h, 30d or 8w',
      parseDuration,
    )
    .option('--keep-hourly <n>', 'keep the newest of each of the last so many hours that have one', parseKeep)
    .option('--keep-daily <n>', 'the same for days, in UTC as the ids are', parseKeep)
    .option('--keep-weekly <n>', 'the same for weeks, which begin on Monday', parseKeep)
    .option('--keep-monthly <n>', 'the same for months', parseKeep)
    .option('--keep-yearly <n>', 'the same for years', parseKeep)
    .option('--lineage <lineage>', LINEAGE_HELP)
    .option('--accept-times', 'count ages although the times of the checkpoints leap')
    .option('--leftovers', 'remove also what aborted runs have stored for the next one')
    .option('--dry-run', 'print what would be deleted and change nothing')
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      '\nWhat one of the rules keeps is kept; --dry-run says which.' +
        '\nWithout a grid file (only --repository) the copies on hosts stay.' +
        '\n\nExample: stillpoint checkpoint prune --keep 7 --keep-daily 30 --keep-monthly 12 --yes --grid /etc/stillpoint/grid.yaml',
    )
    .action((options: PruneOptions, command: Command) => {
      const { leftovers = false, dryRun = false, yes = false, lineage = null, acceptTimes = false } = options;
      const rule = ruleOf(options);
      return withSession(
        command,
        async ({ repository: open, gridFile, cancellation, progress, printer }) => {
          if (!saysSomething(rule)) throw ruleMissing();
          const { repository, grid } = await open();
          const entries = await entriesOfOneGrid(repository, grid, { purposes: HOLD_PURPOSES });
          const report = await pruneCheckpoints({
            repository,
            entries,
            gridFile: grid === null ? null : await gridFile(),
            lineage,
            acceptTimes,
            leftovers,
            rule,
            dryRun,
            confirm: ({ deleted, holds }) =>
              confirm(
                `delete ${deleted.length} checkpoints and what hosts have of them${others(holds)}, for good`,
                { yes },
              ),
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

function others({ deleted }: HoldsPlan): string {
  return deleted.length === 0 ? '' : `, and ${deleted.length} that copied nothing`;
}

function ruleOf(options: PruneOptions): KeepRule {
  const {
    keep,
    keepLast,
    keepWithin = null,
    keepHourly,
    keepDaily,
    keepWeekly,
    keepMonthly,
    keepYearly,
  } = options;
  const asked = {
    hourly: keepHourly,
    daily: keepDaily,
    weekly: keepWeekly,
    monthly: keepMonthly,
    yearly: keepYearly,
  };
  const newest = [keep, keepLast].filter((count) => count !== undefined);
  return {
    keep: newest.length === 0 ? null : Math.max(...newest),
    keepWithinMs: keepWithin,
    calendar: Object.fromEntries(
      PERIODS.flatMap((period) => (asked[period] === undefined ? [] : [[period, asked[period]]])),
    ),
  };
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
    hint: 'give --keep N, --keep-within DURATION, --keep-daily N or more of them; what one of them keeps is kept',
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
      .map((checkpoint) => `${checkpoint}: kept (${(report.keptBy[checkpoint] ?? []).join(', ')})`),
    ...report.holds.deleted.map((hold) => `${hold}: ${would}deleted (it copied nothing)`),
    ...report.holds.kept.map(
      (hold) => `${hold}: kept (${(report.holds.keptBy[hold] ?? []).join(', ')}; it copied nothing)`,
    ),
    dryRun
      ? 'nothing was changed'
      : `${report.deleted.length} deleted, ${report.kept.length} kept, ${inMegabytes(report.removedBytes)} freed`,
  ].join('\n');
}

import type { Command } from 'commander';
import { access, constants, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { EXIT, StillpointError } from '../../shared/domain/errors.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import type { Reach } from '../../shared/runtime/moments.ts';
import { askHosts } from '../agents.ts';
import { checkCopied, selectCheckpoint } from '../checkpoint-selector.ts';
import { confirm } from '../confirm.ts';
import { drillGrid } from '../drill/drill.ts';
import { drillPage } from '../drill/report-page.ts';
import { lastDrills } from '../drill/report.ts';
import { drillInWords } from '../drill/report-text.ts';
import { finishRestore } from '../finish-restore.ts';
import { LINEAGE_HELP, lineageToSelect } from '../lineage.ts';
import {
  collectMap,
  demandsOf,
  MAP_HELP,
  parseRestoreId,
  withDemands,
  type DemandOptions,
} from '../restore-options.ts';
import { withSession } from '../session.ts';

interface DrillOptions extends DemandOptions {
  readonly lineage?: string;
  readonly map: ReadonlyMap<string, string>;
  readonly report?: string;
  readonly keep?: boolean;
  readonly yes?: boolean;
  readonly finish?: string;
  readonly goLive?: string;
}

export function registerDrill(program: Command, reach: Reach): Command {
  const drillCommand = program
    .command('drill [id]')
    .description(
      'restore a checkpoint (default: latest) onto empty hosts, prove it, report, and tear it down',
    )
    .option('--map <old=new>', MAP_HELP, collectMap, new Map<string, string>())
    .option('--lineage <lineage>', LINEAGE_HELP);
  return withDemands(drillCommand)
    .option('--report <file>', 'write the report there, as one page of HTML')
    .option('--keep', 'leave what was restored as it is: to look around, or to go live on it')
    .option('--finish <drill>', 'tear down what a drill has left, or kept', parseRestoreId)
    .option('--go-live <drill>', 'go live on what a drill kept', parseRestoreId)
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      '\nExample: stillpoint drill --grid /etc/stillpoint/drill.yaml --report /var/lib/stillpoint/drill.html',
    )
    .action((id: string | undefined, options: DrillOptions, command: Command) => {
      const { finish, goLive } = options;
      const ended = finish ?? goLive;
      if (ended === undefined) return drill(id ?? 'latest', options, command, reach);
      if (id !== undefined || (finish !== undefined && goLive !== undefined))
        command.error('error: --finish and --go-live each name the drill, and nothing else');
      return end(ended, options, command);
    });
}

function drill(id: string, options: DrillOptions, command: Command, reach: Reach): Promise<void> {
  const demands = demandsOf(options, command);
  return withSession(
    command,
    async ({ gridFile: load, cancellation, progress, log, printer, repository: open }) => {
      const gridFile = await load();
      const page = options.report === undefined ? null : resolve(options.report);
      if (page !== null) await access(dirname(page), constants.W_OK).catch(unwritable(page));
      const { repository } = await open();
      const entry = await selectCheckpoint(repository, gridFile.grid, id, (entries) =>
        lineageToSelect({
          entries,
          named: options.lineage ?? null,
          ask: () => askHosts(gridFile, cancellation.signal),
        }),
      );
      if (entry.manifest !== null) checkCopied(entry.manifest);
      const report = await drillGrid({
        gridFile,
        repository,
        entry,
        maps: options.map,
        demands,
        keep: options.keep ?? false,
        cancellation,
        progress,
        log,
        reach,
      });
      progress.finish();
      printer.result(report, drillInWords(report));
      process.exitCode = report.exitCode;
      if (page !== null) await writeFile(page, drillPage(report)).catch(unwritable(page));
    },
    { abortsItself: true },
  );
}

function end(drillId: string, options: DrillOptions, command: Command): Promise<void> {
  return withSession(
    command,
    async ({ gridFile: load, cancellation, progress, printer, repository: open }) => {
      const gridFile = await load();
      const { repository } = await open();
      const live = options.goLive !== undefined;
      if (live) await mustBeKept(repository, gridFile.grid, drillId);
      await confirm(`${live ? 'go live on' : 'tear down'} drill ${drillId} of grid ${gridFile.grid}`, {
        yes: options.yes ?? false,
      });
      const ended = await finishRestore({
        gridFile,
        repository,
        restoreId: drillId,
        undecided: live ? 'restored' : 'rolledBack',
        cancellation,
        progress,
      });
      progress.finish();
      if (live && ended.outcome !== 'restored') throw tornDown(drillId);
      printer.result(
        ended,
        ended.outcome === 'restored'
          ? `${ended.checkpoint} is live as grid ${ended.grid}, and every member is open${live ? '' : ': somebody went live on it, and nothing was torn down'}`
          : `the drill of ${ended.checkpoint} is torn down: nothing of it is left on the hosts`,
      );
    },
  );
}

/** Only what was proven as a whole, and then left alone everywhere, may be decided. */
async function mustBeKept(repository: Repository, grid: string, drillId: string): Promise<void> {
  const found = lastDrills(await repository.drills(grid), Infinity).find(({ drill: id }) => id === drillId);
  if (found?.kept === true && found.outcome === 'passed') return;
  throw new StillpointError(
    {
      code: 'drill-not-kept',
      message: `the repository has no drill ${drillId} that passed and was kept`,
      hint: 'use stillpoint restore, or drill again with --keep',
    },
    EXIT.refused,
  );
}

function tornDown(drillId: string): StillpointError {
  return new StillpointError(
    {
      code: 'drill-not-kept',
      message: `drill ${drillId} was torn down already, and nothing of it is left on the hosts`,
      hint: 'use stillpoint restore',
    },
    EXIT.rolledBack,
  );
}

function unwritable(path: string): (error: unknown) => never {
  return (error) => {
    throw new StillpointError({
      code: 'report-unwritable',
      message: `the report cannot be written to ${path}: ${error instanceof Error ? error.message : String(error)}`,
      hint: 'name another file with --report',
    });
  };
}

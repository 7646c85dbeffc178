import type { Command } from 'commander';
import { judge } from '../../shared/domain/judge-set.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import type { Reach } from '../../shared/runtime/moments.ts';
import { askHosts } from '../agents.ts';
import { checkCopied, notValid, selectCheckpoint } from '../checkpoint-selector.ts';
import type { Cancellation } from '../cancellation.ts';
import { confirm } from '../confirm.ts';
import type { GridFile } from '../grid-file.ts';
import { LINEAGE_HELP, lineageToSelect } from '../lineage.ts';
import { table } from '../output.ts';
import {
  collectMap,
  demandsOf,
  MAP_HELP,
  parseRestoreId,
  withDemands,
  type DemandOptions,
} from '../restore-options.ts';
import { inMegabytes } from '../megabytes.ts';
import type { RestoreReport } from '../reports.ts';
import { finishRestore } from '../finish-restore.ts';
import { addressLine } from '../restore-findings.ts';
import { restoreGrid } from '../restore.ts';
import { findHold } from '../sets/describe-set.ts';
import { setUnfit, type SetToRestore } from '../sets/restore-set.ts';
import { withSession } from '../session.ts';

interface RestoreOptions extends DemandOptions {
  readonly lineage?: string;
  readonly map: ReadonlyMap<string, string>;
  readonly stop?: boolean;
  readonly dryRun?: boolean;
  readonly set?: string;
  readonly yes?: boolean;
  readonly finish?: string;
}

export function registerRestore(program: Command, reach: Reach): Command {
  const restore = program
    .command('restore [id]')
    .description('bring the whole grid back from a checkpoint (ID, NAME or latest), here or on other hosts')
    .option('--map <old=new>', MAP_HELP, collectMap, new Map<string, string>())
    .option('--lineage <lineage>', LINEAGE_HELP)
    .option('--stop', 'stop the processes of the target grid first')
    .option(
      '--set <set>',
      'bring your own backups of this set to a journal checkpoint, quiesce or freeze, named by its full id',
    )
    .option('--dry-run', 'print the plan and change nothing');
  return withDemands(restore)
    .option('--yes', 'do not ask')
    .option(
      '--finish <restore>',
      'end a restore whose command is gone, as it was decided; else roll it back',
      parseRestoreId,
    )
    .addHelpText(
      'after',
      '\nExample: stillpoint restore latest --grid /etc/stillpoint/new-grid.yaml --map alpha.example=epsilon.example --yes',
    )
    .action((id: string | undefined, options: RestoreOptions, command: Command) => {
      if (options.finish !== undefined) {
        if (id !== undefined)
          command.error("error: --finish names the restore: leave the checkpoint's id out");
        return finish(options.finish, options, command);
      }
      if (id === undefined) command.error("error: missing required argument 'id'");
      const demands = demandsOf(options, command);
      return withSession(
        command,
        async ({ gridFile: load, cancellation, progress, log, printer, repository: open }) => {
          const gridFile = await load();
          const { repository } = await open();
          const { manifest, set } = await choose(repository, gridFile, id ?? '', options, cancellation);
          const dryRun = options.dryRun ?? false;
          if (!dryRun)
            await confirm(
              `replace the data of ${manifest.imported === undefined ? '' : `copyset ${manifest.copysets.join(', ')} of `}grid ${gridFile.grid} by ${set === undefined ? '' : `set ${set.set.name} at `}${manifest.checkpoint}`,
              { yes: options.yes ?? false },
            );
          const report = await restoreGrid({
            gridFile,
            repositoryLocation: repository.location,
            manifest,
            ...(set !== undefined && { set }),
            maps: options.map,
            demands,
            stop: options.stop ?? false,
            dryRun,
            cancellation,
            progress,
            log,
            reach,
          });
          progress.finish();
          printer.result(report, inWords(report, dryRun));
        },
        { abortsItself: true },
      );
    });
}

/** What is restored: a checkpoint with its copies, or the marks that a set is brought to. */
async function choose(
  repository: Repository,
  gridFile: GridFile,
  id: string,
  options: RestoreOptions,
  { signal }: Cancellation,
): Promise<{ manifest: GridManifest; set?: SetToRestore }> {
  if (options.set !== undefined) {
    const set = await repository.readSet(gridFile.grid, options.set);
    const { hold, manifest, unproven } = await findHold(repository, set, id);
    if (manifest !== null) return { manifest, set: { set, hold, unproven } };
    throw setUnfit({ set, hold }, judge(set, hold).reasons);
  }
  const entry = await selectCheckpoint(repository, gridFile.grid, id, (entries) =>
    lineageToSelect({
      entries,
      named: options.lineage ?? null,
      ask: () => askHosts(gridFile, signal),
    }),
  );
  if (entry.state !== 'valid' || entry.manifest === null) throw notValid(entry);
  checkCopied(entry.manifest);
  return { manifest: entry.manifest };
}

function finish(restoreId: string, options: RestoreOptions, command: Command): Promise<void> {
  return withSession(
    command,
    async ({ gridFile: load, cancellation, progress, printer, repository: open }) => {
      const gridFile = await load();
      const { repository } = await open();
      await confirm(`end restore ${restoreId} of grid ${gridFile.grid}`, { yes: options.yes ?? false });
      const ended = await finishRestore({ gridFile, repository, restoreId, cancellation, progress });
      progress.finish();
      printer.result(
        ended,
        ended.outcome === 'restored'
          ? `restored ${ended.checkpoint} as grid ${ended.grid}: it was decided, and every member is open`
          : `rolled back: the restore of ${ended.checkpoint} was never decided, and the old directories are back`,
      );
    },
  );
}

function inWords(report: RestoreReport, dryRun: boolean): string {
  const rows = report.members.map(({ name, from, image, to, state }) => [
    `  ${name}`,
    image === undefined ? from : `${from}, image ${image}`,
    to,
    state,
  ]);
  const what = report.set === undefined ? report.checkpoint : `set ${report.set} at ${report.checkpoint}`;
  const heading = dryRun
    ? `plan to restore ${what} as grid ${report.grid}; nothing was changed`
    : `restored ${what} as grid ${report.grid}: ${inMegabytes(report.bytes)} in ${(report.durationMs / 1000).toFixed(1)} s, verified`;
  return [
    heading,
    table([['  member', 'from', 'to', 'state'], ...rows]),
    ...report.relocations.map(
      ({ name, from, to }) =>
        `  the realm ${dryRun ? 'is to find' : 'finds'} ${name} at ${to}${from === null ? '' : `, no longer at ${from}`}`,
    ),
    ...report.addresses.map((address) => `  ${addressLine(address)}`),
    ...report.prepared.map(({ gid, member, decided, applied, command }) =>
      applied
        ? `  prepared transaction ${gid} of ${member}: committed, as elsewhere in the grid`
        : `  prepared transaction ${gid} of ${member}: ${decided ?? 'left as it is'}; ${command ?? ''}`,
    ),
    ...report.warnings.map((warning) => `  warning: ${warning}`),
  ].join('\n');
}

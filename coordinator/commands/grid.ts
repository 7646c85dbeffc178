import type { Command } from 'commander';
import { EXIT, type ExitCode } from '../../shared/domain/errors.ts';
import type { Role } from '../../shared/domain/grid.ts';
import { TOO_OLD } from '../checkpoint-age.ts';
import { confirm } from '../confirm.ts';
import { failOver } from '../failover.ts';
import { jobInWords } from '../grid-jobs.ts';
import { initializeGrid, nameOfNewGrid, type InitializedGrid } from '../grid-init.ts';
import { gridDoctor, gridStatus } from '../grid-status.ts';
import { operationsInWords } from '../operations-table.ts';
import { table } from '../output.ts';
import type { DoctorReport, StatusReport } from '../reports.ts';
import { parseDuration } from '../options.ts';
import { withSession } from '../session.ts';

export function registerGrid(program: Command): Command[] {
  const grid = program.command('grid').description('begin a grid, look at it, and fail over to it');
  const status = grid
    .command('status')
    .description('every member as its agent sees it now')
    .option(
      '--max-age <duration>',
      'exit 6 where the newest valid checkpoint is older: 26h or 7d',
      parseDuration,
    )
    .addHelpText('after', '\nExample: stillpoint grid status --max-age 26h --grid /etc/stillpoint/grid.yaml')
    .action((options: { maxAge?: number }, command: Command) =>
      withSession(command, async ({ gridFile, cancellation, log, printer }) => {
        const { report, leftFrozen } = await gridStatus({
          gridFile: await gridFile(),
          signal: cancellation.signal,
          log,
          maxAgeMs: options.maxAge ?? null,
        });
        printer.result(report, statusInWords(report));
        process.exitCode = exitOf(report, leftFrozen);
      }),
    );
  const doctor = grid
    .command('doctor')
    .description('everything that would stop a checkpoint, and what to know before one')
    .addHelpText('after', '\nExample: stillpoint grid doctor --grid /etc/stillpoint/grid.yaml')
    .action((_options: unknown, command: Command) =>
      withSession(command, async ({ gridFile, cancellation, log, printer }) => {
        const report = await gridDoctor({ gridFile: await gridFile(), signal: cancellation.signal, log });
        printer.result(report, doctorInWords(report));
        if (!report.healthy) process.exitCode = EXIT.refused;
      }),
    );
  return [grid, registerInit(grid), status, doctor, registerFailover(grid)];
}

function registerInit(grid: Command): Command {
  return grid
    .command('init <hosts...>')
    .description('make CA, certificates and grid file of a new grid, and say what to do with them')
    .option('--into <dir>', 'the folder for them (default: called as the grid is)')
    .option('--grid-name <name>', 'how the grid is called (default: as the folder, else grid)')
    .addHelpText(
      'after',
      '\nA host may be HOST:PORT. --repository PLACE stands in the grid file.\n' +
        '\nExample: stillpoint grid init alpha.example beta.example --into orders',
    )
    .action((hosts: string[], options: { into?: string; gridName?: string }, command: Command) =>
      withSession(command, async ({ printer }) => {
        const { gridName: name, into } = options;
        const { repository } = command.optsWithGlobals<{ repository?: string }>();
        const done = await initializeGrid({
          hosts,
          ...nameOfNewGrid({ ...(name !== undefined && { name }), ...(into !== undefined && { into }) }),
          repository: repository ?? null,
        });
        printer.result(done, initializedInWords(done));
      }),
    );
}

function initializedInWords({ grid, file, files, next }: InitializedGrid): string {
  return [
    `grid ${grid}: ${files.length} files are made; look at repository in ${file}`,
    'ca-key.pem makes certificates: keep it where nobody else comes, and off the hosts of the grid.',
    'Next, when stillpoint is installed on each host:',
    ...next.map((command) => `  ${command}`),
  ].join('\n');
}

function registerFailover(grid: Command): Command {
  return grid
    .command('failover')
    .description('raise the epoch, after a disaster-recovery failover to this grid')
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExample: stillpoint grid failover --yes --grid /etc/stillpoint/grid.yaml')
    .action((options: { yes?: boolean }, command: Command) =>
      withSession(
        command,
        async ({ gridFile: load, cancellation, progress, printer }) => {
          const gridFile = await load();
          await confirm(`raise the epoch of grid ${gridFile.grid} for good`, { yes: options.yes ?? false });
          const report = await failOver({ gridFile, cancellation, progress });
          progress.finish();
          printer.result(report, `grid ${report.grid} is in epoch ${report.epoch} from now on`);
        },
        { abortsItself: true },
      ),
    );
}

/** A script that asks how the grid is must not have to read it: anything that would stop a checkpoint counts. */
function exitOf({ hosts, members, problems }: StatusReport, leftFrozen: boolean): ExitCode {
  const all = [...problems, ...members.flatMap((member) => member.problems)];
  if (leftFrozen || all.some(({ code }) => code === 'undo-pending')) return EXIT.maybeFrozen;
  if (all.some(({ code }) => code === TOO_OLD)) return EXIT.invalid;
  return all.length > 0 || hosts.some(({ reachable }) => !reachable) ? EXIT.refused : EXIT.done;
}

function statusInWords(report: StatusReport): string {
  const rows = report.members.map((member) => [
    member.name,
    member.host,
    member.role,
    `${member.engine} ${member.version}`.trim(),
    member.address,
    member.running ? 'running' : 'down',
    member.running ? STANDING[member.role][member.primary ? 0 : 1] : '',
    member.frozen ? 'FROZEN' : '',
  ]);
  const unreachable = report.hosts
    .filter(({ reachable }) => !reachable)
    .map(({ host, error }) => `${host}: ${error?.message ?? 'not reachable'}`);
  const problems = report.members.flatMap(({ name, problems: all }) =>
    all.map(({ message, hint }) => `problem (${name}): ${message}\n  hint: ${hint}`),
  );
  return [
    `grid ${report.grid}`,
    table([['MEMBER', 'HOST', 'ROLE', 'ENGINE', 'ADDRESS', '', '', ''], ...rows]),
    ...report.jobs.map(jobInWords),
    ...unreachable,
    ...problems,
    ...report.problems.map(({ message, hint }) => `problem: ${message}\n  hint: ${hint}`),
    ...report.warnings.map((warning) => `warning: ${warning}`),
    ...(report.newest ? [`newest valid checkpoint: ${report.newest.checkpoint}`] : []),
  ].join('\n');
}

/** What a member is among those of its role: the first word for the one that leads. */
const STANDING: Readonly<Record<Role, readonly [string, string]>> = {
  'realm-service': ['primary', 'satellite'],
  'state-keeper': ['lead', ''],
  node: ['primary', 'standby'],
  proxy: ['', ''],
};

function doctorInWords(report: DoctorReport): string {
  const findings = report.findings.map(({ level, failure }) => {
    const where = [failure.member, failure.host].filter((part) => part !== undefined).join(' on ');
    return `${level}${where === '' ? '' : ` (${where})`}: ${failure.message}\n  hint: ${failure.hint}`;
  });
  return [
    ...(findings.length === 0 ? [`grid ${report.grid}: all is well`] : findings),
    ...operationsInWords(report.operations),
  ].join('\n');
}

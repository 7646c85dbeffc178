import type { Command } from 'commander';
import { StillpointError } from '../../shared/domain/errors.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { table } from '../output.ts';
import { confirm } from '../confirm.ts';
import { inMegabytes } from '../megabytes.ts';
import { withSession, type Session } from '../session.ts';
import { beginSet, describedHosts } from '../sets/begin-set.ts';
import { deleteSet } from '../sets/delete-set.ts';
import { describeSet, listSets } from '../sets/describe-set.ts';
import { endBackup } from '../sets/end-backup.ts';
import type {
  BackupReport,
  BegunReport,
  EndedReport,
  SetListReport,
  SetReport,
} from '../sets/set-reports.ts';
import { withAgents } from '../with-grid.ts';

interface OpenedSet {
  readonly repository: Repository;
  readonly grid: string;
}

/** Backups that operators make with tools of their own: what is told of them, and what they can be restored to. */
export function registerSets(program: Command): Command[] {
  const set = program
    .command('set')
    .description('know what your own backup tools copied, to restore it together');
  return [
    set,
    registerBegin(set),
    registerEnd(set),
    registerAdd(set),
    registerDescribe(set),
    registerList(set),
    registerDelete(set),
  ];
}

function registerBegin(set: Command): Command {
  return set
    .command('begin <set> [members...]')
    .description('a backup of these members begins now (default: of all that store data)')
    .addHelpText('after', '\nExample: stillpoint set begin nightly --grid /etc/stillpoint/grid.yaml')
    .action((name: string, members: string[], _options: unknown, command: Command) =>
      withSession(command, async (session) => {
        const { gridFile: load, repository: open, cancellation, printer } = session;
        const gridFile = await load();
        const { repository } = await open();
        const report = await withAgents(gridFile, cancellation.signal, (agents) =>
          beginSet({ grid: gridFile.grid, set: name, repository, agents }, members),
        );
        printer.result(report, begunInWords(report));
      }),
    );
}

interface EndOptions {
  readonly image: string;
  readonly readLater?: boolean;
}

const IMAGE_HELP = 'the name of the copy below the directory that the agent file names (images: DIR)';

function registerEnd(set: Command): Command {
  return set
    .command('end <set> <member>')
    .description('the backup of a member has ended; its agent reads what it copied')
    .requiredOption('--image <name>', IMAGE_HELP)
    .option('--read-later', 'do not wait until it is read: the same command without this reads it')
    .addHelpText(
      'after',
      '\nExample: stillpoint set end nightly orders-1a --image nightly/orders-1a --grid /etc/stillpoint/grid.yaml',
    )
    .action((name: string, member: string, options: EndOptions, command: Command) =>
      withSession(command, (session) => end(session, { set: name, member, type: 'ended', ...options })),
    );
}

function registerAdd(set: Command): Command {
  return set
    .command('add <set> <member>')
    .description('a backup of a member was made already, at any time before; for a later journal checkpoint')
    .requiredOption('--image <name>', IMAGE_HELP)
    .option('--read-later', 'do not wait until it is read: the same command without this reads it')
    .addHelpText(
      'after',
      '\nExample: stillpoint set add weekly orders-1a --image weekly/orders-1a --grid /etc/stillpoint/grid.yaml',
    )
    .action((name: string, member: string, options: EndOptions, command: Command) =>
      withSession(command, (session) => end(session, { set: name, member, type: 'added', ...options })),
    );
}

async function end(
  { gridFile: load, repository: open, cancellation, progress, printer }: Session,
  told: EndOptions & { readonly set: string; readonly member: string; readonly type: 'ended' | 'added' },
): Promise<void> {
  const gridFile = await load();
  const { repository } = await open();
  const { signal } = cancellation;
  const { readLater = false, ...rest } = told;
  const report = await withAgents(gridFile, signal, (agents) =>
    endBackup({ grid: gridFile.grid, repository, agents, progress, signal, readLater, ...rest }),
  );
  progress.finish();
  printer.result(report, endedInWords(report));
}

function registerDescribe(set: Command): Command {
  return set
    .command('describe <set>')
    .description('everything that is recorded of a set, and what it can be restored to')
    .option(
      '--for <id>',
      'whether it can be restored to this journal checkpoint, quiesce or freeze, and why not',
    )
    .option('--look', 'with --for: the agents read every image again')
    .addHelpText('after', '\nExample: stillpoint set describe nightly --repository /srv/stillpoint')
    .action((name: string, options: { for?: string; look?: boolean }, command: Command) => {
      if (options.look === true && options.for === undefined) command.error('error: --look goes with --for');
      return withSession(command, async (session) => {
        const { repository, grid } = await openSet(session, name);
        const known = await repository.readSet(grid, name);
        const report =
          options.for === undefined
            ? await describeSet(repository, known, null)
            : options.look === true
              ? await withAgents(await session.gridFile(), session.cancellation.signal, async (agents) =>
                  describeSet(repository, known, {
                    checkpoint: options.for ?? '',
                    look: await describedHosts({ grid, set: name, repository, agents }),
                  }),
                )
              : await describeSet(repository, known, { checkpoint: options.for, look: null });
        session.printer.result(report, describedInWords(report));
      });
    });
}

function registerList(set: Command): Command {
  return set
    .command('list')
    .description('the sets of backups in the repository')
    .addHelpText('after', '\nExample: stillpoint set list --repository /srv/stillpoint')
    .action((_options: unknown, command: Command) =>
      withSession(command, async (session) => {
        const { repository, grid } = await session.repository();
        const report = listSets(await repository.sets(grid ?? undefined));
        session.printer.result(report, listInWords(report));
      }),
    );
}

function registerDelete(set: Command): Command {
  return set
    .command('delete <set>')
    .description('forget a set; the backups themselves are not touched')
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExample: stillpoint set delete nightly --yes --repository /srv/stillpoint')
    .action((name: string, options: { yes?: boolean }, command: Command) =>
      withSession(command, async (session) => {
        const { repository, grid } = await openSet(session, name);
        await confirm(`forget set ${name} of grid ${grid} for good`, { yes: options.yes ?? false });
        await deleteSet(repository, grid, name);
        session.printer.result(
          { set: name, grid, deleted: true },
          `set ${name} is forgotten; its images are where they were`,
        );
      }),
    );
}

/** Where only a repository is named, no more than one of its grids may have a set of this name. */
async function openSet({ repository: open }: Session, name: string): Promise<OpenedSet> {
  const { repository, grid } = await open();
  if (grid !== null) return { repository, grid };
  const grids = (await repository.sets()).filter((one) => one.name === name).map((one) => one.grid);
  const [only = ''] = grids;
  if (grids.length === 1) return { repository, grid: only };
  throw new StillpointError({
    code: grids.length === 0 ? 'set-missing' : 'several-grids',
    message:
      grids.length === 0
        ? `the repository has no set ${name}`
        : `the grids ${grids.join(', ')} have each a set ${name}`,
    hint: grids.length === 0 ? 'stillpoint set list shows what it has' : 'say which grid with --grid FILE',
  });
}

function begunInWords({ set, grid, members }: BegunReport): string {
  const rows = members.map(({ name, host, ...standing }) => [`  ${name}`, host, standingInWords(standing)]);
  return [
    `set ${set} of grid ${grid}: ${members.length === 1 ? 'a backup has' : `${members.length} backups have`} begun`,
    table([['  MEMBER', 'HOST', ''], ...rows]),
  ].join('\n');
}

function standingInWords({ heldBy, running }: { heldBy: string | null; running: boolean }): string {
  if (heldBy !== null) return `held by ${heldBy}`;
  return running ? 'running' : 'shut down';
}

function endedInWords({ set, member, image, read, cold, ...standing }: EndedReport): string {
  return [
    `set ${set}: the backup of ${member} has ended, ${standingInWords(standing)}`,
    read === null
      ? `  image ${image} is to be read: stillpoint set end ${set} ${member} --image ${image}`
      : `  image ${image}: ${read.files} files, ${inMegabytes(read.sizeBytes)}${journalsInWords(read.journalFiles)}`,
    ...(cold === null
      ? []
      : [
          `  all members were shut down: the set is of that moment, and whole; stillpoint restore ${cold} --set ${set}`,
        ]),
  ].join('\n');
}

function journalsInWords(files: readonly string[]): string {
  const [first] = files;
  const last = files.at(-1);
  if (first === undefined || last === undefined) return '';
  return `; journal ${first === last ? first : `${first} to ${last}`}`;
}

function describedInWords(report: SetReport): string {
  const rows = report.backups.map(backupRow);
  const { for: judged } = report;
  return [
    `set ${report.set} of grid ${report.grid}`,
    table([['  MEMBER', 'BEGUN', 'ENDED', 'IMAGE', 'SIZE', ''], ...rows]),
    ...report.problems.map(({ message, hint }) => `  problem: ${message}\n    hint: ${hint}`),
    ...(judged === undefined ? restorableInWords(report) : judgedInWords(judged)),
  ].join('\n');
}

function backupRow({ member, begun, ended, read }: BackupReport): string[] {
  return [
    `  ${member}`,
    begun === null ? (ended === null ? '' : 'elsewhere') : standingInWords(begun),
    ended === null ? 'not yet' : ended.type === 'added' ? 'added' : standingInWords(ended),
    ended?.image ?? '',
    read === null ? '' : inMegabytes(read.sizeBytes),
    read === null ? (ended === null ? '' : 'not read yet') : journalsInWords(read.journalFiles).slice(2),
  ];
}

function restorableInWords({ restorable, set }: SetReport): string[] {
  if (restorable.length === 0)
    return [
      `  it can be restored to nothing yet; stillpoint set describe ${set} --for ID says why not to one`,
    ];
  return restorable.map(
    ({ checkpoint, approach }) =>
      `  approach ${APPROACH_WORDS[approach]}: stillpoint restore ${checkpoint} --set ${set}`,
  );
}

const APPROACH_WORDS = {
  journals: '1, each backup and its journals up to the checkpoint',
  quiesce: '2, the backups alone',
  freeze: '3, the backups and the journal in them that ended at the checkpoint',
} as const;

function judgedInWords({ checkpoint, approach, reasons }: NonNullable<SetReport['for']>): string[] {
  if (approach !== null) return [`  can be restored to ${checkpoint}: approach ${APPROACH_WORDS[approach]}`];
  return [
    `  cannot be restored to ${checkpoint}:`,
    ...reasons.map(({ message, hint }) => `  - ${message}\n    hint: ${hint}`),
  ];
}

function listInWords({ sets }: SetListReport): string {
  if (sets.length === 0) return 'no sets';
  const rows = sets.map(({ set, state, backups, whole, sizeBytes, cause }) => [
    set,
    state === 'readable' ? `${whole} of ${backups}` : state,
    inMegabytes(sizeBytes),
    cause ?? '',
  ]);
  return table([['SET', 'WHOLE', 'SIZE', ''], ...rows]);
}

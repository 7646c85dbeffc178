import type { Command } from 'commander';
import type { Repository } from '../../shared/repository/repository.ts';
import { letGoOf, type LetGoInput } from '../jobs/let-go.ts';
import { reportInWords } from '../jobs/hold-report.ts';
import { checkInvoked, type Invoked } from '../jobs/invoked.ts';
import { withSession } from '../session.ts';
import { withInvoked } from './hold-options.ts';

interface LetGoOptions extends Invoked {
  readonly job?: string;
  readonly force?: boolean;
}

/** A token of ours, and nothing that stands for whichever job. */
const TOKEN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export function registerResume(program: Command): Command {
  const resume = program
    .command('resume')
    .description('end a quiesce from elsewhere: only with the token of its job, else by force')
    .option('--job <token>', 'as the quiesce has told it')
    .option(
      '--force',
      'agents end it, whatever its job says; without --job any quiesce. What was copied meanwhile is not to be trusted',
    )
    .addHelpText(
      'after',
      '\nExample: stillpoint resume --job 2f0c6a1e-90b4-4f0b-b0a5-8f1d6f2f7f10 --grid /etc/stillpoint/grid.yaml',
    );
  return withInvoked(resume).action((options: LetGoOptions, command: Command) => {
    const { job, force = false } = options;
    if (job === undefined && !force)
      command.error('error: --job names the quiesce that is meant: its command has told the token');
    if (job !== undefined && !TOKEN.test(job)) command.error('error: --job is no token of a quiesce');
    return letGo(command, options, { purpose: 'quiesce', job: job ?? null, force });
  });
}

export function registerThaw(program: Command): Command {
  const thaw = program
    .command('thaw')
    .description(
      'end a freeze from elsewhere: resumed, or already resumed and then its copies are worth nothing',
    )
    .option('--force', 'agents end it, whatever its job says. What was copied meanwhile is not to be trusted')
    .addHelpText('after', '\nExample: stillpoint thaw --grid /etc/stillpoint/grid.yaml');
  return withInvoked(thaw).action((options: LetGoOptions, command: Command) =>
    letGo(command, options, { purpose: 'freeze', job: null, force: options.force ?? false }),
  );
}

function letGo(
  command: Command,
  invoked: Invoked,
  what: Pick<LetGoInput, 'purpose' | 'job' | 'force'>,
): Promise<void> {
  return withSession(
    command,
    async ({ gridFile: load, repository: open, cancellation, progress, printer }) => {
      const gridFile = await load();
      await checkInvoked(gridFile, invoked, cancellation.signal);
      const repository = async (): Promise<Repository> => (await open()).repository;
      const report = await letGoOf({ gridFile, repository, ...what, cancellation, progress });
      progress.finish();
      printer.result(report, reportInWords(report));
    },
    { abortsItself: true },
  );
}

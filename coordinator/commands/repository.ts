import { resolve } from 'node:path';
import type { Command } from 'commander';
import { initRepository } from '../../shared/repository/open.ts';
import { withSession } from '../session.ts';

export function registerRepository(program: Command): Command[] {
  const repository = program.command('repository').description('where checkpoints are stored');
  const init = repository
    .command('init')
    .description('make the repository; one that is there already stays as it is')
    .addHelpText(
      'after',
      '\nMount it first: whatever is made in an empty mount point is hidden by the mount.' +
        '\n\nExample: stillpoint repository init --repository /srv/stillpoint',
    )
    .action((_options: unknown, command: Command) =>
      withSession(command, async ({ repositoryLocation, printer }) => {
        const { location } = await repositoryLocation();
        const { id, made } = await initRepository(location);
        const report = { repository: resolve(location), id, made };
        printer.result(
          report,
          made
            ? `repository ${id} made in ${report.repository}`
            : `there is a repository in ${report.repository} already: ${id}`,
        );
      }),
    );
  return [repository, init];
}

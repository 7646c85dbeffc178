import { resolve } from 'node:path';
import type { Command } from 'commander';
import { EXIT, StillpointError } from '../../shared/domain/errors.ts';
import { writeWhole } from '../../shared/runtime/whole-file.ts';
import { withSession } from '../session.ts';

export function registerMetrics(program: Command): Command {
  return program
    .command('metrics')
    .description('what the repository says of its grids, for Prometheus')
    .option('--textfile <file>', "write it into this file of node_exporter's textfile directory")
    .addHelpText(
      'after',
      '\nExample: stillpoint metrics --repository /srv/stillpoint --textfile /var/lib/prometheus/node-exporter/stillpoint.prom',
    )
    .action((options: { textfile?: string }, command: Command) =>
      withSession(command, async ({ repository: openIt, printer }) => {
        // Its library takes longer to load than all the rest, and no other command needs it.
        const { metricsText, readFigures } = await import('../metrics.ts');
        const { repository, grid } = await openIt();
        const figures = await readFigures(repository, grid);
        const text = await metricsText(figures, Date.now());
        if (options.textfile === undefined) return printer.result({ metrics: text }, text.trimEnd());
        const textfile = resolve(options.textfile);
        await writeTextfile(textfile, text);
        const grids = figures.grids.map((one) => one.grid);
        printer.result(
          { textfile, grids },
          `${textfile}: ${grids.length === 0 ? 'no grid' : grids.join(', ')}`,
        );
      }),
    );
}

/** Whole or not at all: node_exporter reads at any moment. What is being written has a name that it does not read. */
async function writeTextfile(path: string, text: string): Promise<void> {
  try {
    // The exporter is another user.
    await writeWhole(path, text, 0o644, { durable: false });
  } catch (error) {
    throw new StillpointError(
      {
        code: 'textfile-failed',
        message: `${path} cannot be written: ${error instanceof Error ? error.message : String(error)}`,
        hint: 'name a file in a directory that is there and that you may write to; what was in the file stays',
      },
      EXIT.usage,
      { cause: error },
    );
  }
}

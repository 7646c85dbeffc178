import { InvalidArgumentError, type Command } from 'commander';
import { holderName } from '../holder-name.ts';
import { LINEAGE_HELP } from '../lineage.ts';
import { inFields } from '../retention-words.ts';
import { withSession } from '../session.ts';
import { selected, type SelectOptions } from './checkpoint-catalogue.ts';

/** What keeps a checkpoint from being deleted, whoever asks for it: in the repository, beside the rules of prune. */
export function registerRetention(checkpoint: Command): Command[] {
  return [registerHold(checkpoint), registerRelease(checkpoint)];
}

function registerHold(checkpoint: Command): Command {
  return checkpoint
    .command('hold <id>')
    .description('keep a checkpoint for good: neither delete nor prune takes it until it is released')
    .requiredOption('--reason <text>', 'why, for whoever wants to delete it', parseReason)
    .addHelpText(
      'after',
      '\nExample: stillpoint checkpoint hold year-end --reason "audit 2026, ask J. Doe" --repository /srv/stillpoint',
    )
    .option('--lineage <lineage>', LINEAGE_HELP)
    .action((id: string, options: SelectOptions & { reason: string }, command: Command) =>
      withSession(command, async (session) => {
        const { printer } = session;
        const { repository, entry } = await selected(session, id, options);
        const retention = {
          reason: options.reason,
          by: holderName(),
          sinceMs: Date.now(),
        };
        await repository.retain(entry.grid, entry.checkpoint, retention);
        printer.result(
          { checkpoint: entry.checkpoint, held: inFields(retention) },
          `${entry.checkpoint} is kept for good: ${retention.reason}`,
        );
      }),
    );
}

function registerRelease(checkpoint: Command): Command {
  return checkpoint
    .command('release <id>')
    .description('a checkpoint that was kept for good may be deleted again')
    .addHelpText('after', '\nExample: stillpoint checkpoint release year-end --repository /srv/stillpoint')
    .option('--lineage <lineage>', LINEAGE_HELP)
    .action((id: string, options: SelectOptions, command: Command) =>
      withSession(command, async (session) => {
        const { printer } = session;
        const { repository, entry } = await selected(session, id, options);
        const retention = await repository.release(entry.grid, entry.checkpoint);
        printer.result(
          { checkpoint: entry.checkpoint, released: true, held: inFields(retention) },
          `${entry.checkpoint} may be deleted again; it was kept for: ${retention.reason}`,
        );
      }),
    );
}

const MOST_REASON = 1000;

function parseReason(text: string): string {
  const reason = text.trim();
  if (reason !== '' && reason.length <= MOST_REASON && !/\p{Cc}/u.test(reason)) return reason;
  throw new InvalidArgumentError(`write one line, of ${MOST_REASON} characters at most`);
}

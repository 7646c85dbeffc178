import type { Client } from 'pg';
import type { Warning } from '../../../../shared/domain/warning.ts';
import { OUR_STANDBYS } from '../fence/acknowledger.ts';
import { JOURNAL_NAME } from '../journal/journal-receiver.ts';

/** `failed`: the file at which the archiver stands; null where it does not. */
interface Delivery {
  readonly archives: boolean;
  readonly receivers: number;
  readonly failed: string | null;
}

/** Who replays nothing and still takes the journal writes it into files: pg_receivewal, Barman. */
const STATEMENT = `
  SELECT current_setting('archive_mode') <> 'off'
           AND (current_setting('archive_command') NOT IN ('', '(disabled)')
                OR coalesce(current_setting('archive_library', true), '') <> '') AS archives,
         (SELECT count(*)::int FROM pg_stat_replication
           WHERE state = 'streaming' AND replay_lsn IS NULL AND reply_time IS NOT NULL
             AND application_name <> ALL ($1)) AS receivers,
         (SELECT last_failed_wal FROM pg_stat_archiver
           WHERE last_failed_time > coalesce(last_archived_time, '-infinity')) AS failed`;

/**
 * Nothing of the journal is in the repository where the members are only marked: whoever restores needs each file up to
 * the mark from the operator's own archive. Whether one is made shows on the server.
 */
export async function deliveryWarnings(
  about: string,
  client: Client,
  journalFile: string,
): Promise<Warning[]> {
  const { rows } = await client.query<Delivery>(STATEMENT, [[...OUR_STANDBYS, JOURNAL_NAME]]);
  const { archives, receivers, failed } = rows[0] ?? { archives: false, receivers: 0, failed: null };
  if (!archives && receivers === 0)
    return [
      {
        code: 'postgres-journal-not-kept',
        about,
        text: `nothing archives the journal (archive_mode is off, and nobody receives it): ${journalFile}, which ends at the mark, is recycled some time`,
        hint: 'set archive_mode and archive_command, or let pg_receivewal run; then take the backups, and the next journal checkpoint after them',
      },
    ];
  if (archives && receivers === 0 && failed !== null)
    return [
      {
        code: 'postgres-archive-fails',
        about,
        text: `the archiver fails at ${failed}: ${journalFile}, which ends at the mark, comes behind it`,
        hint: "the server's log has what archive_command said: mend it, and the server tries again by itself",
      },
    ];
  return [];
}

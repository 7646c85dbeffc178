import type { Client } from 'pg';
import type { Failure } from '../../../../shared/domain/errors.ts';
import { JOURNAL_NAME } from '../journal/journal-receiver.ts';
import { OUR_STANDBYS } from '../fence/acknowledger.ts';

/**
 * Commits that wait until a standby shows them (synchronous_commit = remote_apply): a checkpoint pauses the replay of
 * every standby that serves reads, before anybody is armed and for as long as the slowest of the grid takes to pause. No
 * lease bounds that, for elsewhere it holds nobody up. What a session sets for itself is not seen.
 */
export async function commitsThatWaitForReplay(
  client: Client,
  { name, withoutReads }: { readonly name: string; readonly withoutReads: readonly string[] },
): Promise<Failure[]> {
  const { rows } = await client.query<{ standby: string; owner: string | null }>(
    `SELECT application_name AS standby,
            (SELECT nullif(concat_ws(', ', 'role ' || quote_ident(rolname), 'database ' || quote_ident(datname)), '')
               FROM pg_db_role_setting LEFT JOIN pg_roles ON pg_roles.oid = setrole
               LEFT JOIN pg_database ON pg_database.oid = setdatabase
              WHERE 'synchronous_commit=remote_apply' = ANY (setconfig) LIMIT 1) AS owner
       FROM pg_stat_replication
      WHERE sync_state IN ('sync', 'quorum', 'potential') AND application_name <> ALL ($1)
        AND (current_setting('synchronous_commit') = 'remote_apply'
             OR EXISTS (SELECT FROM pg_db_role_setting WHERE 'synchronous_commit=remote_apply' = ANY (setconfig)))
      ORDER BY application_name LIMIT 1`,
    [[...withoutReads, ...OUR_STANDBYS, JOURNAL_NAME]],
  );
  return rows.map(({ standby, owner }) => ({
    code: 'postgres-remote-apply',
    message: `${name}: commits wait until standby ${standby} has applied them (synchronous_commit = remote_apply${owner === null ? '' : `, of ${owner}`}), and a checkpoint pauses its replay: they would hang for as long as that takes`,
    hint: `set synchronous_commit = on ${owner === null ? 'and reload the server' : `for ${owner}`} for the time of the checkpoint, or take ${standby} out of synchronous_standby_names`,
  }));
}

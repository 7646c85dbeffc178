import type { Client } from 'pg';
import { StillpointError } from '../../../../shared/domain/errors.ts';

/**
 * When replay is as good as paused.
 *
 * A standby looks for a requested pause before each record that it applies. Most are paused at once. One that waits
 * inside a record, for a query that conflicts with it, for a lock, or for `recovery_min_apply_delay`, says `pause
 * requested` for as long as that takes; but it looks again before the next record, and after the delay even before
 * that one. So it shows nothing more than the record that it has in hand, which was in its primary's journal before
 * the pause was asked for, and so before any mark. That is all that an observer has to promise.
 */
export const LOOK = `
  SELECT CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() ELSE 'promoted' END AS state,
         CASE WHEN pg_is_in_recovery() AND pg_get_wal_replay_pause_state() = 'pause requested'
              THEN (SELECT wait_event_type || ' ' || wait_event FROM pg_stat_activity WHERE backend_type = 'startup')
         END AS "waitsIn",
         to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') AS "startedAt"`;

export interface Look {
  readonly state: 'paused' | 'pause requested' | 'not paused' | 'promoted';
  /** Where replay waits while a pause is requested; null where it does not wait. */
  readonly waitsIn: string | null;
}

const INSIDE_A_RECORD = /^(\S+ Recovery(ApplyDelay|Conflict\w+)|BufferPin \S+|Lock \S+)$/;

export function isHeld({ state, waitsIn }: Look): boolean {
  if (state === 'pause requested') return waitsIn !== null && INSIDE_A_RECORD.test(waitsIn);
  return state === 'paused';
}

/** What keeps it from pausing, as far as the server says: its wait, the session that reads for longest, the delay. */
export async function whyNotPaused(client: Client, { waitsIn }: Look): Promise<string> {
  const { rows } = await client.query<{ delay: string; reader: string | null }>(
    `SELECT current_setting('recovery_min_apply_delay') AS delay,
            (SELECT format('process %s of %s', pid, usename) FROM pg_stat_activity
              WHERE backend_type = 'client backend' AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
              ORDER BY xact_start LIMIT 1) AS reader`,
  );
  const { delay = '0', reader = null } = rows[0] ?? {};
  return [
    waitsIn === null ? 'it applies a record' : `it waits in ${waitsIn}`,
    ...(reader === null ? [] : [`${reader} reads for longest`]),
    ...(delay === '0' ? [] : [`recovery_min_apply_delay is ${delay}`]),
  ].join(', ');
}

export function notPaused(member: string, minutes: number, cause: string): StillpointError {
  return new StillpointError({
    code: 'replay-not-paused',
    message: `replay of ${member} did not pause in ${minutes} minutes: ${cause}`,
    hint: 'end the session that it names, or wait for it, then create the checkpoint again',
  });
}

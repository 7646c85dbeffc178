import { LOOK_AT_SENDERS, lookAtSlots, type SeenSenders } from '../look/viewing.ts';

/** How a primary is looked at and marked while clients wait: two statements that its control session has prepared. */
const STARTED_AT = `to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') AS "startedAt"`;

/**
 * Parsed and planned long before, so that nothing is looked up in catalogues while clients wait. The mark is made
 * only where the last acknowledgement has been taken up: then the fence holds. The snapshot is from just before, so
 * that a commit let go by that acknowledgement may look as if it had passed the fence; its record lies before the mark.
 */
export const PREPARE_STATEMENTS = `
  SET plan_cache_mode = force_generic_plan;
  PREPARE stillpoint_mark(text, pg_lsn, integer) AS
    SELECT pg_current_snapshot()::text AS snapshot,
           CASE WHEN $2 IS NULL OR $2 = (SELECT flush_lsn FROM pg_stat_get_wal_senders() WHERE pid = $3)
                THEN pg_create_restore_point($1)::text END AS position, ${STARTED_AT},
           ${LOOK_AT_SENDERS}, ${lookAtSlots('NULL')};
  PREPARE stillpoint_look(pg_lsn) AS
    SELECT pg_current_snapshot()::text AS snapshot, pg_current_wal_insert_lsn()::text AS position, ${STARTED_AT},
           current_setting('synchronous_standby_names') AS names, ${LOOK_AT_SENDERS}, ${lookAtSlots('$1')}`;

export interface LookRow extends SeenSenders {
  snapshot: string;
  /** Null: no mark was made, the fence did not hold yet. */
  position: string | null;
  startedAt: string;
  names: string;
}

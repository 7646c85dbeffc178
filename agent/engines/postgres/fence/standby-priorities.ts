import type { Client } from 'pg';
import { priorityOf } from './standby-names.ts';

/**
 * Whether every walsender of the server goes by this list. Each takes a reload up for itself, and one that
 * has not yet would release commits by the old list. `ours` must count as synchronous already.
 */
export async function standbysHaveTakenUp(
  control: Client,
  names: string,
  ours: number | null,
): Promise<boolean> {
  // A standby that has not flushed anything is no candidate, whatever its name: its priority shows as 0.
  const { rows } = await control.query<{ pid: number; name: string; priority: number; state: string }>(
    `SELECT pid, application_name AS name, sync_priority AS priority, sync_state AS state
       FROM pg_stat_replication WHERE flush_lsn IS NOT NULL AND state IN ('streaming', 'stopping')`,
  );
  if (ours !== null && !rows.some(({ pid, state }) => pid === ours && state === 'sync')) return false;
  return rows.every(({ name, priority }) => priority === priorityOf(names, name));
}

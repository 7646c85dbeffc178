import type { Client } from 'pg';
import { STANDBY_NAME } from './acknowledger.ts';
import { parseStandbyNames, plainName, priorityOf } from './standby-names.ts';
import { waitUntil } from '../server/wait-until.ts';

// A standing fence: the owner's own list names our standby first of all (`FIRST 1 (stillpoint, a)`). It is there only while
// a checkpoint is armed; else, and as soon as it is gone, the next of the list has its place, by the server's own rule.
// So nothing is set, and nothing stays where everything of ours is killed.

/** A standby that says nothing for so long is dropped by the server: longer than any lease of ordinary length. */
export const STANDING_TIMEOUT_MS = 20_000;

const GONE_MS = 2000;

/** Why this list is none for a standing fence, in words; null where it is one. */
export function whyNotStanding(setting: string): string | null {
  const parsed = parseStandbyNames(setting);
  if (parsed.method !== 'first')
    return parsed.method === 'any'
      ? 'of a quorum (ANY) the others could let a commit go without it'
      : 'it names nobody';
  const index = parsed.names.findIndex((name) => plainName(name).toLowerCase() === STANDBY_NAME);
  if (index < 0) return `it does not name ${STANDBY_NAME}`;
  const priority = priorityOf(setting, STANDBY_NAME);
  return priority !== index + 1 || priority > parsed.count
    ? `${STANDBY_NAME} is not among the first ${parsed.count} of it`
    : null;
}

/** How many standbys a commit waits for, and how many that stream could take part without ours. */
export async function withoutOurs(
  client: Client,
  setting: string,
): Promise<{ readonly needed: number; readonly present: number }> {
  const parsed = parseStandbyNames(setting);
  const { rows } = await client.query<{ name: string }>(
    `SELECT application_name AS name FROM pg_stat_replication
      WHERE flush_lsn IS NOT NULL AND state IN ('streaming', 'stopping')`,
  );
  const present = rows.filter(
    ({ name }) => name.toLowerCase() !== STANDBY_NAME && priorityOf(setting, name) > 0,
  ).length;
  return { needed: parsed.method === 'none' ? 0 : parsed.count, present };
}

/** Whether a standby of our name is there: another operation's, or anybody's. */
export async function isStandbyThere(client: Client): Promise<boolean> {
  const { rows } = await client.query('SELECT FROM pg_stat_replication WHERE lower(application_name) = $1', [
    STANDBY_NAME,
  ]);
  return rows.length > 0;
}

/**
 * Ends whatever stream of ours a dead or stopped agent has left, and has those who waited for it let go by who comes next.
 * Idempotent. Simple queries only: the connection may be a walsender's.
 */
export async function endStanding(client: Client): Promise<void> {
  await waitUntil(
    'our own standby to be gone',
    AbortSignal.timeout(GONE_MS * 2),
    async () => {
      const { rows } = await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_replication
          WHERE application_name = '${STANDBY_NAME}' AND usename = current_user`,
      );
      return rows.length === 0;
    },
    GONE_MS,
  );
  await passOn(client);
}

/**
 * A sender looks for commits to release when its standby says something: a little journal makes it. A primary that was
 * demoted meanwhile writes none.
 */
export async function passOn(client: Client): Promise<void> {
  await client.query('SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_switch_wal() END');
}

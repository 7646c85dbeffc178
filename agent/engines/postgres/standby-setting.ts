import { escapeLiteral, type Client } from 'pg';
import { z } from 'zod';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { waitUntil } from './wait-until.ts';

/** What must be put back: the undo of an armed primary. */
export const primaryUndoSchema = z.object({
  kind: z.literal('primary'),
  /** The setting that was in force. */
  original: z.string(),
  /** Whether postgresql.auto.conf held it; else ALTER SYSTEM RESET uncovers it. */
  inAutoConf: z.boolean(),
  /** What stood there, where that was not in force yet. */
  inFile: z.string().optional(),
  /** What we set in its place. A value that is neither is somebody else's, and stays. */
  armed: z.array(z.string()),
});

export type PrimaryUndo = z.infer<typeof primaryUndoSchema>;

const SETTLE_TIMEOUT_MS = 10_000;

/**
 * It is the server's checkpointer that makes commits wait, or not, when the setting changes; while it flushes
 * files it does not listen, and with the last synchronous standby taken from the list in that time, commits
 * would wait for the end of its checkpoint. So the setting is changed when it listens.
 */
export async function whenCheckpointerListens(
  client: Client,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<void> {
  const isListening = async (): Promise<boolean> => {
    const { rows } = await client.query<{ listens: boolean }>(
      `SELECT wait_event IN ('CheckpointerMain', 'CheckpointWriteDelay') AS listens
         FROM pg_stat_activity WHERE backend_type = 'checkpointer'`,
    );
    return rows[0]?.listens ?? false;
  };
  await waitUntil("the server's checkpointer to listen", signal, isListening, timeoutMs);
}

/** Sets it and reloads; resolves when this connection's process sees the new value. */
export async function setStandbyNames(client: Client, value: string): Promise<void> {
  await client.query(`ALTER SYSTEM SET synchronous_standby_names = ${escapeLiteral(value)}`);
  await reloadUntil(client, (current) => current === value);
}

/** Puts the owner's value back, to the letter. Idempotent. */
export async function restoreStandbyNames(client: Client, undo: PrimaryUndo): Promise<void> {
  const current = await currentNames(client);
  if (current !== undo.original && !undo.armed.includes(current)) return;
  // Also where the value looks right: a killed agent may have set it and not reloaded yet.
  await client.query(
    undo.inAutoConf
      ? `ALTER SYSTEM SET synchronous_standby_names = ${escapeLiteral(undo.inFile ?? undo.original)}`
      : 'ALTER SYSTEM RESET synchronous_standby_names',
  );
  await reloadUntil(client, (value) => !undo.armed.includes(value));
  // A sender looks for commits to release when its standby says something: a little journal makes it.
  if (undo.original !== '' && undo.armed.includes(current)) await client.query('SELECT pg_switch_wal()');
}

async function reloadUntil(client: Client, settled: (value: string) => boolean): Promise<void> {
  await client.query('SELECT pg_reload_conf()');
  const until = performance.now() + SETTLE_TIMEOUT_MS;
  for (;;) {
    // A process takes a reload up between two statements.
    if (settled(await currentNames(client))) return;
    if (performance.now() > until) {
      throw new StillpointError({
        code: 'postgres-reload',
        message: `the server did not take up its new synchronous_standby_names in ${SETTLE_TIMEOUT_MS} ms`,
        hint: 'see its log: a mistake in a configuration file makes a reload fail',
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function currentNames(client: Client): Promise<string> {
  const { rows } = await client.query<{ value: string }>(
    "SELECT current_setting('synchronous_standby_names') AS value",
  );
  return rows[0]?.value ?? '';
}

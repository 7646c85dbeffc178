import type { Client } from 'pg';
import { z } from 'zod';
import { StillpointError } from '../../../shared/domain/errors.ts';

/** What must be put back: the undo of an armed primary. */
export const primaryUndoSchema = z.object({
  kind: z.literal('primary'),
  /** The setting as its owner wrote it. */
  original: z.string(),
  /** Whether postgresql.auto.conf held it; else ALTER SYSTEM RESET uncovers it. */
  inAutoConf: z.boolean(),
  /** What we set in its place. A value that is neither is somebody else's, and stays. */
  armed: z.array(z.string()),
});

export type PrimaryUndo = z.infer<typeof primaryUndoSchema>;

const SETTLE_TIMEOUT_MS = 10_000;

/** Sets it and reloads; resolves when this connection's process sees the new value. */
export async function setStandbyNames(client: Client, value: string): Promise<void> {
  await client.query(`ALTER SYSTEM SET synchronous_standby_names = '${value.replaceAll("'", "''")}'`);
  await reloadUntil(client, (current) => current === value);
}

/** Puts the owner's value back, to the letter. Idempotent. */
export async function restoreStandbyNames(client: Client, undo: PrimaryUndo): Promise<void> {
  const current = await currentNames(client);
  if (current !== undo.original && !undo.armed.includes(current)) return;
  // Also where the value looks right: a killed agent may have set it and not reloaded yet.
  if (undo.inAutoConf) {
    await client.query(
      `ALTER SYSTEM SET synchronous_standby_names = '${undo.original.replaceAll("'", "''")}'`,
    );
  } else {
    await client.query('ALTER SYSTEM RESET synchronous_standby_names');
  }
  await reloadUntil(client, (value) => !undo.armed.includes(value));
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
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function currentNames(client: Client): Promise<string> {
  const { rows } = await client.query<{ value: string }>(
    "SELECT current_setting('synchronous_standby_names') AS value",
  );
  return rows[0]?.value ?? '';
}

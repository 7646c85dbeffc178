import { join } from 'node:path';
import { escapeLiteral, type Client } from 'pg';
import * as z from 'zod';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { readBeside } from '../../../safe-files.ts';
import { serverIdentitySchema } from '../server/server-identity.ts';
import { waitUntil } from '../server/wait-until.ts';
import { endStanding, passOn } from './standing.ts';

/** What must be put back: the undo of an armed primary. */
export const primaryUndoSchema = z.object({
  kind: z.literal('primary'),
  /** The setting that was in force. */
  original: z.string(),
  /** Whether postgresql.auto.conf held it; else ALTER SYSTEM RESET uncovers it. */
  inAutoConf: z.boolean(),
  /** What stood there, where that was not in force yet. */
  inFile: z.string().optional(),
  /** Nothing is set, and the owner's list names our standby: it must be gone. */
  standing: z.boolean().optional(),
  /** What we set in its place. A value that is neither is somebody else's, and stays. */
  armed: z.array(z.string()),
  server: serverIdentitySchema.optional(),
});

export type PrimaryUndo = z.infer<typeof primaryUndoSchema>;

const SETTLE_TIMEOUT_MS = 10_000;
/** Commits may be waiting for it: others have other means. */
const LISTEN_MS = 500;
const NEVER = new AbortController().signal;

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
  const isListening = (): Promise<boolean> => checkpointerListens(client);
  await waitUntil("the server's checkpointer to listen", signal, isListening, timeoutMs);
}

export async function checkpointerListens(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ listens: boolean }>(
    `SELECT wait_event IN ('CheckpointerMain', 'CheckpointWriteDelay') AS listens
       FROM pg_stat_activity WHERE backend_type = 'checkpointer'`,
  );
  return rows[0]?.listens ?? false;
}

/**
 * Rejects where the setting must not be put back yet: commits wait for a standby of ours alone, and the checkpointer does
 * not listen. Taken from the list now, ours could let nobody go on any more, and all would wait for the checkpoint's end.
 */
export async function mustListen(client: Client, undo: PrimaryUndo): Promise<void> {
  if (undo.standing === true || undo.original !== '') return;
  if (!undo.armed.includes(await standbyNamesInForce(client))) return;
  // Who may not see what it does cannot wait for it.
  const { rows } = await client.query("SELECT FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
  if (rows.length === 0) return;
  await whenCheckpointerListens(client, NEVER, LISTEN_MS).catch(() => {
    throw new StillpointError({
      code: 'postgres-reload',
      message: "the server's checkpointer writes, and takes no setting before it is done",
      hint: 'wait for it: commits go on meanwhile, and synchronous_standby_names is put back then',
    });
  });
}

/** Sets it and reloads; resolves when this connection's process sees the new value. */
export async function setStandbyNames(client: Client, value: string): Promise<void> {
  await client.query(`ALTER SYSTEM SET synchronous_standby_names = ${escapeLiteral(value)}`);
  await reloadUntil(client, (current) => current === value, SETTLE_TIMEOUT_MS);
}

/**
 * Puts the owner's value back, to the letter. Idempotent. Nothing is written where nothing of ours is left, so that it
 * succeeds also on a server that does not let its settings be changed (any more). `data`: the server's directory, where
 * it is one of this host.
 */
export async function restoreStandbyNames(
  client: Client,
  undo: PrimaryUndo,
  data?: string,
  settleTimeoutMs = SETTLE_TIMEOUT_MS,
): Promise<void> {
  if (undo.standing === true) return endStanding(client);
  const current = await standbyNamesInForce(client);
  const isArmed = undo.armed.includes(current);
  if (current !== undo.original && !isArmed) return;
  // The file is what counts: a killed agent may have set it and not reloaded yet, a killed undo likewise; and what its
  // owner has written there meanwhile is the owner's.
  const isOurs = await fileHoldsOurs(client, undo, data);
  if (!isArmed && isOurs === false) return;
  if (isOurs !== false)
    await client.query(
      undo.inAutoConf
        ? `ALTER SYSTEM SET synchronous_standby_names = ${escapeLiteral(undo.inFile ?? undo.original)}`
        : 'ALTER SYSTEM RESET synchronous_standby_names',
    );
  await reloadUntil(client, (value) => !undo.armed.includes(value), settleTimeoutMs);
  if (undo.original !== '' && isArmed) await passOn(client);
}

/** Whether postgresql.auto.conf holds a value of ours; null where neither the role nor the agent may look. */
async function fileHoldsOurs(client: Client, undo: PrimaryUndo, data?: string): Promise<boolean | null> {
  const values = await namesInAutoConf(client, data);
  return values === null ? null : values.some((value) => undo.armed.includes(value));
}

/** What postgresql.auto.conf says, in force or not; null where neither the role nor the agent may look. */
export async function namesInAutoConf(client: Client, data?: string): Promise<string[] | null> {
  return (await valuesByServer(client)) ?? (data === undefined ? null : valuesInFile(data));
}

async function valuesByServer(client: Client): Promise<string[] | null> {
  try {
    const { rows } = await client.query<{ name: string | null; value: string | null }>(
      // Behind a mistake that it cannot read over, the server reads no file: then it does not know.
      `SELECT name, setting AS value FROM pg_file_settings
        WHERE name IS NULL OR name = 'synchronous_standby_names' AND sourcefile LIKE '%/postgresql.auto.conf'`,
    );
    return rows.some(({ name }) => name === null) ? null : rows.map(({ value }) => value ?? '');
  } catch {
    return null;
  }
}

/** As ALTER SYSTEM writes it: one line, in quotes. */
async function valuesInFile(data: string): Promise<string[] | null> {
  try {
    const bytes = await readBeside(join(data, 'postgresql.auto.conf'));
    if (bytes === null) return null;
    return bytes
      .toString('utf8')
      .split('\n')
      .flatMap((line) => {
        const value = /^\s*synchronous_standby_names\s*=\s*'(.*)'\s*$/.exec(line)?.[1];
        return value === undefined ? [] : [value.replaceAll("''", "'")];
      });
  } catch {
    return null;
  }
}

async function reloadUntil(
  client: Client,
  settled: (value: string) => boolean,
  timeoutMs: number,
): Promise<void> {
  await client.query('SELECT pg_reload_conf()');
  const until = performance.now() + timeoutMs;
  for (;;) {
    // A process takes a reload up between two statements.
    if (settled(await standbyNamesInForce(client))) return;
    if (performance.now() > until) {
      throw new StillpointError({
        code: 'postgres-reload',
        message: `the server did not take up its new synchronous_standby_names in ${timeoutMs} ms`,
        hint: 'SELECT sourcefile, sourceline, error FROM pg_file_settings WHERE error IS NOT NULL names the mistake that makes a reload fail; where there is none, the server is overloaded: try again',
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

export async function standbyNamesInForce(client: Client): Promise<string> {
  const { rows } = await client.query<{ value: string }>(
    "SELECT current_setting('synchronous_standby_names') AS value",
  );
  return rows[0]?.value ?? '';
}

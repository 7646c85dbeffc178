import { escapeLiteral, type Client } from 'pg';
import * as z from 'zod';
import type { Undo } from '../../engine.ts';
import {
  otherServer,
  readIdentity,
  serverIdentitySchema,
  standingOf,
  viewLocally,
} from '../server/server-identity.ts';
import { mustListen, primaryUndoSchema, restoreStandbyNames } from '../fence/standby-setting.ts';

/** The session that freezes and thaws; there is one on a server. */
export const CONTROL_NAME = 'stillpoint-control';

/** Commits may be waiting: whoever undoes has other means, and tries again. */
const SETTLE_TIMEOUT_MS = 2000;

const observerUndoSchema = z.object({
  kind: z.literal('observer'),
  /** Its owner had paused replay before us: then it stays paused. */
  wasPaused: z.boolean(),
  server: serverIdentitySchema.optional(),
});

export type ObserverUndo = z.infer<typeof observerUndoSchema>;

const undoSchema = z.discriminatedUnion('kind', [primaryUndoSchema, observerUndoSchema]);

/** It is the server that was frozen, and its setting cannot be changed now: its cause says why. */
export class SettingStays extends Error {
  constructor(cause: unknown) {
    super('the setting stays', { cause });
  }
}

/**
 * Takes back whatever a freeze changed, on the server that it changed and no other. Idempotent; rejects where the
 * server cannot be asked. Resolves to why there was nothing to take back, in words; null where it was taken back. Simple
 * queries only: the connection may be a walsender's.
 */
export async function performUndo(
  client: Client,
  member: { readonly name: string; readonly data: string },
  given: Undo,
): Promise<string | null> {
  const undo = undoSchema.parse(given);
  const local = await viewLocally(client, member.data);
  const here = undo.server === undefined ? null : await readIdentity(client);
  const standing = undo.server === undefined || here === null ? 'same' : standingOf(undo.server, here, local);
  if (standing === 'other') throw otherServer(member.name, member.data);
  if (standing === 'replaced')
    return `the data directory of ${member.name} is that of another cluster now: the one that was frozen is not there any more`;
  await endControl(client);
  if (undo.kind === 'primary') {
    const data = local.isOurs === false ? undefined : member.data;
    try {
      await mustListen(client, undo);
      await restoreStandbyNames(client, undo, data, SETTLE_TIMEOUT_MS);
    } catch (error) {
      throw new SettingStays(error);
    }
  }
  // A server that was restarted has forgotten that we paused it; if it is paused, it is by its owner.
  else if (!undo.wasPaused && standing === 'same') await resumeReplay(client);
  return null;
}

/**
 * A statement that the dead agent had sent may still be on its way: done after the undo it would freeze the
 * server for good. So its session goes first. A role may always end sessions of its own.
 */
async function endControl(client: Client): Promise<void> {
  const until = performance.now() + 2000;
  for (;;) {
    const { rows } = await client.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = ${escapeLiteral(CONTROL_NAME)} AND usename = current_user
          AND pid <> pg_backend_pid()`,
    );
    if (rows.length === 0 || performance.now() > until) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Nothing to resume on a server that was promoted meanwhile. */
export async function resumeReplay(client: Client): Promise<void> {
  await client.query(
    `DO $$ BEGIN
       IF pg_is_in_recovery() THEN
         IF pg_is_wal_replay_paused() THEN PERFORM pg_wal_replay_resume(); END IF;
       END IF;
     END $$`,
  );
}

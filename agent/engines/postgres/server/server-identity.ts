import { readFile, readlink, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';
import * as z from 'zod';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { readBeside } from '../../../safe-files.ts';
import { processIdOf } from './connection.ts';

/**
 * Which server was frozen. An address may move to another one (a virtual IP address after a failover, a pooler): an
 * undo done there would do harm, and the record of the server that is still frozen would be gone.
 */
export const serverIdentitySchema = z.object({
  systemIdentifier: z.string(),
  startedAt: z.string(),
  /** Of a primary; null of a standby. A promotion begins a new one, a restart does not. */
  timeline: z.number().int().nullable(),
});

export type ServerIdentity = z.infer<typeof serverIdentitySchema>;

/** What the data directory of the member says of the server that answers; null: the agent cannot see it. */
export interface LocalView {
  /** Whether the server that answers runs on this data directory. */
  readonly isOurs: boolean | null;
  readonly systemIdentifier: string | null;
}

/**
 * `same`: the server that was frozen, perhaps restarted. `restarted`: the same, or a standby in its place, and not the
 * process that was frozen. `replaced`: the member's data directory is that of another cluster now. `other`: the server
 * that was frozen is not the one that answers, and nobody knows how that one is.
 */
export type Standing = 'same' | 'restarted' | 'replaced' | 'other';

export function standingOf(frozen: ServerIdentity, here: ServerIdentity, local: LocalView): Standing {
  if (frozen.systemIdentifier !== here.systemIdentifier)
    return local.systemIdentifier === here.systemIdentifier ? 'replaced' : 'other';
  if (frozen.startedAt === here.startedAt) return 'same';
  if (local.isOurs !== null) return local.isOurs ? 'restarted' : 'other';
  if (here.timeline === frozen.timeline) return 'restarted';
  // A primary that was demoted stands where it stood. A new primary does not: it has a timeline of its own.
  return here.timeline === null ? 'restarted' : 'other';
}

/** Simple queries only: the connection may be a walsender's. */
export async function readIdentity(client: Client): Promise<ServerIdentity> {
  const { rows } = await client.query<Omit<ServerIdentity, 'timeline'> & { timeline: string | null }>(
    `SELECT (SELECT system_identifier::text FROM pg_control_system()) AS "systemIdentifier",
            to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') AS "startedAt",
            CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END AS timeline`,
  );
  const [row] = rows;
  if (row === undefined) throw new Error('the server said nothing of itself');
  return { ...row, timeline: row.timeline === null ? null : Number.parseInt(row.timeline, 16) };
}

/** What can be seen on this host: often nothing, where the agent is not root or the server is in a container. */
export async function viewLocally(client: Client, data: string): Promise<LocalView> {
  return { isOurs: await runsOn(client, data), systemIdentifier: await systemIdentifierOf(data) };
}

/**
 * The server's process for this connection is a child of the one that `postmaster.pid` names. That one must be seen to
 * run on the directory: the numbers of a server in a container mean nothing outside.
 */
async function runsOn(client: Client, data: string): Promise<boolean | null> {
  try {
    const postmaster = await postmasterOf(data);
    if (postmaster === null) return false;
    if ((await readlink(`/proc/${postmaster}/cwd`)) !== (await realpath(data))) return null;
    const status = await readFile(`/proc/${processIdOf(client)}/status`, 'utf8');
    return /^PPid:\s*(\d+)$/m.exec(status)?.[1] === postmaster;
  } catch {
    return null;
  }
}

/** Null where no server runs on the directory; throws where it cannot be read. */
async function postmasterOf(data: string): Promise<string | null> {
  if ((await readBeside(join(data, 'PG_VERSION'))) === null) throw new Error(`${data} holds no server`);
  const bytes = await readBeside(join(data, 'postmaster.pid'));
  return bytes === null ? null : (bytes.toString('utf8').split('\n')[0]?.trim() ?? '');
}

async function systemIdentifierOf(data: string): Promise<string | null> {
  try {
    // The first eight bytes of pg_control, in the byte order of the server's machine: this one.
    const control = await readBeside(join(data, 'global', 'pg_control'));
    return control === null ? null : control.readBigUInt64LE(0).toString();
  } catch {
    return null;
  }
}

export function otherServer(name: string, data: string): StillpointError {
  return new StillpointError({
    code: 'undo-other-server',
    message: `the server that answers for ${name} is not the one that was frozen`,
    hint: `look at the server of ${data}: synchronous_standby_names in its postgresql.auto.conf, and paused replay. When it is as it should be, stop the agent, remove freezes/${name}.json in its state directory, and start it`,
  });
}

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { connect } from '../connection.ts';
import type { PostgresFacts } from '../facts.ts';
import { parseLsn } from '../lsn.ts';
import type { PostgresSettings } from '../settings.ts';

const PROBE_TIMEOUT_MS = 15_000;

/** The history file of the new timeline says where the old one was left: at the mark, and nowhere else. */
export async function checkMark(settings: PostgresSettings, facts: PostgresFacts): Promise<string> {
  const next = (facts.timeline + 1).toString(16).toUpperCase().padStart(8, '0');
  const history = await readFile(join(settings.data, 'pg_wal', `${next}.history`), 'utf8');
  const last = history.trim().split('\n').at(-1)?.split('\t') ?? [];
  const [parent, position = '0/0'] = last;
  const mark = facts.markPosition ?? '0/0';
  if (Number(parent) === facts.timeline && parseLsn(position) === parseLsn(mark))
    return `mark: recovered to ${mark}, no further`;
  throw notAsCaptured(settings.name, `it was recovered to ${position}, the mark is ${mark}`);
}

/** The same data, and a commit of its own returns: no fence that the base copy carried holds it. */
export async function checkServer(
  settings: PostgresSettings,
  facts: PostgresFacts,
  client: Client,
): Promise<string[]> {
  const { rows } = await client.query<{ identifier: string; names: string }>(
    `SELECT (SELECT system_identifier::text FROM pg_control_system()) AS identifier, current_setting('synchronous_standby_names') AS names`,
  );
  if (rows[0]?.identifier !== facts.systemIdentifier) {
    throw notAsCaptured(
      settings.name,
      `its system identifier is ${rows[0]?.identifier ?? 'unknown'}, the checkpoint's is ${facts.systemIdentifier}`,
    );
  }
  return ['system identifier'];
}

/** A commit with a bound: hanging is an answer too. */
export async function checkCommit(settings: PostgresSettings): Promise<string> {
  const client = await connect(settings, {
    applicationName: 'stillpoint-verify',
    queryTimeoutMs: PROBE_TIMEOUT_MS,
  });
  try {
    await client.query("SELECT pg_logical_emit_message(true, 'stillpoint', 'restored')");
    return 'commit: returns';
  } catch (error) {
    throw notAsCaptured(
      settings.name,
      `a commit did not return: ${error instanceof Error ? error.message : String(error)}`,
    );
  } finally {
    client.end().catch(() => undefined);
  }
}

/**
 * amcheck on every B-tree and every table, where the server has the extension and the role may use it. Made
 * inside a transaction that is rolled back: nothing of it stays.
 */
export async function checkStructures(settings: PostgresSettings, client: Client): Promise<string> {
  const { rows: databases } = await client.query<{ datname: string }>(
    "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate AND has_database_privilege(oid, 'connect') ORDER BY 1",
  );
  let indexes = 0;
  let tables = 0;
  for (const { datname } of databases) {
    const found = await checkDatabase(settings, datname);
    if (found === null) return 'amcheck: not available to this role';
    indexes += found.indexes;
    tables += found.tables;
  }
  return `amcheck: ${indexes} indexes, ${tables} tables`;
}

async function checkDatabase(
  settings: PostgresSettings,
  database: string,
): Promise<{ indexes: number; tables: number } | null> {
  const client = await connect(settings, { applicationName: 'stillpoint-verify', database });
  try {
    await client.query('BEGIN');
    try {
      await client.query('CREATE EXTENSION IF NOT EXISTS amcheck');
      await client.query('SELECT bt_index_check(0::regclass) WHERE false');
    } catch {
      return null;
    }
    const { rows: indexes } = await client.query<{ name: string }>(
      `SELECT i.indexrelid::regclass::text AS name,
              bt_index_check(i.indexrelid, i.indrelid > 16383)
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
        WHERE a.amname = 'btree' AND c.relpersistence = 'p' AND c.relkind = 'i' AND i.indisready AND i.indisvalid`,
    );
    const { rows: tables } = await client.query<{ name: string; damage: string | null }>(
      `SELECT c.oid::regclass::text AS name, (SELECT msg FROM verify_heapam(c.oid) LIMIT 1) AS damage
         FROM pg_class c WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence = 'p'`,
    );
    const damaged = tables.find(({ damage }) => damage !== null);
    if (damaged !== undefined)
      throw notAsCaptured(settings.name, `${database}.${damaged.name}: ${damaged.damage ?? ''}`);
    return { indexes: indexes.length, tables: tables.length };
  } catch (error) {
    if (error instanceof StillpointError) throw error;
    throw notAsCaptured(
      settings.name,
      `amcheck in ${database}: ${error instanceof Error ? error.message : String(error)}`,
    );
  } finally {
    await client.query('ROLLBACK').catch(() => undefined);
    client.end().catch(() => undefined);
  }
}

export function notAsCaptured(member: string, why: string): StillpointError {
  return new StillpointError({
    code: 'restore-not-verified',
    message: `${member} is not what the checkpoint says: ${why}`,
    hint: 'see all damage with stillpoint checkpoint verify, and restore another checkpoint',
  });
}

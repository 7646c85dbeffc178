import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseError, type Client } from 'pg';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { Warning } from '../../../../shared/domain/warning.ts';
import type { PostgresFacts } from '../copy/facts.ts';
import { parseLsn } from '../journal/lsn.ts';

/** A proven server, as those who look at it see it. */
export interface Looked {
  readonly name: string;
  readonly data: string;
  connect(database: string): Promise<Client>;
}

/** The history file of the new timeline says where the old one was left: at the mark, and nowhere else. */
export async function checkMark({ name, data }: Looked, facts: PostgresFacts): Promise<string> {
  const next = (facts.timeline + 1).toString(16).toUpperCase().padStart(8, '0');
  const history = await readFile(join(data, 'pg_wal', `${next}.history`), 'utf8');
  const last = history.trim().split('\n').at(-1)?.split('\t') ?? [];
  const [parent, position = '0/0'] = last;
  const mark = facts.markPosition ?? '0/0';
  if (Number(parent) === facts.timeline && parseLsn(position) === parseLsn(mark))
    return `mark: recovered to ${mark}, no further`;
  throw notAsCaptured(name, `it was recovered to ${position}, the mark is ${mark}`);
}

/** The same data, and a commit of its own returns. */
export async function checkServer({ name }: Looked, facts: PostgresFacts, client: Client): Promise<string[]> {
  const { rows } = await client.query<{ identifier: string }>(
    'SELECT system_identifier::text AS identifier FROM pg_control_system()',
  );
  if (rows[0]?.identifier !== facts.systemIdentifier) {
    throw notAsCaptured(
      name,
      `its system identifier is ${rows[0]?.identifier ?? 'unknown'}, the checkpoint's is ${facts.systemIdentifier}`,
    );
  }
  try {
    await client.query("SELECT pg_logical_emit_message(true, 'stillpoint', 'restored')");
  } catch (error) {
    throw notAsCaptured(name, `it does not commit: ${textOf(error)}`);
  }
  return ['system identifier', 'commit: returns'];
}

/**
 * amcheck on every B-tree and every table, where the server has the extension and the role may use it. Made
 * inside a transaction that is rolled back: nothing of it stays. What could not be looked at is said, and is no
 * damage.
 */
export async function checkStructures(
  server: Looked,
  client: Client,
): Promise<{ checks: string[]; warnings: Warning[] }> {
  const { rows: databases } = await client.query<{ datname: string; open: boolean }>(
    'SELECT datname, datallowconn AND datconnlimit <> -2 AS open FROM pg_database ORDER BY 1',
  );
  let indexes = 0;
  let tables = 0;
  const warnings: Warning[] = [];
  for (const { datname, open } of databases) {
    if (datname === 'template0') continue;
    const found = open ? await checkDatabase(server, datname) : 'it takes no connections';
    if (typeof found === 'string') {
      const text = `database ${datname} was not looked at: ${found}`;
      const hint = 'look at it yourself: pg_amcheck, when it takes connections';
      warnings.push({ code: 'postgres-database-unseen', about: server.name, text, hint });
    } else {
      indexes += found.indexes;
      tables += found.tables;
    }
  }
  return { checks: [`amcheck: ${indexes} indexes, ${tables} tables`], warnings };
}

/** Why it could not be looked at, where it could not. Rejects where damage was found. */
async function checkDatabase(
  server: Looked,
  database: string,
): Promise<{ indexes: number; tables: number } | string> {
  let client: Client;
  try {
    client = await server.connect(database);
  } catch (error) {
    return textOf(error);
  }
  try {
    await client.query('BEGIN');
    await client.query('CREATE EXTENSION IF NOT EXISTS amcheck');
    const { rows: indexes } = await client.query<{ name: string }>(
      `SELECT i.indexrelid::regclass::text AS name,
              bt_index_check(i.indexrelid, i.indrelid > 16383)
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
        WHERE a.amname = 'btree' AND c.relpersistence = 'p' AND c.relkind = 'i' AND i.indisready AND i.indisvalid`,
    );
    const { rows: tables } = await client.query<{ name: string; damage: string | null }>(
      `SELECT c.oid::regclass::text AS name, (SELECT msg FROM verify_heapam(c.oid) LIMIT 1) AS damage
         FROM pg_class c JOIN pg_am a ON a.oid = c.relam
        WHERE a.amname = 'heap' AND c.relkind IN ('r', 'm', 't') AND c.relpersistence = 'p'`,
    );
    const damaged = tables.find(({ damage }) => damage !== null);
    if (damaged !== undefined)
      throw notAsCaptured(server.name, `${database}.${damaged.name}: ${damaged.damage ?? ''}`);
    return { indexes: indexes.length, tables: tables.length };
  } catch (error) {
    if (error instanceof StillpointError) throw error;
    if (error instanceof DatabaseError && DAMAGE.has(error.code ?? ''))
      throw notAsCaptured(server.name, `amcheck in ${database}: ${textOf(error)}`);
    return textOf(error);
  } finally {
    await client.query('ROLLBACK').catch(() => undefined);
    client.end().catch(() => undefined);
  }
}

/** Corrupted data or index, a file that is missing or cannot be read. Anything else is a check that could not run. */
const DAMAGE = new Set(['XX001', 'XX002', '58P01', '58030']);

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function notAsCaptured(member: string, why: string): StillpointError {
  return new StillpointError({
    code: 'restore-not-verified',
    message: `${member} is not what the checkpoint says: ${why}`,
    hint: 'see all damage with stillpoint checkpoint verify, and restore another checkpoint',
  });
}

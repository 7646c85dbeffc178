import { DatabaseError, escapeIdentifier, type Client } from 'pg';
import type { Warning } from '../../../../shared/domain/warning.ts';
import type { PostgresFacts } from '../copy/facts.ts';
import { leadsOf, type Outbound } from '../look/leads.ts';
import { readServerVersion } from '../server/server-facts.ts';
import { textOf, type Looked } from './verify.ts';

// What stands in the databases of a proven server. Every byte has the digest that it had in the checkpoint: so what is
// wrong in them was wrong before, and is told, with what mends it. What could not be looked at is told as well.

/** Corrupted data or index, or a file that is missing. */
const DAMAGE = new Set(['XX001', 'XX002', '58P01']);

export interface LookedAt {
  /** Those that were entered. */
  readonly databases: readonly string[];
  /** Those that take no connections, or of which not all could be looked at. */
  readonly unseen: readonly { readonly database: string; readonly why: string }[];
  readonly checks: readonly string[];
  readonly warnings: readonly Warning[];
  /** What leads to other servers, and was not known before. */
  readonly outbound: readonly Outbound[];
}

interface Found {
  readonly indexes: number;
  readonly tables: number;
  readonly outbound: readonly Outbound[];
  readonly warnings: readonly Warning[];
}

export async function lookAtDatabases(
  server: Looked,
  client: Client,
  facts: Pick<PostgresFacts, 'outbound'>,
): Promise<LookedAt> {
  const { rows } = await client.query<{ datname: string; open: boolean }>(
    'SELECT datname, datallowconn AND datconnlimit <> -2 AS open FROM pg_database ORDER BY 1',
  );
  let [indexes, tables] = [0, 0];
  const warnings: Warning[] = [];
  const outbound: Outbound[] = [];
  const databases: string[] = [];
  const closed: { database: string; why: string }[] = [];
  for (const { datname, open } of rows) {
    if (datname === 'template0') continue;
    const found = open ? await lookAt(server, datname) : 'it takes no connections';
    if (typeof found === 'string') {
      warnings.push(unseen(server.name, datname, found));
      closed.push({ database: datname, why: found });
      continue;
    }
    databases.push(datname);
    indexes += found.indexes;
    tables += found.tables;
    outbound.push(...found.outbound);
    warnings.push(...found.warnings);
  }
  // The plan has told what the checkpoint knew.
  const told = new Set(facts.outbound.map(keyOf));
  const more = outbound.filter((one) => !told.has(keyOf(one)));
  return {
    databases,
    unseen: closed,
    checks: [`amcheck: ${indexes} indexes, ${tables} tables`],
    warnings,
    outbound: more,
  };
}

/** Why it could not be looked at, where it could not. */
async function lookAt(server: Looked, database: string): Promise<Found | string> {
  let client: Client;
  try {
    client = await server.connect(database);
  } catch (error) {
    return textOf(error);
  }
  try {
    // We are a superuser here: nothing in the database is taken for a function of the server's.
    await client.query('SET search_path = pg_catalog');
    const outbound = await leadsOf(client, database);
    const collations = await otherCollations(client, server.name, database);
    const structures = await checkStructures(client, server.name, database);
    return { ...structures, outbound, warnings: [...collations, ...structures.warnings] };
  } catch (error) {
    return textOf(error);
  } finally {
    client.end().catch(() => undefined);
  }
}

/**
 * Where the host sorts text otherwise than the one that the data comes from, indexes on text are in another order than
 * the server looks for: it misses rows, and takes duplicates.
 */
async function otherCollations(client: Client, about: string, database: string): Promise<Warning[]> {
  // PostgreSQL 14 keeps no version of a database's own collation.
  const ofDatabase = `
    SELECT NULL AS name, datcollversion AS was, pg_catalog.pg_database_collation_actual_version(oid) AS here
      FROM pg_catalog.pg_database
     WHERE datname = pg_catalog.current_database()
       AND datcollversion <> pg_catalog.pg_database_collation_actual_version(oid)
    UNION ALL`;
  const { rows } = await client.query<{ name: string | null; was: string; here: string }>(
    `${(await readServerVersion(client)) >= 150_000 ? ofDatabase : ''}
     SELECT oid::pg_catalog.regcollation::text AS name, collversion AS was,
            pg_catalog.pg_collation_actual_version(oid) AS here
       FROM pg_catalog.pg_collation
      WHERE collversion <> pg_catalog.pg_collation_actual_version(oid)
        AND oid IN (SELECT pg_catalog.unnest(indcollation) FROM pg_catalog.pg_index)`,
  );
  return rows.map(({ name, was, here }) => {
    const what = name === null ? 'its default collation' : `collation ${name}`;
    const refresh =
      name === null
        ? `ALTER DATABASE ${escapeIdentifier(database)} REFRESH COLLATION VERSION`
        : `ALTER COLLATION ${name} REFRESH VERSION`;
    return {
      code: 'postgres-collation-other',
      about,
      doubtful: true,
      text: `in database ${database}: ${what} is of version ${here} on this host, and was ${was}: indexes on text may be in another order`,
      hint: `in that database: REINDEX DATABASE ${escapeIdentifier(database)}; ${refresh};`,
    };
  });
}

/**
 * amcheck on every B-tree and every table, where the server has the extension. Made inside a transaction that is rolled
 * back: nothing of it stays.
 */
async function checkStructures(
  client: Client,
  about: string,
  database: string,
): Promise<{ indexes: number; tables: number; warnings: Warning[] }> {
  await client.query('BEGIN');
  try {
    await client.query('CREATE EXTENSION IF NOT EXISTS amcheck');
    const { rows: extensions } = await client.query<{ schema: string }>(
      "SELECT extnamespace::regnamespace::text AS schema FROM pg_extension WHERE extname = 'amcheck'",
    );
    const schema = extensions[0]?.schema ?? 'pg_catalog';
    const { rows: indexes } = await client.query<{ oid: string; name: string; whole: boolean }>(
      `SELECT i.indexrelid::text AS oid, i.indexrelid::regclass::text AS name, i.indrelid > 16383 AS whole
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
        WHERE a.amname = 'btree' AND c.relpersistence = 'p' AND c.relkind = 'i' AND i.indisready AND i.indisvalid`,
    );
    const warnings: Warning[] = [];
    for (const { oid, name, whole } of indexes) {
      const damage = await damageFoundBy(client, `SELECT ${schema}.bt_index_check($1::oid::regclass, $2)`, [
        oid,
        whole,
      ]);
      if (damage !== null)
        warnings.push(damaged(about, database, `index ${name}`, damage, `REINDEX INDEX ${name};`));
    }
    const { rows: tables } = await client.query<{ oid: string; name: string }>(
      `SELECT c.oid::text AS oid, c.oid::regclass::text AS name FROM pg_class c JOIN pg_am a ON a.oid = c.relam
        WHERE a.amname = 'heap' AND c.relkind IN ('r', 'm', 't') AND c.relpersistence = 'p'`,
    );
    for (const { oid, name } of tables) {
      const damage = await damageFoundBy(
        client,
        `SELECT msg FROM ${schema}.verify_heapam($1::oid::regclass) LIMIT 1`,
        [oid],
      );
      if (damage !== null)
        warnings.push(
          damaged(about, database, `table ${name}`, damage, 'save what can be read of it (COPY … TO)'),
        );
    }
    return { indexes: indexes.length, tables: tables.length, warnings };
  } finally {
    await client.query('ROLLBACK').catch(() => undefined);
  }
}

/** What a check says, or is ended by. Null where all is well; rejects where the check could not run. */
async function damageFoundBy(client: Client, check: string, values: unknown[]): Promise<string | null> {
  await client.query('SAVEPOINT one');
  try {
    const { rows } = await client.query<{ msg?: string }>(check, values);
    await client.query('RELEASE SAVEPOINT one');
    return rows[0]?.msg ?? null;
  } catch (error) {
    if (!(error instanceof DatabaseError) || !DAMAGE.has(error.code ?? '')) throw error;
    await client.query('ROLLBACK TO SAVEPOINT one');
    return error.message;
  }
}

function damaged(about: string, database: string, what: string, damage: string, remedy: string): Warning {
  return {
    code: 'postgres-structure-damaged',
    about,
    doubtful: true,
    text: `in database ${database}: ${what} is damaged, as it was when the checkpoint was taken: ${damage}`,
    hint: `in that database: ${remedy}`,
  };
}

function unseen(about: string, database: string, why: string): Warning {
  return {
    code: 'postgres-database-unseen',
    about,
    doubtful: true,
    text: `database ${database} was not looked at: ${why}`,
    hint: 'look at it yourself: pg_amcheck, when it takes connections',
  };
}

function keyOf({ database, kind, name, address }: Outbound): string {
  return JSON.stringify([database, kind, name, address]);
}

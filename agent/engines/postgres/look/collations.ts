import type { Client } from 'pg';
import type { PostgresFacts } from '../copy/facts.ts';

// How a database sorts text is not in its data: the host's C library and ICU say it. On a host with another version of
// them an index on text is in another order than its server looks for.

export type UsedCollation = PostgresFacts['collations'][number];

const MOST_INDEXES = 20;

/** PostgreSQL 14 keeps no version of a database's own collation, and its columns are not there. */
const USED = `
  WITH used AS (
    SELECT DISTINCT i.indexrelid, coll.oid
      FROM pg_catalog.pg_index i, pg_catalog.unnest(i.indcollation) AS coll (oid) WHERE coll.oid <> 0),
  known AS (
    SELECT c.oid, c.oid::pg_catalog.regcollation::text AS name, c.collprovider::text AS provider, c.collversion AS version,
           coalesce(pg_catalog.to_jsonb(c) ->> 'colllocale', pg_catalog.to_jsonb(c) ->> 'colliculocale', c.collcollate) AS locale
      FROM pg_catalog.pg_collation c WHERE c.collprovider <> 'd'
    UNION ALL
    SELECT 100, NULL, pg_catalog.to_jsonb(d) ->> 'datlocprovider', pg_catalog.to_jsonb(d) ->> 'datcollversion',
           coalesce(pg_catalog.to_jsonb(d) ->> 'datlocale', pg_catalog.to_jsonb(d) ->> 'daticulocale', d.datcollate)
      FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
  SELECT k.name, k.provider, k.locale, k.version, count(*)::int AS count,
         (pg_catalog.array_agg(u.indexrelid::pg_catalog.regclass::text ORDER BY u.indexrelid))[1:${MOST_INDEXES}] AS indexes
    FROM used u JOIN known k ON k.oid = u.oid
   WHERE k.version IS NOT NULL AND k.locale IS NOT NULL
   GROUP BY 1, 2, 3, 4 ORDER BY 1 NULLS FIRST`;

/** Of one database: the collations that indexes of it are ordered by, as far as they have versions. */
export async function collationsOf(client: Client, database: string): Promise<UsedCollation[]> {
  const { rows } = await client.query<Omit<UsedCollation, 'database'>>(USED);
  return rows.map((row) => ({ database, ...row }));
}

/**
 * Locales of the C library without which databases cannot be entered, or the server does not start: those of its
 * databases, and of the settings in force.
 */
export async function localesOf(control: Client): Promise<string[]> {
  const { rows } = await control.query<{ locale: string }>(
    `SELECT datcollate AS locale FROM pg_catalog.pg_database UNION SELECT datctype FROM pg_catalog.pg_database
     UNION SELECT setting FROM pg_catalog.pg_settings WHERE name IN ('lc_messages', 'lc_monetary', 'lc_numeric', 'lc_time')
     ORDER BY 1`,
  );
  return rows.map(({ locale }) => locale).filter((locale) => !['', 'C', 'POSIX'].includes(locale));
}

import type { Client } from 'pg';
import { connect, databaseUrl, type ConnectionSettings } from '../server/connection.ts';

const LOOK_MS = 5000;

/** With their indexes and what is stored out of line. */
const FILES_OF_STATISTICS = `
  WITH statistics AS (
    SELECT oid, reltoastrelid FROM pg_class
     WHERE oid IN ('pg_catalog.pg_statistic'::regclass, 'pg_catalog.pg_statistic_ext_data'::regclass)),
  tables AS (SELECT oid FROM statistics UNION SELECT reltoastrelid FROM statistics WHERE reltoastrelid <> 0)
  SELECT pg_relation_filenode(oid)::text AS file FROM tables
   UNION SELECT pg_relation_filenode(indexrelid)::text FROM pg_index WHERE indrelid IN (SELECT oid FROM tables)`;

/**
 * Which files hold what ANALYZE writes for the planner, and nothing else. Each database is asked once, however many
 * transactions wrote into it; one that cannot be asked has none.
 */
export class Statistics {
  readonly #control: Client;
  readonly #settings: ConnectionSettings;
  readonly #known = new Map<string, Promise<ReadonlySet<string>>>();

  constructor(control: Client, settings: ConnectionSettings) {
    this.#control = control;
    this.#settings = settings;
  }

  /** `relations`: `<database>/<file number>`. */
  async areAll(relations: ReadonlySet<string>): Promise<boolean> {
    for (const relation of relations)
      if (!(await this.#filesOf(relation.split('/')[0] ?? '')).has(relation)) return false;
    return true;
  }

  #filesOf(database: string): Promise<ReadonlySet<string>> {
    const known = this.#known.get(database);
    if (known !== undefined) return known;
    const asked = filesOfStatistics(this.#control, this.#settings, database).catch(() => new Set<string>());
    this.#known.set(database, asked);
    return asked;
  }
}

async function filesOfStatistics(
  control: Client,
  settings: ConnectionSettings,
  database: string,
): Promise<Set<string>> {
  const { rows } = await control.query<{ name: string }>(
    'SELECT datname AS name FROM pg_database WHERE oid = $1',
    [database],
  );
  const name = rows[0]?.name;
  if (name === undefined) return new Set();
  const client = await connect(
    { ...settings, connection: databaseUrl(settings.connection, name) },
    { applicationName: 'stillpoint-look', timeoutMs: LOOK_MS, queryTimeoutMs: LOOK_MS },
  );
  try {
    const found = await client.query<{ file: string }>(FILES_OF_STATISTICS);
    return new Set(found.rows.map(({ file }) => `${database}/${file}`));
  } finally {
    client.end().catch(() => undefined);
  }
}

import type { Client } from 'pg';
import { libraryNames } from '../server/library-names.ts';

/** Settings that name a file without which a server does not start. */
const FILES = [
  'hba_file',
  'ident_file',
  'ssl_cert_file',
  'ssl_key_file',
  'ssl_ca_file',
  'ssl_crl_file',
  'ssl_crl_dir',
  'ssl_dh_params_file',
  'krb_server_keyfile',
];

const STATEMENT = `
  WITH named AS (
    SELECT setting AS path FROM pg_settings
     WHERE name = ANY ($1) AND setting <> '' AND source <> 'default'
       AND (name NOT LIKE 'ssl%' OR current_setting('ssl') = 'on')
    UNION SELECT setting FROM pg_settings WHERE name IN ('hba_file', 'ident_file')
    UNION SELECT sourcefile FROM pg_file_settings WHERE sourcefile <> current_setting('config_file'))
  SELECT DISTINCT regexp_replace(path, '^FILE:', '') AS path FROM named ORDER BY 1`;

export interface ConfiguredFiles {
  /** Outside of the data directory, by their whole paths: files that are included at any depth, keys, certificates. */
  readonly needs: readonly string[];
  readonly configFile: string;
  readonly preload: readonly string[];
}

/** What the running configuration names. Needs pg_read_all_settings and SELECT on pg_file_settings. */
export async function configuredFiles(client: Client): Promise<ConfiguredFiles> {
  const { rows } = await client.query<{ path: string }>(STATEMENT, [FILES]);
  const [server] = (
    await client.query<{ version: number; data: string; config: string; preload: string }>(
      `SELECT current_setting('server_version_num')::int AS version, current_setting('data_directory') AS data,
              current_setting('config_file') AS config, current_setting('shared_preload_libraries') AS preload`,
    )
  ).rows;
  if (server === undefined) throw new Error('the server said nothing of its files');
  const paths = rows.map(({ path }) => path);
  if (server.version >= 160_000) {
    const included = await client.query<{ path: string }>(
      'SELECT file_name AS path FROM pg_hba_file_rules UNION SELECT file_name FROM pg_ident_file_mappings',
    );
    paths.push(...included.rows.map(({ path }) => path));
  }
  const isOutside = (path: string): boolean => path.startsWith('/') && !path.startsWith(`${server.data}/`);
  return {
    needs: [...new Set(paths)].filter(isOutside).toSorted(),
    configFile: server.config,
    preload: libraryNames(server.preload),
  };
}

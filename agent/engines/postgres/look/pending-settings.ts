import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Client } from 'pg';
import type { Failure } from '../../../../shared/domain/errors.ts';
import type { Warning } from '../../../../shared/domain/warning.ts';
import { SET_BY_US } from '../server/connection.ts';
import { readServerVersion } from '../server/server-facts.ts';
import { sameValue } from '../server/setting-values.ts';
import type { PostgresSettings } from '../settings.ts';

/**
 * What a reload would do to the server besides what we want of it. A freeze changes one setting and reloads, and a
 * reload takes up everything that lies in the configuration files: a value that its owner wrote for tonight, a
 * pg_hba.conf that is half written. So what waits there is found before, and is a refusal or a stated choice.
 */
export interface PendingSettings {
  readonly problems: readonly Failure[];
  readonly warnings: readonly Warning[];
}

interface SettingRow {
  readonly name: string;
  /** As the file has it; null: it does not any more. */
  readonly written: string | null;
  readonly setting: string;
  readonly type: string;
  readonly unit: string | null;
  readonly file: string;
  readonly line: number | null;
}

/** What of them is in force is not for this session to see: the connection's, or `(disabled)`. */
const NOT_SEEN = [
  'archive_command',
  'tcp_keepalives_idle',
  'tcp_keepalives_interval',
  'tcp_keepalives_count',
  'tcp_user_timeout',
];

/**
 * A setting that only a restart changes is none of a reload's: it waits on. One that the command line, a role, a
 * database or this session overrides is not taken up from the file, or not seen here; but for what each of our sessions
 * sets for itself ($1).
 */
const SETTINGS = `
  SELECT s.name, f.setting AS written, CASE s.source WHEN 'session' THEN s.reset_val ELSE s.setting END AS setting, s.vartype AS type, s.unit,
         coalesce(f.sourcefile, s.sourcefile, '') AS file, f.sourceline AS line
    FROM pg_settings s LEFT JOIN pg_file_settings f ON lower(f.name) = lower(s.name) AND f.applied
   WHERE s.context NOT IN ('postmaster', 'internal')
     AND (s.source IN ('default', 'configuration file', 'environment variable')
          OR s.name = ANY ($1) AND s.source = 'session'
             AND NOT EXISTS (SELECT FROM pg_db_role_setting, unnest(setconfig) AS line WHERE split_part(line, '=', 1) = s.name))
     AND (f.name IS NOT NULL OR s.source = 'configuration file')`;

/** One that was taken out of the files, and that only a restart changes, is an error of no file: a reload does all else. */
const BROKEN = `
  SELECT f.sourcefile AS file, f.sourceline AS line, coalesce(f.name || ': ', '') || f.error AS error
    FROM pg_file_settings f LEFT JOIN pg_settings s ON lower(s.name) = lower(f.name)
   WHERE f.error IS NOT NULL AND s.context IS DISTINCT FROM 'postmaster'
     AND NOT (f.sourcefile IS NULL AND EXISTS (SELECT FROM pg_settings p WHERE p.pending_restart AND position(p.name IN f.error) > 0))
  UNION ALL
  SELECT current_setting('hba_file'), line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL`;

/** PostgreSQL 14 does not say what it thinks of that file. */
const BROKEN_SINCE_15 = `${BROKEN}
  UNION ALL
  SELECT current_setting('ident_file'), line_number, error FROM pg_ident_file_mappings WHERE error IS NOT NULL`;

/** Of the client: needs SELECT on pg_file_settings, pg_hba_file_rules and pg_ident_file_mappings. */
export async function findPendingSettings(
  client: Client,
  settings: Pick<PostgresSettings, 'name' | 'pendingSettings'>,
): Promise<PendingSettings> {
  const broken = await findBroken(client, settings.name);
  if (broken.length > 0) return { problems: broken, warnings: [] };
  const changed = await changesSince(client);
  const pending: string[] = [];
  const warnings: Warning[] = [];
  const { rows } = await client.query<SettingRow>(SETTINGS, [SET_BY_US]);
  for (const row of rows) {
    if (NOT_SEEN.includes(row.name)) continue;
    if (row.written !== null && sameValue(row.written, row)) continue;
    if ((await changed(row.file)) === false) continue;
    const place = row.line === null ? row.file : `${row.file}:${row.line}`;
    pending.push(
      row.written === null
        ? `${row.name} (taken out of ${place})`
        : `${row.name} (${place} says '${row.written}')`,
    );
  }
  for (const file of await accessFiles(client)) {
    const isChanged = await changed(file);
    if (isChanged === true) pending.push(basename(file));
    if (isChanged === null)
      warnings.push({
        code: 'postgres-file-unseen',
        about: settings.name,
        text: `the agent cannot see whether ${file} was changed since the last reload: a freeze would put it into force`,
        hint: `let the agent's user read ${file}, or reload the server before a checkpoint`,
      });
  }
  if (pending.length === 0) return { problems: [], warnings };
  const list = pending.join(', ');
  if (settings.pendingSettings === 'activate') {
    const activated = {
      code: 'postgres-settings-activated',
      about: settings.name,
      text: `a freeze puts into force what was not reloaded: ${list}`,
      hint: 'reload the server at a time of your choice (SELECT pg_reload_conf()), or take it back',
    };
    return { problems: [], warnings: [...warnings, activated] };
  }
  const problem = {
    code: 'postgres-settings-pending',
    message: `${settings.name}: its files say what is not in force, and a freeze would reload them: ${list}`,
    hint: "reload the server yourself (SELECT pg_reload_conf()) or take it back; or state 'pendingSettings: activate' of this member in the agent's file",
  };
  return { problems: [problem], warnings };
}

async function findBroken(client: Client, member: string): Promise<Failure[]> {
  const { rows } = await client.query<{ file: string | null; line: number | null; error: string }>(
    (await readServerVersion(client)) >= 150_000 ? BROKEN_SINCE_15 : BROKEN,
  );
  const [first] = rows;
  if (first === undefined) return [];
  const more = rows.length === 1 ? '' : `, and ${rows.length - 1} more`;
  return [
    {
      code: 'postgres-settings-broken',
      message: `${member}: ${first.file ?? 'its configuration'} has a mistake in line ${first.line ?? 0}: ${first.error}${more}`,
      hint: 'correct it: no reload works before, and a freeze needs one',
    },
  ];
}

/** pg_hba.conf, pg_ident.conf and what they include: what is in force of them the server does not show. */
async function accessFiles(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ version: number; files: string[] }>(
    `SELECT current_setting('server_version_num')::int AS version,
            ARRAY[current_setting('hba_file'), current_setting('ident_file')] AS files`,
  );
  const [row] = rows;
  if (row === undefined || row.version < 160_000) return row?.files ?? [];
  const included = await client.query<{ file: string }>(
    'SELECT file_name AS file FROM pg_hba_file_rules UNION SELECT file_name FROM pg_ident_file_mappings',
  );
  return [...new Set([...row.files, ...included.rows.map(({ file }) => file)])];
}

/** Was a file changed since the server read it? Null where the agent cannot see it. */
async function changesSince(client: Client): Promise<(file: string) => Promise<boolean | null>> {
  // How a server writes fractions is a setting of its own.
  const { rows } = await client.query<{ microseconds: string; ahead: boolean }>(
    `SELECT (extract(epoch FROM pg_conf_load_time()) * 1000000)::bigint AS microseconds,
            pg_conf_load_time() > clock_timestamp() AS ahead`,
  );
  // A clock that was set back since: then what is written now looks older than what was read before.
  const isTimeLost = rows[0]?.ahead ?? false;
  const loadedMs = Number(rows[0]?.microseconds ?? 0) / 1000;
  const known = new Map<string, boolean | null>();
  return async (file) => {
    const before = known.get(file);
    if (before !== undefined) return before;
    const found = await stat(file).catch(() => null);
    // When its entry changed: a file that is copied with its times may be older, or from a time to come.
    const isChanged = found === null || isTimeLost ? null : found.ctimeMs > loadedMs;
    known.set(file, isChanged);
    return isChanged;
  };
}

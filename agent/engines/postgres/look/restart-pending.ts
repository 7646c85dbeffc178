import type { Client } from 'pg';
import type { Warning } from '../../../../shared/domain/warning.ts';
import type { PostgresFacts } from '../copy/facts.ts';

export type HeldSetting = PostgresFacts['inForce'][number];

/**
 * Settings that are in force and that a server which starts with the same files does not have: they wait for a restart,
 * or were given on the command line. Needs pg_read_all_settings and SELECT on pg_file_settings.
 */
export async function settingsInForce(client: Client): Promise<HeldSetting[]> {
  const { rows } = await client.query<HeldSetting>(
    `SELECT s.name, pg_catalog.current_setting(s.name) AS "inForce", s.source = 'command line' AS "onCommandLine",
            (SELECT f.setting FROM pg_catalog.pg_file_settings f WHERE f.name = s.name ORDER BY f.seqno DESC LIMIT 1) AS "inFiles"
       FROM pg_catalog.pg_settings s
      WHERE s.pending_restart
         OR (s.source = 'command line' AND s.name NOT IN ('data_directory', 'config_file', 'hba_file', 'ident_file', 'external_pid_file'))
      ORDER BY 1`,
  );
  return rows;
}

/** `what`: of the server as it is, or of the one that is restored. */
export function restartWarnings(
  about: string,
  settings: readonly HeldSetting[],
  what: 'runs' | 'restored',
): Warning[] {
  return settings
    .filter(({ onCommandLine }) => !onCommandLine)
    .map(({ name, inForce, inFiles }) => {
      const files = inFiles === null ? 'its files do not say it any more' : `its files say '${inFiles}'`;
      return {
        code: 'postgres-restart-pending',
        about,
        text:
          what === 'runs'
            ? `${name} waits for a restart: '${inForce}' is in force, and ${files}`
            : `${name} waited for a restart when the checkpoint was taken: '${inForce}' was in force, and ${files}`,
        hint:
          what === 'runs'
            ? 'a server that is restored is recovered with what is in force, and then starts with its files: restart it when you can, or take the change back'
            : 'it is recovered with what was in force, and then starts with its files: see that it can',
      };
    });
}

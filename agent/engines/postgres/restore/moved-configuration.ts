import { basename, dirname, join } from 'node:path';
import { formatSetting, parseSettings } from './auto-conf.ts';

/** Settings that name a file of the server's own, beside `data_directory`. */
const FILES = [
  'hba_file',
  'ident_file',
  'external_pid_file',
  'ssl_cert_file',
  'ssl_key_file',
  'ssl_ca_file',
  'ssl_crl_file',
  'ssl_crl_dir',
  'ssl_dh_params_file',
  'krb_server_keyfile',
] as const;

/** Where the directories of a checkpoint are put. */
export interface MovedDirectories {
  readonly data: string;
  /** Directories of `also`: as captured, and as they are now. */
  readonly also: readonly { readonly from: string; readonly to: string }[];
}

/**
 * Lines to be added to a postgresql.conf that lies elsewhere now; empty where it names no place of its own. Without
 * them a server that is started with this file works on the data of the server that the file came from.
 */
export function movedLines(text: string, { data, also }: MovedDirectories): string {
  const settings = parseSettings(text);
  const was = settings.get('data_directory');
  const moves = [...also, ...(was === undefined ? [] : [{ from: was, to: data }])];
  const lines: string[] = [];
  if (was !== undefined && plain(was) !== plain(data)) lines.push(formatSetting('data_directory', data));
  for (const name of FILES) {
    const value = settings.get(name);
    const move = moves.find(({ from }) => value?.startsWith(`${plain(from)}/`));
    if (value === undefined || move === undefined || plain(move.from) === plain(move.to)) continue;
    lines.push(formatSetting(name, plain(move.to) + value.slice(plain(move.from).length)));
  }
  const pidFile = movedPidFile(settings.get('external_pid_file'), also);
  if (pidFile !== null) lines.push(formatSetting('external_pid_file', pidFile));
  return lines.length === 0 ? '' : `\n# Where a restore has put this server:\n${lines.join('\n')}\n`;
}

/**
 * Debian's tools name it after the cluster, whose configuration is /etc/postgresql/<version>/<name>; systemd waits for
 * the one of the unit that it has started, and for ever.
 */
function movedPidFile(value: string | undefined, also: MovedDirectories['also']): string | null {
  if (value === undefined) return null;
  const file = (path: string): string => `${basename(dirname(plain(path)))}-${basename(plain(path))}.pid`;
  const move = also.find(({ from, to }) => file(from) !== file(to) && basename(value) === file(from));
  return move === undefined ? null : join(dirname(value), file(move.to));
}

function plain(path: string): string {
  return path.replace(/\/+$/, '');
}

import type { Warning } from '../../../../shared/domain/warning.ts';
import { join } from 'node:path';
import type { Owner } from '../../../foreign-files.ts';
import { readIfThere } from '../../restore/stage.ts';
import { decodeConfiguration } from './configuration-text.ts';
import { readPassword } from '../server/connection.ts';
import type { PostgresFacts } from '../copy/facts.ts';
import { hostPort } from '../../../address.ts';
import { addressOf, type PostgresSettings } from '../settings.ts';
import { parseStandbyNames, plainName } from '../fence/standby-names.ts';
import { parseConninfo } from '../server/conninfo.ts';
import { conninfoFor, formatSettings, parseSettings, restoredSettings } from './auto-conf.ts';
import { isThere } from '../../../../shared/runtime/is-there.ts';

export const AUTO_CONF = 'postgresql.auto.conf';

export interface ConfigurationInput {
  /** Where the owner's files lie staged: the data directory first. */
  readonly directories: readonly string[];
  readonly settings: PostgresSettings;
  /** Of the member whose data it is. */
  readonly source: PostgresFacts;
  /** Of the member that it was, where that is another: a standby's own. */
  readonly own: PostgresFacts | null;
  readonly sourceAddress: string;
  readonly follow: string | null;
  /** Whose the files are. */
  readonly owner: Owner | null;
}

/** What the owner's files say, and what of it a restored server has. */
export interface StagedConfiguration {
  /** The name that its primary will know a standby by; null for a primary. */
  readonly followsAs: string | null;
  /** `shared_preload_libraries` as configured. */
  readonly preload: string;
  /**
   * The text of postgresql.auto.conf, given the names of the standbys that are restored with it; and what to tell
   * where a synchronous standby of its owner's is not among them.
   */
  autoConf(standbys: readonly string[]): { readonly text: string; readonly warnings: readonly Warning[] };
}

export async function readConfiguration(input: ConfigurationInput): Promise<StagedConfiguration> {
  const { directories, settings, source, own, follow, owner } = input;
  const [data = ''] = directories;
  const base = parseSettings(decodeConfiguration(await readIfThere(join(data, AUTO_CONF), owner)));
  const main = new Map<string, string>();
  for (const directory of directories)
    for (const [name, value] of parseSettings(
      decodeConfiguration(await readIfThere(join(directory, 'postgresql.conf'), owner)),
    ))
      main.set(name, value);
  const configured = (name: string): string | undefined => base.get(name) ?? main.get(name);
  const mine = own ?? source;
  const moved = input.sourceAddress !== settings.address || mine.port !== addressOf(settings).port;
  const conninfo =
    follow === null ? null : await followConninfo(settings, configured('primary_conninfo') ?? null, follow);
  const dropSockets = !(await socketsExist(configured('unix_socket_directories')));
  const clusterName = configured('cluster_name') ?? '';
  return {
    followsAs:
      conninfo === null
        ? null
        : (parseConninfo(conninfo).get('application_name') ??
          (clusterName === '' ? 'walreceiver' : clusterName)),
    preload: configured('shared_preload_libraries') ?? '',
    autoConf(standbys) {
      const names = mine.synchronousStandbyNames;
      const isHeld = follow === null && !canCommit(names, standbys);
      const kept = mine.synchronousStandbyNamesInAutoConf ? names : null;
      const text = formatSettings(
        restoredSettings({
          base,
          standbyNames: isHeld ? '' : kept,
          primaryConninfo: conninfo,
          address: moved ? { ...addressOf(settings), wasHost: hostPort(input.sourceAddress).host } : null,
          listenAddresses: mine.listenAddresses,
          archived: source.archiving || mine.archiving,
          subscribed: source.subscriptions.length > 0,
          dropSockets,
        }),
      );
      return { text, warnings: isHeld ? [notSynchronous(settings.name, names, kept !== null)] : [] };
    },
  };
}

/** Whether enough of the synchronous standbys are restored with it for a commit to return. */
export function canCommit(setting: string, standbys: readonly string[]): boolean {
  const parsed = parseStandbyNames(setting);
  if (parsed.method === 'none') return true;
  const names = parsed.names.map((name) => plainName(name).toLowerCase());
  const counting = standbys.filter((standby) => names.includes('*') || names.includes(standby.toLowerCase()));
  return counting.length >= parsed.count;
}

function notSynchronous(about: string, names: string, inAutoConf: boolean): Warning {
  const back = inAutoConf
    ? `ALTER SYSTEM SET synchronous_standby_names = '${names.replaceAll("'", "''")}'`
    : 'ALTER SYSTEM RESET synchronous_standby_names';
  return {
    code: 'postgres-not-synchronous',
    about,
    text: `commits wait for no standby (synchronous_standby_names is emptied): of ${names} not enough are restored with it, and every commit would wait for ever`,
    hint: `when they follow it: ${back}, then SELECT pg_reload_conf()`,
  };
}

/** The standby's own connection, pointed at the new primary; where it had none, that of the agent. */
async function followConninfo(
  settings: PostgresSettings,
  own: string | null,
  follow: string,
): Promise<string> {
  const colon = follow.lastIndexOf(':');
  const target = {
    host: follow.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(follow.slice(colon + 1)),
  };
  const { username } = new URL(settings.connection);
  const password =
    settings.passwordFile === undefined ? undefined : await readPassword(settings.passwordFile);
  return conninfoFor(own === '' ? null : own, target, {
    ...(username !== '' && { user: decodeURIComponent(username) }),
    ...(password !== undefined && { password }),
    application_name: settings.name,
  });
}

async function socketsExist(directories: string | undefined): Promise<boolean> {
  if (directories === undefined || directories === '') return true;
  for (const directory of directories.split(',')) {
    const path = directory.trim().replace(/^"|"$/g, '');
    if (!path.startsWith('@') && !(await isThere(path))) return false;
  }
  return true;
}

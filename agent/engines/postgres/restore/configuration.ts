import { join } from 'node:path';
import { readPassword } from '../connection.ts';
import type { PostgresFacts } from '../facts.ts';
import { addressOf, type PostgresSettings } from '../settings.ts';
import {
  conninfoFor,
  formatSettings,
  parseSettings,
  restoredSettings,
  settledSettings,
} from './auto-conf.ts';
import { serverOwner } from './server-owner.ts';
import { isThere } from '../../restore/places.ts';
import { readIfThere, rewrite } from '../../restore/stage.ts';

const AUTO_CONF = 'postgresql.auto.conf';

/** The text of postgresql.auto.conf for a staged directory, from the files that lie in it. */
export async function stagedAutoConf(input: {
  directory: string;
  settings: PostgresSettings;
  /** Of the member whose data it is. */
  source: PostgresFacts;
  /** Of the member that it was, where that is another: a standby's own. */
  own: PostgresFacts | null;
  sourceAddress: string;
  follow: string | null;
}): Promise<string> {
  const { directory, settings, source, own, follow } = input;
  const owner = await serverOwner(settings);
  const base = parseSettings(await readIfThere(join(directory, AUTO_CONF), owner));
  const main = parseSettings(await readIfThere(join(directory, 'postgresql.conf'), owner));
  const mine = own ?? source;
  const moved = input.sourceAddress !== settings.address || mine.port !== addressOf(settings).port;
  const primaryConninfo =
    follow === null
      ? null
      : await followConninfo(
          settings,
          base.get('primary_conninfo') ?? main.get('primary_conninfo') ?? null,
          follow,
        );
  return formatSettings(
    restoredSettings({
      base,
      standbyNames: mine.synchronousStandbyNamesInAutoConf ? mine.synchronousStandbyNames : null,
      restorePoint: source.restorePoint ?? '',
      primaryConninfo,
      address: moved ? addressOf(settings) : null,
      listensEverywhere: ['*', '0.0.0.0', '::'].includes(mine.listenAddresses),
      archived: source.archiving || mine.archiving,
      subscribed: source.subscriptions.length > 0,
      dropSockets: !(await socketsExist(
        base.get('unix_socket_directories') ?? main.get('unix_socket_directories'),
      )),
    }),
  );
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

/** The recovery is over: what was set for it alone is taken out again. */
export async function settleConfiguration(settings: PostgresSettings): Promise<void> {
  const path = join(settings.data, AUTO_CONF);
  const owner = await serverOwner(settings);
  const text = await readIfThere(path, owner);
  if (text !== '') await rewrite(path, formatSettings(settledSettings(parseSettings(text))), owner);
}

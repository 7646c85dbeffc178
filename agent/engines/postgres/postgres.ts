import { StillpointError } from '../../../shared/domain/errors.ts';
import type { EngineKind } from '../engine-kind.ts';
import { mustKeepApart } from '../image-places.ts';
import { postgresMemberSchema, type PostgresSettings } from './settings.ts';

export const postgres = {
  name: 'postgres',
  schema: postgresMemberSchema,
  mustBeSafe(settings) {
    const { name, connection } = settings;
    mustKeepApart(settings, directoriesOf(settings));
    if (!hasPassword(new URL(connection))) return;
    throw new StillpointError({
      code: 'password-in-file',
      message: `the connection of ${name} has a password in it`,
      hint: 'put it alone into a file of mode 600 and name that file with passwordFile',
    });
  },
  located: (settings) => settings,
  directories: directoriesOf,
  create: async (settings) => (await import('./postgres-engine.ts')).createPostgresEngine(settings),
  openGuardian: async (settings) =>
    new (await import('./hold/guardian.ts')).PostgresGuardian(settings).open(),
  discover: async (host) => (await import('./init/discover.ts')).discoverPostgres(host),
  prepare: async (settings) => (await import('./init/prepare.ts')).preparePostgres(settings),
} satisfies EngineKind<PostgresSettings>;

function directoriesOf({ data, also, tablespaces, wal }: PostgresSettings): string[] {
  return [data, ...also, ...new Set(Object.values(tablespaces)), ...(wal === undefined ? [] : [wal])];
}

/** Before the host, or behind the `?`, where the driver finds it too. */
function hasPassword({ password, searchParams }: URL): boolean {
  return password !== '' || [...searchParams.keys()].some((key) => /password/i.test(key));
}

import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { RestoreContext, Restoration } from '../../engine.ts';
import { connect } from '../connection.ts';
import type { PostgresSettings } from '../settings.ts';
import { settleConfiguration } from './configuration.ts';
import { dropOld, readRecord, switchBack } from '../../restore/places.ts';
import { PostgresRestoration } from './restoration.ts';
import { dropReplacedTablespaces, removeTablespaces } from './tablespaces.ts';
import { isServerRunning, stopServer } from './server-process.ts';

/** What the engine offers of restores; the rooms beside this file do the work. */
export function postgresRestoration(settings: PostgresSettings, context: RestoreContext): Restoration {
  return new PostgresRestoration(settings, context);
}

/** Takes up a restore that a killed agent left, from what lies on disk. */
export async function recoverPostgresRestore(
  settings: PostgresSettings,
  outcome: 'restored' | 'rolledBack',
): Promise<void> {
  const record = await readRecord(settings.data);
  if (record === null) return;
  if (outcome === 'restored') {
    await settleConfiguration(settings);
    await dropReplacedTablespaces(settings.data, Object.values(settings.tablespaces));
    await dropOld(settings.data, record);
    return;
  }
  await stopServer(settings, AbortSignal.timeout(120_000));
  await removeTablespaces(settings.data, record.made);
  await switchBack(settings.data, record);
}

export function stopPostgres(settings: PostgresSettings, signal: AbortSignal): Promise<void> {
  return stopServer(settings, signal);
}

export function isPostgresRunning(settings: PostgresSettings): Promise<boolean> {
  return isServerRunning(settings);
}

export async function decidePreparedTransaction(
  settings: PostgresSettings,
  gid: string,
  database: string,
  outcome: 'commit' | 'rollback',
): Promise<void> {
  const client = await connect(settings, {
    applicationName: 'stillpoint-decide',
    database,
    queryTimeoutMs: 30_000,
  });
  const statement = `${outcome === 'commit' ? 'COMMIT' : 'ROLLBACK'} PREPARED '${gid.replaceAll("'", "''")}'`;
  try {
    await client.query(statement);
  } catch (error) {
    throw new StillpointError(
      {
        code: 'prepared-not-decided',
        message: `${settings.name}: ${statement} failed: ${error instanceof Error ? error.message : String(error)}`,
        hint: `as superuser or its owner, in database ${database}: ${statement};`,
      },
      7,
      { cause: error },
    );
  } finally {
    client.end().catch(() => undefined);
  }
}

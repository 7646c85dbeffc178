import { readRecord } from '../../restore/directory-switch.ts';
import { holdForRestore } from '../../restore/unit.ts';
import type { RestoreContext, Restoration } from '../../engine.ts';
import type { PostgresSettings } from '../settings.ts';
import { finishPostgresRestore, rollBackPostgresRestore } from './ending.ts';
import { openServer } from './open-server.ts';
import { PostgresRestoration } from './restoration.ts';
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
  if (outcome === 'rolledBack') return rollBackPostgresRestore(settings);
  if ((await readRecord(settings.data)) === null) return;
  await openServer(settings);
  await finishPostgresRestore(settings);
}

export async function stopPostgres(settings: PostgresSettings, signal: AbortSignal): Promise<void> {
  await stopServer(settings, signal);
  await holdForRestore(settings, settings.data);
}

export function isPostgresRunning(settings: PostgresSettings): Promise<boolean> {
  return isServerRunning(settings);
}

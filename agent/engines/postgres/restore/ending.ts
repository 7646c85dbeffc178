import { dropOld, isThere, oldOf, readRecord, stageOf, switchBack } from '../../restore/places.ts';
import type { PostgresSettings } from '../settings.ts';
import { endStagedServer, stopServer } from './server-process.ts';
import { dropReplacedTablespaces, removeTablespaces } from './tablespaces.ts';

const STOP_MS = 120_000;

// How a restore ends on a host, from what lies on disk alone; any number of times.

/** The old directories are dropped. */
export async function finishPostgresRestore(settings: PostgresSettings): Promise<void> {
  const record = await readRecord(settings.data);
  if (record === null) return;
  await dropReplacedTablespaces(settings.data, Object.values(settings.tablespaces));
  await dropOld(settings.data, record);
}

/** The old directories are put back. What runs there before the switch is the old server, and goes on. */
export async function rollBackPostgresRestore(settings: PostgresSettings): Promise<void> {
  const { data } = settings;
  const record = await readRecord(data);
  if (record === null) return;
  await endStagedServer(settings, stageOf(data));
  const existed = record.directories.find(({ path }) => path === data)?.existed ?? false;
  const isSwitched = existed
    ? await isThere(oldOf(data))
    : record.switching === true && (await isThere(data));
  if (isSwitched) await stopServer(settings, AbortSignal.timeout(STOP_MS));
  await switchBack(data, record);
  await removeTablespaces(data, record.made);
}

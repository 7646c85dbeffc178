import { dropOld, oldOf, readRecord, stageOf, switchBack } from '../../restore/directory-switch.ts';
import { holdForRestore, maskForRestore, releaseAfterRestore } from '../../restore/unit.ts';
import type { PostgresSettings } from '../settings.ts';
import { endServer, stopServer } from './server-process.ts';
import { dropReplacedTablespaces, removeTablespaces } from './tablespaces.ts';
import { dropReplacedWal } from './wal-place.ts';
import { isThere } from '../../../../shared/runtime/is-there.ts';

const STOP_MS = 30_000;

// How a restore ends on a host, from what lies on disk alone; any number of times.

/** The old directories are dropped. */
export async function finishPostgresRestore(settings: PostgresSettings): Promise<void> {
  const record = await readRecord(settings.data);
  if (record === null) return;
  await releaseAfterRestore(settings.name, record);
  await dropReplacedTablespaces(settings.data, Object.values(settings.tablespaces));
  await dropReplacedWal(settings);
  await dropOld(settings.data, record);
}

/** The old directories are put back. What runs there before the switch is the old server, and goes on. */
export async function rollBackPostgresRestore(settings: PostgresSettings): Promise<void> {
  const { data } = settings;
  const record = await readRecord(data);
  if (record === null) return;
  await endServer(settings, stageOf(data));
  const existed = record.directories.find(({ path }) => path === data)?.existed ?? false;
  const isSwitched = existed
    ? await isThere(oldOf(data))
    : record.switching === true && (await isThere(data));
  if (isSwitched) await endRestored(settings);
  await switchBack(data, record, () => releaseAfterRestore(settings.name, record));
  await removeTablespaces(data, record.made);
}

/** Nobody has written into it yet, and it is thrown away: what does not stop as its owner stops it is ended. */
async function endRestored(settings: PostgresSettings): Promise<void> {
  try {
    await stopServer(settings, AbortSignal.timeout(STOP_MS));
  } catch {
    await maskForRestore(settings, settings.data);
    await endServer(settings, settings.data);
  }
  await holdForRestore(settings, settings.data);
}

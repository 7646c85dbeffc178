import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from '../../restore/places.ts';

/** Without it the server does not start: it gets its name when everything else is in place. */
export const CONTROL_FILE = 'global/pg_control';
export const UNFINISHED_CONTROL_FILE = 'global/pg_control.stillpoint-unfinished';

/** The last act of staging: from now on the directory may be started. */
export async function finishControlFile(directory: string): Promise<void> {
  await rename(join(directory, UNFINISHED_CONTROL_FILE), join(directory, CONTROL_FILE));
  await syncDirectory(join(directory, 'global'));
}

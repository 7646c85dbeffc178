import { basename, dirname, join } from 'node:path';
import { within } from '../../../safe-files.ts';

/** Without it the server does not start: it gets its name when everything else is in place. */
export const CONTROL_FILE = 'global/pg_control';
export const UNFINISHED_CONTROL_FILE = 'global/pg_control.stillpoint-unfinished';

/** The last act of staging: from now on the directory may be started. */
export async function finishControlFile(directory: string): Promise<void> {
  await within(join(directory, dirname(CONTROL_FILE)), async (global) => {
    await global.move(basename(UNFINISHED_CONTROL_FILE), global, basename(CONTROL_FILE));
    await global.sync();
  });
}

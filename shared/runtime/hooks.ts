import { appendFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Reach } from './moments.ts';

/**
 * Named moments of an operation, so that a test can pull the plug at exactly one of them. Off unless the
 * environment names a directory in STILLPOINT_HOOKS: then a process that comes to a moment adds
 * who did to `<moment>.<pid>.reached` there and, while a file `<moment>.hold` (or `<moment>.<who>.hold`) stands there,
 * waits. The event loop goes on meanwhile: leases and closed streams act as they always do.
 */
const directory = process.env['STILLPOINT_HOOKS'];

export const reach: Reach = async (moment, who) => {
  if (directory === undefined || directory === '') return;
  appendFileSync(join(directory, `${moment}.${process.pid}.reached`), `${who}\n`);
  await Promise.all([released(`${moment}.hold`), released(`${moment}.${who}.hold`)]);
};

async function released(name: string): Promise<void> {
  const file = join(directory ?? '', name);
  if (!existsSync(file)) return;
  // No command of an operator's waits here, and each would load it.
  const { watch } = await import('chokidar');
  return new Promise((resolve) => {
    const watcher = watch(file, { ignoreInitial: true });
    const look = (): void => {
      if (existsSync(file)) return;
      void watcher.close();
      resolve();
    };
    // The file may have gone before the watch began.
    watcher.on('ready', look);
    watcher.on('unlink', look);
  });
}

import { constants } from 'node:fs';
import { access, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StillpointError } from '../../shared/domain/errors.ts';
import { writeWhole } from '../../shared/runtime/whole-file.ts';
import type { HeldGrid } from './hold-report.ts';

/**
 * Takes away what an earlier job has left there: a script that waits for the file must not find that. Before anything is
 * touched; rejects where the file could not be written later, or is not such a file.
 */
export async function clearInfo(path: string): Promise<void> {
  try {
    await access(dirname(path), constants.W_OK);
    const earlier: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (typeof earlier !== 'object' || earlier === null || !('job' in earlier))
      throw new Error('it is of something else');
    await rm(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && (await isThere(dirname(path)))) return;
    throw new StillpointError({
      code: 'info-unwritable',
      message: `${path} cannot be written: ${error instanceof Error ? error.message : String(error)}`,
      hint: 'name a file in a directory that is there and can be written to, and nothing else of that name: --info FILE',
    });
  }
}

/** Whole, or not there. */
export async function writeInfo(path: string, held: HeldGrid): Promise<void> {
  await writeWhole(path, `${JSON.stringify(held)}\n`, 0o644);
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

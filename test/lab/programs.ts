import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Where scripts/test has built the programs of the sources as they are (scripts/built-programs.ts). */
const BUILT = process.env['STILLPOINT_PROGRAMS'];

/** The file that runs a program, named by its source from the root: what was built of it, or else the source itself. */
export function programFile(source: string): string {
  return BUILT === undefined ? join(ROOT, source) : join(BUILT, source.replace(/\.ts$/, '.js'));
}

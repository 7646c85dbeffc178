import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

// Tests start the same programs many times: what was compiled once is not compiled again. Node keeps it when a process
// ends by itself; ours are killed, so it is told to keep it soon after the start.
process.env['NODE_COMPILE_CACHE'] ??= `${ROOT}node_modules/.cache/stillpoint`;
process.env['NODE_OPTIONS'] ??=
  "--import=data:text/javascript,import{flushCompileCache}from'node:module';setTimeout(flushCompileCache,2000).unref()";

/** Where scripts/test has built the programs of the sources as they are (scripts/built-programs.ts). */
const BUILT = process.env['STILLPOINT_PROGRAMS'];

/** The file that runs a program, named by its source from the root: what was built of it, or else the source itself. */
export function programFile(source: string): string {
  return BUILT === undefined ? join(ROOT, source) : join(BUILT, source.replace(/\.ts$/, '.js'));
}

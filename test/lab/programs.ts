import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

// Tests start the same programs many times: what was compiled once is not compiled again. Node keeps it when a process
// ends by itself; ours are killed, so it is told to keep it when the start and the first work are behind it.
process.env['NODE_COMPILE_CACHE'] ??= `${ROOT}node_modules/.cache/stillpoint`;
process.env['NODE_OPTIONS'] ??=
  "--import=data:text/javascript,import{flushCompileCache}from'node:module';setTimeout(flushCompileCache,5000).unref()";

// Authorities that a machine adds to those of Node are for none of ours, and every start would read them all.
delete process.env['NODE_EXTRA_CA_CERTS'];

/** Where scripts/test has built the programs of the sources as they are (scripts/built-programs.ts). */
const BUILT = process.env['STILLPOINT_PROGRAMS'];

/** The file that runs a program, named by its source from the root: what was built of it, or else the source itself. */
export function programFile(source: string): string {
  return BUILT === undefined ? join(ROOT, source) : join(BUILT, source.replace(/\.ts$/, '.js'));
}

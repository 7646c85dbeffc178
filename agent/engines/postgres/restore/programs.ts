import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { isProgram } from '../../restore/host-check.ts';
import type { Owner } from '../../../foreign-files.ts';
import type { PostgresSettings } from '../settings.ts';

const run = promisify(execFile);
const ASK_MS = 10_000;

/**
 * The host's own `postgres` of the major version that the data needs: in `binaries`, else where Debian and Red Hat put
 * it. Throws, naming what is there instead.
 */
export async function postgresProgram(
  settings: PostgresSettings,
  serverVersion: number,
  owner: Owner | null,
): Promise<string> {
  const major = Math.floor(serverVersion / 10_000);
  const folders =
    settings.binaries === undefined
      ? [`/usr/lib/postgresql/${major}/bin`, `/usr/pgsql-${major}/bin`]
      : [settings.binaries];
  for (const folder of folders) {
    const program = join(folder, 'postgres');
    if (!(await isProgram(program))) continue;
    const said = await versionOf(settings.name, program, owner);
    if (said === major) return program;
    throw new StillpointError({
      code: 'postgres-binaries',
      message: `${settings.name}: ${program} is of PostgreSQL ${said}, and the data of ${major}`,
      hint: `install PostgreSQL ${major} on this host and name its programs in the agent file: binaries: DIR`,
    });
  }
  throw new StillpointError({
    code: 'postgres-binaries',
    message: `${settings.name}: there is no PostgreSQL ${major} in ${folders.join(' or ')}`,
    hint: `install PostgreSQL ${major} on this host, or name the folder with its programs in the agent file: binaries: DIR`,
  });
}

async function versionOf(member: string, program: string, owner: Owner | null): Promise<number> {
  try {
    const { stdout } = await run(program, ['--version'], { timeout: ASK_MS, cwd: '/', ...owner });
    // postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
    const major = /^\S+ \([^)]*\) (\d+)/.exec(stdout)?.[1];
    if (major === undefined) throw new Error(`it says ${stdout.trim()}`);
    return Number(major);
  } catch (error) {
    throw new StillpointError(
      {
        code: 'postgres-binaries',
        message: `${member}: ${program} does not say its version: ${error instanceof Error ? error.message : String(error)}`,
        hint: 'look whether the owner of the data directory may run it, and has the libraries that it needs',
      },
      undefined,
      { cause: error },
    );
  }
}

import { execFile } from 'node:child_process';
import { open, stat } from 'node:fs/promises';
import { release } from 'node:os';
import { serviceEnvironment } from './run-as.ts';

/** From this kernel on, syncfs(2) tells of writes that failed. */
const TELLS_ERRORS = [5, 8] as const;

/** A file system with a great backlog of others' writes on a slow disk takes this long at most; then it is ill. */
const LIMIT_MS = 30 * 60_000;

interface SyncingHost {
  readonly program: string;
  /** As `uname -r` says it. */
  readonly kernel: string;
}

/**
 * Everything that was written below these directories is durable on return, names too: one syncfs(2) for each file system,
 * by `sync -f` of coreutils. Resolves to false, and has done nothing that could be relied on, where this host cannot do
 * that: then each file is to be synced by itself. Rejects with what the kernel said.
 */
export async function syncFileSystems(
  directories: readonly string[],
  host: SyncingHost = { program: 'sync', kernel: release() },
): Promise<boolean> {
  if (!tellsErrors(host.kernel)) return false;
  const devices = new Map<number, string>();
  for (const directory of directories) devices.set((await stat(directory)).dev, directory);
  for (const directory of devices.values())
    if (!(await syncFileSystem(directory, host.program))) return false;
  return true;
}

async function syncFileSystem(directory: string, program: string): Promise<boolean> {
  // By a handle of ours: the directory may be one that is known by its handle alone.
  const handle = await open(directory);
  try {
    return await new Promise<boolean>((resolve, reject) => {
      execFile(
        program,
        ['-f', `/proc/${process.pid}/fd/${handle.fd}`],
        { cwd: '/', env: { ...serviceEnvironment(), LC_ALL: 'C' }, timeout: LIMIT_MS },
        (error, _stdout, stderr) => {
          if (error === null) resolve(true);
          else if (error.code === 'ENOENT' || /invalid option|unrecognized option|usage:/i.test(stderr))
            resolve(false);
          else
            reject(
              new Error(`the file system of ${directory} was not synced: ${stderr.trim() || error.message}`),
            );
        },
      );
    });
  } finally {
    await handle.close();
  }
}

function tellsErrors(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map(Number);
  return major > TELLS_ERRORS[0] || (major === TELLS_ERRORS[0] && minor >= TELLS_ERRORS[1]);
}

import { execFile } from 'node:child_process';
import { readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { hostProcesses, seesTheSame } from '../../host-processes.ts';

const run = promisify(execFile);
const ASK_MS = 10_000;

/** A cluster of Debian's tools. */
export interface ListedCluster {
  readonly version: string;
  readonly name: string;
  readonly port: number;
  readonly running: boolean;
  readonly data: string;
}

/** What a running server has written into its postmaster.pid. */
export interface PostmasterFile {
  readonly pid: number;
  readonly port: number;
  /** Of its first Unix socket; empty where it has none. */
  readonly socketFolder: string;
  /** The first address that it listens at: `*`, a name, an address; empty where it takes no TCP. */
  readonly listen: string;
}

/** A server that runs on this host. */
export interface RunningServer extends PostmasterFile {
  readonly data: string;
  /** The folder of its programs. */
  readonly binaries: string;
  /** From its command line; null where it is in the data directory. */
  readonly configurationFile: string | null;
}

/** The lines of `pg_lsclusters --no-header`; what is none is left out. */
export function parseClusters(text: string): ListedCluster[] {
  return text.split('\n').flatMap((line): ListedCluster[] => {
    const match = /^(\S+)\s+(\S+)\s+(\d+)\s+(\S+)\s+(\S+)\s+(\/.*?)(?:\s+\S+)?$/.exec(line.trim());
    if (match === null) return [];
    const [, version = '', name = '', port = '', status = '', , data = ''] = match;
    return [{ version, name, port: Number(port), running: /^online\b/.test(status), data }];
  });
}

/** Null where it is not the file of a server that is up or comes up (src/include/utils/pidfile.h). */
export function parsePostmasterFile(text: string): PostmasterFile | null {
  const [pid = '', , , port = '', socketFolder = '', listen = ''] = text
    .split('\n')
    .map((line) => line.trim());
  if (!/^\d+$/.test(pid) || !/^\d+$/.test(port)) return null;
  return { pid: Number(pid), port: Number(port), socketFolder, listen };
}

/** Where the configuration file is named on a command line: `-c config_file=F`, `--config-file=F`, or `-D` of another folder. */
export function configurationIn(args: readonly string[], data: string): string | null {
  for (const [index, arg] of args.entries()) {
    const setting = arg === '-c' ? (args[index + 1] ?? '') : arg.replace(/^(--|-c(?=\w))/, '');
    const [, file] = /^config[_-]file=(.+)$/.exec(setting) ?? [];
    if (file !== undefined) return file;
  }
  const at = args.indexOf('-D');
  const folder = at < 0 ? data : (args[at + 1] ?? data);
  return folder.startsWith('/') && folder !== data ? join(folder, 'postgresql.conf') : null;
}

/** Null where the host has no such tools. */
export async function listedClusters(): Promise<ListedCluster[] | null> {
  try {
    const { stdout } = await run('pg_lsclusters', ['--no-header'], {
      timeout: ASK_MS,
      cwd: '/',
      env: { ...process.env, LC_ALL: 'C' },
    });
    return parseClusters(stdout);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** The servers that run here, and those that run in containers of this host, which an agent inside of them must see to. */
export async function runningServers(): Promise<{ here: RunningServer[]; elsewhere: number[] }> {
  const here: RunningServer[] = [];
  const elsewhere: number[] = [];
  for (const process of await hostProcesses((program) =>
    ['postgres', 'postmaster'].includes(basename(program)),
  )) {
    // Only the first process of a server has its number in the file; the others work in the same directory.
    const text = await readFile(join(`/proc/${process.pid}/cwd`, 'postmaster.pid'), 'utf8').catch(() => '');
    const file = parsePostmasterFile(text);
    const isFirst = file !== null && !process.args[0]?.includes(': ');
    if (!isFirst || (await numberInItsOwnEyes(process.pid)) !== file.pid) continue;
    if (!(await seesTheSame(process.pid, process.directory))) {
      elsewhere.push(process.pid);
      continue;
    }
    const data = process.directory;
    here.push({
      ...file,
      data,
      binaries: dirname(process.program),
      configurationFile: await resolved(configurationIn(process.args, data), data),
    });
  }
  return { here, elsewhere };
}

/** In a container a process has another number than the host gives it. */
async function numberInItsOwnEyes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^NSpid:.*?(\d+)$/m.exec(status)?.[1] ?? pid);
}

/** A link below the data directory leads out of it, and another name of it does not. */
async function resolved(file: string | null, data: string): Promise<string | null> {
  if (file === null) return null;
  const path = await realpath(file).catch(() => file);
  return dirname(path) === data ? null : path;
}

import { withoutComments } from './xml.ts';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { hostProcesses, type HostProcess } from '../../host-processes.ts';

/** A server process of this host. */
export interface ServerProcess extends HostProcess {
  /** Absolute: the directory with `conf` and `data`. */
  readonly root: string;
  /** The file in `conf` that it was started with; null where it takes the first that is there. */
  readonly configuration: string | null;
  /** The name of the server in its cluster, where the command line gives it one. */
  readonly nodeName: string | null;
}

const BOOTSTRAP = 'org.infinispan.server.Bootstrap';

/** Those that we may look at. */
export async function serverProcesses(): Promise<ServerProcess[]> {
  const all = await hostProcesses((program) => program.endsWith('/java'));
  return all.flatMap((one) => {
    if (!one.args.includes(BOOTSTRAP)) return [];
    const root =
      propertyOf(one.args, 'infinispan.server.root.path') ??
      `${propertyOf(one.args, 'infinispan.server.home.path') ?? '.'}/server`;
    return [
      {
        ...one,
        root: resolve(one.directory, root),
        configuration: optionOf(one.args, ['-c', '--server-config']),
        nodeName: propertyOf(one.args, 'infinispan.node.name'),
      },
    ];
  });
}

/** By property: the options of the server that set it. */
const OPTIONS: ReadonlyMap<string, readonly string[]> = new Map([
  ['infinispan.server.root.path', ['-s', '--server-root']],
  ['infinispan.node.name', ['-n', '--node-name']],
  ['infinispan.cluster.name', ['-g', '--cluster-name']],
  ['infinispan.bind.address', ['-b', '--bind-address']],
  ['infinispan.bind.port', ['-p', '--bind-port']],
  ['infinispan.socket.binding.port-offset', ['-o', '--port-offset']],
]);

/** Of the server: by its own option, else by `-Dname=value`. */
export function propertyOf(args: readonly string[], name: string): string | null {
  const start = `-D${name}=`;
  return (
    optionOf(args, OPTIONS.get(name) ?? []) ??
    args.findLast((arg) => arg.startsWith(start))?.slice(start.length) ??
    null
  );
}

/** The last one counts, as it does for the server; what stands before its main class is the JVM's. */
function optionOf(args: readonly string[], names: readonly string[]): string | null {
  let found: string | null = null;
  for (let at = args.indexOf(BOOTSTRAP) + 1; at < args.length; at += 1) {
    const [name = '', ...value] = args[at]?.split('=') ?? [];
    if (!names.includes(name)) continue;
    found = value.length > 0 ? value.join('=') : (args[at + 1] ?? null);
  }
  return found;
}

/** Servers do not tell it: it stands in the file that this one was started with, as an attribute of its cache container. */
const ZERO_CAPACITY = /zero-?capacity-?node["']?\s*[=:]\s*["']?true/i;

/** Whether the server with this root holds no entries. False where no process with it is for us to see. */
export async function isZeroCapacity(root: string): Promise<boolean> {
  const process = (await serverProcesses()).find((one) => one.root === resolve(root));
  if (process === undefined) return false;
  const file = join(process.root, 'conf', process.configuration ?? 'infinispan.xml');
  const text = await readFile(file, 'utf8').catch(() => '');
  return ZERO_CAPACITY.test(withoutComments(text));
}

/** Which run of the server with this root it is: another one after each start. Empty where it is not for us to see. */
export async function runOf(root: string): Promise<string> {
  const process = (await serverProcesses()).find((one) => one.root === resolve(root));
  if (process === undefined) return '';
  const stat = await readFile(`/proc/${process.pid}/stat`, 'utf8').catch(() => '');
  // The name of the program, in brackets, may hold anything; the 20th word behind it is the time of the start.
  const startedAt = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  return startedAt === undefined ? '' : `${process.pid} ${startedAt}`;
}

import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { hostProcesses, type HostProcess } from '../host-processes.ts';
import { answers, runCommand } from '../restore/processes.ts';
import { commandUser } from '../restore/run-as.ts';
import { hasUnit, isUnitUp, stopUnit } from '../restore/unit.ts';
import { InfinispanServer } from './server/infinispan-server.ts';
import type { InfinispanSettings } from './settings.ts';

const STOP_MS = 120_000;
const STOP_UNIT_MS = 600_000;
const LOOK_EVERY_MS = 100;
const ASK_MS = 10_000;

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
    const main = one.args.findIndex(
      (arg) => arg === BOOTSTRAP || arg === 'org.infinispan.server.loader.Loader',
    );
    if (main < 0) return [];
    const root =
      optionOf(one.args, main, ['-s', '--server-root']) ??
      propertyOf(one.args, 'infinispan.server.root.path') ??
      `${propertyOf(one.args, 'infinispan.server.home.path') ?? '.'}/server`;
    return [
      {
        ...one,
        root: resolve(one.directory, root),
        configuration: optionOf(one.args, main, ['-c', '--server-config']),
        nodeName: optionOf(one.args, main, ['-n', '--node-name']),
      },
    ];
  });
}

/** The last one counts, as it does for the server. */
function optionOf(args: readonly string[], from: number, names: readonly string[]): string | null {
  let found: string | null = null;
  for (let at = from + 1; at < args.length; at += 1) {
    const [name = '', ...value] = args[at]?.split('=') ?? [];
    if (!names.includes(name)) continue;
    found = value.length > 0 ? value.join('=') : (args[at + 1] ?? null);
  }
  return found;
}

/** Of the JVM: `-Dname=value`. */
export function propertyOf(args: readonly string[], name: string): string | null {
  const start = `-D${name}=`;
  return args.findLast((arg) => arg.startsWith(start))?.slice(start.length) ?? null;
}

/**
 * What is another after each start of a server: a server keeps the number that it has in its cluster. Empty where its
 * process is not of this host, or not for us to see.
 */
export async function runOf(settings: InfinispanSettings): Promise<string> {
  const here = (await serverProcesses()).find(({ root }) => root === resolve(settings.root));
  if (here === undefined) return '';
  const text = await readFile(`/proc/${here.pid}/stat`, 'utf8').catch(() => '');
  // Behind the name of the program, which may hold anything: the twentieth is the time of its start.
  const since = text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  return `${here.pid}-${since}`;
}

/** A process has its root, something answers at its address, or systemd runs it. */
export async function isServerRunning(settings: InfinispanSettings): Promise<boolean> {
  return (
    (hasUnit(settings) && (await isUnitUp(settings))) ||
    (await serverProcesses()).some(({ root }) => root === resolve(settings.root)) ||
    (await answers(addressOf(settings)))
  );
}

/** With its owner's unit or command, else by asking the server itself. Resolves when it is gone. Idempotent. */
export async function stopServer(settings: InfinispanSettings, signal: AbortSignal): Promise<void> {
  if (!(await isServerRunning(settings))) return;
  const isGone = async (): Promise<boolean> => !(await isServerRunning(settings));
  if (hasUnit(settings)) await stopUnit(settings, signal, STOP_UNIT_MS);
  else if (settings.run?.stop === undefined) await askToStop(settings, signal);
  else
    await runCommand(settings.name, settings.run.stop, {
      user: await commandUser(settings),
      signal,
      goal: { isReached: isGone, afterwards: 'endAtLimit' },
    });
  const until = performance.now() + STOP_MS;
  while (!(await isGone())) {
    signal.throwIfAborted();
    if (performance.now() > until) throw cannotStop(settings);
    await new Promise((end) => setTimeout(end, LOOK_EVERY_MS));
  }
}

async function askToStop(settings: InfinispanSettings, signal: AbortSignal): Promise<void> {
  const server = new InfinispanServer(settings);
  try {
    await server.stop(AbortSignal.any([signal, AbortSignal.timeout(ASK_MS)]));
  } catch (error) {
    // It may have gone before it answered; whether it has is looked at next.
    if (!(error instanceof StillpointError) || error.failure.code !== 'infinispan-unreachable') throw error;
  } finally {
    server.close();
  }
}

/** `host:port` of the REST endpoint. */
function addressOf({ url }: Pick<InfinispanSettings, 'url'>): string {
  const { hostname, port, protocol } = new URL(url);
  return `${hostname}:${port === '' ? (protocol === 'https:' ? '443' : '80') : port}`;
}

function cannotStop({ name }: InfinispanSettings): StillpointError {
  return new StillpointError({
    code: 'cannot-stop',
    message: `${name} still runs ${STOP_MS / 1000} s after it was told to stop`,
    hint: 'stop it by hand; does unit or run.stop in the agent file stop this very process?',
  });
}

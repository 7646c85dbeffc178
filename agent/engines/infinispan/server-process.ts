import { resolve } from 'node:path';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { answers, runCommand } from '../restore/processes.ts';
import { commandUser } from '../restore/run-as.ts';
import { hasUnit, isUnitUp, stopUnit } from '../restore/unit.ts';
import { InfinispanServer } from './server/infinispan-server.ts';
import { serverProcesses } from './server/host-servers.ts';
import type { InfinispanSettings } from './settings.ts';

const STOP_MS = 120_000;
const STOP_UNIT_MS = 600_000;
const LOOK_EVERY_MS = 100;
const ASK_MS = 10_000;

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

import { readdir, readlink, realpath } from 'node:fs/promises';
import { sep } from 'node:path';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { processNumbers } from '../host-processes.ts';
import { answers, runCommand, type Said } from '../restore/processes.ts';
import { commandUser } from '../restore/run-as.ts';
import { hasUnit, isUnitUp, startUnit, stopUnit } from '../restore/unit.ts';
import { withParticipant } from './link.ts';
import { liveOf, type NativeSettings } from './settings.ts';
import { endStarted, startMark } from './started-processes.ts';

const STOP_MS = 60_000;
const STOP_UNIT_MS = 600_000;
const LOOK_EVERY_MS = 50;

/** A start command has at least this. */
const START_MS = 10_000;

/**
 * Gives the start; resolves when the operator's command has ended, or the process answers. What it says on stderr, also
 * from then on, is told by what this resolves to.
 */
export async function startProcess(settings: NativeSettings, signal: AbortSignal): Promise<Said> {
  if (hasUnit(settings)) {
    await startUnit(settings);
    return () => '';
  }
  return runCommand(settings.name, commandOf(settings, 'start'), {
    user: await commandUser(settings),
    signal,
    limitMs: Math.max(START_MS, settings.startSeconds * 1000),
    env: startMark(settings),
    goal: { isReached: () => answersItself(settings), afterwards: 'leave' },
  });
}

/** Stops the process with the operator's command. Resolves when it is gone. Idempotent. */
export async function stopProcess(settings: NativeSettings, signal: AbortSignal): Promise<void> {
  if (!(await isProcessRunning(settings))) return;
  if (hasUnit(settings)) await stopUnit(settings, signal, STOP_UNIT_MS);
  else
    await runCommand(settings.name, commandOf(settings, 'stop'), {
      user: await commandUser(settings),
      signal,
      goal: { isReached: async () => !(await isProcessRunning(settings)), afterwards: 'endAtLimit' },
    });
  const until = performance.now() + STOP_MS;
  while (await isProcessRunning(settings)) {
    signal.throwIfAborted();
    if (performance.now() > until) throw cannotStop(settings);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/** Takes back a start, however far it came: with the operator's command where that does it, else without. */
export async function takeBackStart(settings: NativeSettings, signal: AbortSignal): Promise<void> {
  const failure = await stopProcess(settings, signal).then(
    () => null,
    (error: unknown) => error as Error,
  );
  if (!hasUnit(settings) && !(await endStarted(settings))) throw failure ?? cannotStop(settings);
  if (failure !== null && (await isProcessRunning(settings))) throw failure;
}

/** Throws unless the agent's file says how to start and stop it: known before anything is touched. */
export function mustBeRunnable(settings: NativeSettings): void {
  if (hasUnit(settings)) return;
  commandOf(settings, 'start');
  commandOf(settings, 'stop');
}

/** It answers, something answers at its address, or a process has its files open. */
export async function isProcessRunning(settings: NativeSettings): Promise<boolean> {
  return (
    (hasUnit(settings) && (await isUnitUp(settings))) ||
    (await answersItself(settings)) ||
    (await answers(settings.address)) ||
    (await hasOpenFiles(liveOf(settings)))
  );
}

async function answersItself(settings: NativeSettings): Promise<boolean> {
  try {
    await withParticipant(settings, (participant) => participant.describe());
    return true;
  } catch (error) {
    // Whatever else it says, somebody is there.
    return !(error instanceof StillpointError && error.failure.code === 'participant-unreachable');
  }
}

/** Whether any process that we may look into, other than us, has a file below the directory open. */
export async function hasOpenFiles(directory: string): Promise<boolean> {
  const root = await realpath(directory).catch(() => null);
  if (root === null) return false;
  for (const pid of await processNumbers()) {
    if (pid === process.pid) continue;
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const descriptor of descriptors) {
      const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
      if (target.startsWith(root + sep)) return true;
    }
  }
  return false;
}

function commandOf(settings: NativeSettings, what: 'start' | 'stop'): readonly string[] {
  const command = settings.run?.[what];
  if (command !== undefined) return command;
  throw new StillpointError({
    code: 'native-run',
    message: `it is not known how to ${what} ${settings.name}`,
    hint: 'name its unit or its commands in the agent file: unit: NAME, or run: { start: […], stop: […] }',
  });
}

function cannotStop(settings: NativeSettings): StillpointError {
  return new StillpointError({
    code: 'cannot-stop',
    message: `${settings.name} still runs ${STOP_MS / 1000} s after it was told to stop`,
    hint: 'stop it by hand; does unit or run.stop in the agent file stop this very process?',
  });
}

import '../../shared/runtime/keep-compiled.ts';
import { writeSync } from 'node:fs';
import { computerClock } from '../../shared/runtime/clock.ts';
import { createLog } from '../../shared/runtime/log.ts';
import { readAgentFile } from '../agent-file.ts';
import { engineOf } from '../engines/registry.ts';
import { readFreezeRecord } from '../state-directory.ts';
import { jsonLines, type FromGuard, type ToGuard } from './messages.ts';
import { Watches } from './watches.ts';

const READ_WITHIN_MS = 1000;

/**
 * The guard: a process beside the agent, for as long as something on a member would have to be undone if the
 * agent were killed. It shares nothing with the agent but a pipe: it holds its own connections, opened
 * beforehand, and undoes when the pipe closes, or when the agent says nothing for too long (a stopped or
 * hanging agent). It outlives the agent's process group, and a SIGTERM makes it undo before it goes.
 */
async function main(configuration: string, operation: string): Promise<void> {
  const file = await readAgentFile(configuration);
  const log = createLog({
    name: 'stillpoint-guard',
    level: process.env['STILLPOINT_LOG_LEVEL'] ?? 'info',
    neverWaits: true,
  });
  const say = (message: FromGuard): void => {
    try {
      writeSync(1, `${JSON.stringify(message)}\n`);
    } catch {
      // Nobody reads any more: the agent is gone, and the end of stdin tells us so too.
    }
  };
  const watches = new Watches({
    clock: computerClock,
    log,
    openGuardian: async (name) => {
      const settings = file.members.find((member) => member.name === name);
      if (settings === undefined) throw new Error(`no member ${name} in ${configuration}`);
      return engineOf(settings).openGuardian(settings);
    },
    isLeft: (member) => isStillLeft(file.state, member, operation),
    say,
  });

  process.on('SIGINT', () => undefined);
  process.on('SIGHUP', () => undefined);
  process.on('SIGTERM', () => void watches.undoAll().then(() => process.exit(0)));

  for await (const message of jsonLines<ToGuard>(process.stdin)) watches.messageReceived(message);
  await watches.agentGone();
  process.exit(0);
}

/** False where an agent that was started since has undone it. Who cannot know takes it for left. */
async function isStillLeft(state: string, member: string, operation: string): Promise<boolean> {
  const late = new Promise<true>((resolve) => setTimeout(resolve, READ_WITHIN_MS, true).unref());
  const read = readFreezeRecord(state, member).then(
    (record) => record !== null && (record.operation ?? operation) === operation,
    () => true,
  );
  return Promise.race([read, late]);
}

await main(process.argv[2] ?? '', process.argv[3] ?? '');

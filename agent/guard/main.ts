import { writeSync } from 'node:fs';
import { createLog } from '../../shared/runtime/log.ts';
import { readAgentFile } from '../agent-file.ts';
import { engineOf } from '../engines/registry.ts';
import { readFreezeRecord } from '../state-directory.ts';
import { jsonLines, type FromGuard, type ToGuard } from './messages.ts';
import { Watch } from './watch.ts';

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
  const watches = new Map<string, Watch>();

  const say = (message: FromGuard): void => {
    try {
      writeSync(1, `${JSON.stringify(message)}\n`);
    } catch {
      // Nobody reads any more: the agent is gone, and the end of stdin tells us so too.
    }
  };
  const undoAll = async (): Promise<void> => {
    await Promise.all([...watches.values()].map((watch) => watch.undoNow()));
  };

  process.on('SIGINT', () => undefined);
  process.on('SIGHUP', () => undefined);
  process.on('SIGTERM', () => void undoAll().then(() => process.exit(0)));

  const silent = setInterval(() => {
    for (const watch of watches.values()) {
      if (watch.isOverdue(performance.now()))
        void watch.undoNow().then(() => say({ type: 'undone', member: watch.member }));
    }
  }, 200);

  const handle = async (message: Exclude<ToGuard, { type: 'alive' }>): Promise<void> => {
    const known = watches.get(message.member);
    if (message.type === 'unwatch') {
      watches.delete(message.member);
      await known?.close();
      return;
    }
    try {
      if (known === undefined) {
        const settings = file.members.find((member) => member.name === message.member);
        if (settings === undefined) throw new Error(`no member ${message.member} in ${configuration}`);
        const guardian = await engineOf(settings).openGuardian(settings);
        const isLeft = (): Promise<boolean> => isStillLeft(file.state, message.member, operation);
        const watch = new Watch({ member: message.member, guardian, log, isLeft });
        watches.set(message.member, watch);
        watch.expect(message.undo, message.silenceMs, performance.now());
      } else {
        known.expect(message.undo, message.silenceMs, performance.now());
      }
      say({ type: 'watching', member: message.member });
    } catch (error) {
      say({
        type: 'refused',
        member: message.member,
        cause: error instanceof Error ? error.message : String(error),
      });
    }
  };

  for await (const message of jsonLines<ToGuard>(process.stdin)) {
    for (const watch of watches.values()) watch.messageReceived(performance.now());
    if (message.type !== 'alive') void handle(message);
  }
  clearInterval(silent);
  const members = [...watches.keys()];
  const undone = undoAll();
  if (members.length > 0) log.warn({ event: 'agentLost', members }, 'the agent is gone: undoing');
  await undone;
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

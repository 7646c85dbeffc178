import { BACKUP } from '../../documents/documents.ts';
import { Controlled } from './controlled.ts';

/** A Backup by an agent that is not root, whose file wants the member to run as another user. Prints how it ended. */
const host = await Controlled.make(['source-cluster']);
try {
  host.memberKeys['user'] = 'daemon';
  const agent = await host.open();
  await host.apply(agent, BACKUP);
  const { status } = await host.becomes(agent, 'my-backup', 'Failed');
  const log = await host.logOf(agent, 'Backup', 'my-backup');
  const isStarted = host.reached.has('documentStarted my-backup');
  process.stdout.write(JSON.stringify({ reason: status.reason, log, isStarted }));
} finally {
  await host.close();
}

import { madeRepository } from './made.ts';
import { watchSteps } from './file-system-steps.ts';
import { checkpointId, CHUNK_BYTES, GRID, noise, rows, storeCheckpoint } from './samples.ts';

/**
 * A process for crash.test.ts to kill: makes a second checkpoint, then deletes the first. At its n-th step
 * of one kind on one kind of path it says so on stdout, and does nothing more until it is killed.
 */
const [location = '', call = '', pattern = '', count = '1'] = process.argv.slice(2);
let met = 0;

watchSteps(async (step) => {
  if (step.call !== call || !new RegExp(pattern).test(step.path)) return;
  met += 1;
  if (met < Number(count)) return;
  if (met === Number(count)) process.stdout.write('reached\n');
  // Others that come here wait as well: the process is as good as dead.
  await new Promise(() => undefined);
});

// Keeps the process alive while it waits to be killed.
setInterval(() => undefined, 60_000);

const repository = await madeRepository(location);
const lease = await repository.beginOperation({ grid: GRID, id: 'child', holder: 'the child' });
await storeCheckpoint(repository, checkpointId(2), {
  a: { 'base/1': rows(3000, 'shared'), 'base/2': noise(2 * CHUNK_BYTES, 'second') },
  b: { 'base/1': noise(500, 'b') },
});
await lease.end();
await repository.deleteCheckpoint(GRID, checkpointId(1));
process.stdout.write('ended\n');
